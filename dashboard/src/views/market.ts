/** The market page: tabs, quote and chart; beside them the watchlist and the tape. */
import type { App } from '../app';
import { chartView } from './chart';
import { h, type Frames } from './dom';
import { quoteView } from './quote';
import { tabsView } from './tabs';
import { tapeView } from './tape';
import { watchlistView } from './watchlist';

export function marketPage(app: App, frames: Frames): HTMLElement {
  return h(
    'div',
    { class: 'market wide' },
    tabsView(app, frames),
    h('div', { class: 'market-main' }, quoteView(app, frames), chartView(app, frames)),
    h('div', { class: 'market-side' }, watchlistView(app, frames), tapeView(app, frames)),
  );
}
