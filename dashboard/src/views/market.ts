/** The market page: tabs, quote, chart. */
import type { App } from '../app';
import { chartView } from './chart';
import { h, type Frames } from './dom';
import { quoteView } from './quote';
import { tabsView } from './tabs';

export function marketPage(app: App, frames: Frames): HTMLElement {
  return h(
    'div',
    { class: 'market' },
    tabsView(app, frames),
    h('div', { class: 'market-main' }, quoteView(app, frames), chartView(app, frames)),
  );
}
