/** The symbols as tabs: price and change in each, the active one's chart below. */
import type { App } from '../app';
import { percent, price } from '../core/format';
import { h, icon, paced, setAttribute, setText, type Frames } from './dom';

/** Tabs are for finding a symbol; whoever watches prices looks elsewhere. */
const DRAW_MS = 250;

interface Tab {
  readonly element: HTMLElement;
  readonly button: HTMLElement;
  readonly price: HTMLElement;
  readonly change: HTMLElement;
}

export function tabsView(app: App, frames: Frames): HTMLElement {
  const list = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Followed symbols' });
  const tabs = new Map<string, Tab>();
  const dirty = new Set<string>();

  const arrow = (label: string, path: string, step: number) => {
    const scroll = () => list.scrollBy({ left: step * list.clientWidth * 0.8 });
    return h('button', { type: 'button', class: 'tab-scroll', 'aria-label': label, tabindex: '-1', hidden: true, onclick: scroll }, icon(path, 14));
  };
  const back = arrow('Earlier tabs', 'M10 3.5L5.5 8l4.5 4.5', -1);
  const on = arrow('Further tabs', 'M6 3.5L10.5 8 6 12.5', 1);
  /** Arrows where there is more than fits. */
  const overflow = () => {
    const more = list.scrollWidth > list.clientWidth + 1;
    back.hidden = on.hidden = !more;
    back.disabled = list.scrollLeft <= 1;
    on.disabled = list.scrollLeft + list.clientWidth >= list.scrollWidth - 1;
  };
  list.addEventListener('scroll', overflow, { passive: true });
  new ResizeObserver(overflow).observe(list);

  const make = (symbol: string): Tab => {
    const priceText = h('span', { class: 'tab-price' });
    const change = h('span', { class: 'tab-change' });
    const button = h(
      'button',
      { type: 'button', role: 'tab', id: `tab-${symbol}`, 'aria-controls': 'chart-panel', 'aria-keyshortcuts': 'Delete', onclick: () => app.open(symbol) },
      h('span', { class: 'tab-symbol' }, symbol),
      priceText,
      change,
    );
    // For the mouse; the keyboard has Delete. A tab list may hold nothing but tabs.
    const remove = h('button', { type: 'button', class: 'tab-remove', tabindex: '-1', 'aria-hidden': 'true', title: `Stop following ${symbol}`, onclick: () => app.remove(symbol) }, icon('M4 4l8 8M12 4l-8 8', 12));
    return { element: h('div', { class: 'tab', role: 'presentation' }, button, remove), button, price: priceText, change };
  };

  const fill = () => {
    for (const symbol of dirty) {
      const tab = tabs.get(symbol);
      if (tab === undefined) continue;
      const { last, changeRatio, digits } = app.board.row(symbol);
      setText(tab.price, price(last, digits));
      setText(tab.change, percent(changeRatio));
      tab.change.className = `tab-change ${tone(changeRatio)}`;
    }
    dirty.clear();
  };

  const choose = () => {
    for (const [symbol, { button }] of tabs) {
      const selected = symbol === app.active;
      setAttribute(button, 'aria-selected', String(selected));
      setAttribute(button, 'tabindex', selected ? '0' : '-1');
      if (selected) button.parentElement?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    overflow();
  };

  const build = () => {
    for (const symbol of tabs.keys()) if (!app.symbols.includes(symbol)) tabs.delete(symbol);
    for (const symbol of app.symbols) {
      if (!tabs.has(symbol)) tabs.set(symbol, make(symbol));
      dirty.add(symbol);
    }
    list.replaceChildren(...app.symbols.flatMap((symbol) => tabs.get(symbol)?.element ?? []));
    fill();
    choose();
  };

  list.addEventListener('keydown', (event) => {
    if (event.key === 'Delete') app.remove(app.active);
    if (event.key !== 'Home' && event.key !== 'End') return;
    event.preventDefault();
    const symbol = event.key === 'Home' ? app.symbols[0] : app.symbols[app.symbols.length - 1];
    if (symbol !== undefined) app.open(symbol);
  });

  app.symbolsChanged.on(build);
  app.activeChanged.on(() => {
    const hadFocus = list.contains(document.activeElement);
    choose();
    if (hadFocus) tabs.get(app.active)?.button.focus();
  });
  const soon = paced(frames, DRAW_MS, fill);
  app.rowChanged.on((symbol) => {
    dirty.add(symbol);
    soon();
  });
  build();

  return h('div', { class: 'tab-bar' }, back, list, on);
}

/** `up`, `down` or nothing, as a class. */
export function tone(value: number | null): string {
  return value === null || value === 0 ? '' : value > 0 ? 'up' : 'down';
}
