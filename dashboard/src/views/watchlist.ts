/**
 * The followed symbols as a table that moves. Values change many times a second; the page writes them twenty times a second at most,
 * sorts once a second, and draws sparklines when their minute is worth it.
 */
import type { App } from '../app';
import type { Row } from '../core/board';
import { compact, pennies, percent, price } from '../core/format';
import { clicked, COLUMNS, ordered, type Column, type Sort } from '../core/sort';
import { palette } from '../core/theme';
import { h, icon, paced, setAttribute, setText, type Frames } from './dom';
import { flash } from './flash';
import { drawSpark, sparkCanvas } from './spark';
import { tone } from './tabs';

const NAMES: Record<Column, string> = { symbol: 'Symbol', last: 'Last', change: 'Chg %', spread: 'Spread', volume: 'Volume' };
/** All rows that changed are written together: one layout for many. */
const DRAW_MS = 50;
const SLOW_MS = 1_000;

interface Line {
  readonly element: HTMLTableRowElement;
  readonly button: HTMLButtonElement;
  readonly last: HTMLElement;
  readonly change: HTMLElement;
  readonly spread: HTMLElement;
  readonly volume: HTMLElement;
  readonly spark: HTMLCanvasElement;
  changes: number;
  sparkDue: boolean;
}

export function watchlistView(app: App, frames: Frames): HTMLElement {
  const lines = new Map<string, Line>();
  const dirty = new Set<string>();
  const body = h('tbody');
  const heads = new Map<Column, HTMLElement>();
  let sort = keptSort(app);
  let colours = palette(document.documentElement);

  const make = (symbol: string): Line => {
    const cell = (name: string) => h('td', { class: name });
    const [last, change, spread, volume] = [cell('last'), cell('change'), cell('spread'), cell('volume')];
    const glow = h('span', { class: 'glow' });
    last.append(glow);
    const spark = sparkCanvas();
    const button = h('button', { type: 'button', class: 'watch-symbol' }, symbol);
    const drop = h(
      'button',
      {
        type: 'button',
        class: 'watch-remove',
        'aria-label': `Stop following ${symbol}`,
        tabindex: '-1',
        onclick: (event: Event) => {
          event.stopPropagation();
          app.remove(symbol);
        },
      },
      icon('M4.5 4.5l7 7M11.5 4.5l-7 7', 12),
    );
    const element = h(
      'tr',
      { 'data-symbol': symbol, onclick: () => app.open(symbol) },
      h('th', { scope: 'row' }, button),
      last,
      change,
      spread,
      volume,
      h('td', { class: 'spark' }, spark, drop),
    );
    return { element, button, last: glow, change, spread, volume, spark, changes: -1, sparkDue: true };
  };

  const fill = () => {
    for (const symbol of dirty) {
      const line = lines.get(symbol);
      if (line === undefined) continue;
      const row = app.board.row(symbol);
      setText(line.last, price(row.last, pennies(row.last)));
      setText(line.change, percent(row.changeRatio));
      const reason = app.unavailable.get(symbol);
      setAttribute(line.button, 'title', reason === undefined ? (app.companies.get(symbol)?.name ?? null) : `No live data: ${reason}`);
      line.element.classList.toggle('unavailable', reason !== undefined);
      const kind = `change ${tone(row.changeRatio)}`;
      if (line.change.className !== kind) line.change.className = kind;
      setText(line.spread, spread(row));
      setText(line.volume, compact(row.day.volume));
      if (line.changes !== -1 && line.changes !== row.changes && row.direction !== null) flash(line.last, row.direction);
      line.changes = row.changes;
      line.sparkDue = true;
    }
    dirty.clear();
  };

  const slow = () => {
    if (document.hidden || !body.isConnected) return;
    if (sort !== null) arrange();
    for (const [symbol, line] of lines) {
      if (!line.sparkDue) continue;
      line.sparkDue = false;
      const row = app.board.row(symbol);
      const { spark } = row;
      const rose = (spark[spark.length - 1] ?? 0) >= (spark[0] ?? 0);
      drawSpark(line.spark, spark, rose ? colours.up : colours.down);
    }
  };

  /** Moves only the rows that are not where they belong. */
  const arrange = () => {
    const order = ordered(app.symbols, (symbol) => app.board.row(symbol), sort);
    for (const [index, symbol] of order.entries()) {
      const element = lines.get(symbol)?.element;
      const there = body.children[index] ?? null;
      if (element !== undefined && there !== element) body.insertBefore(element, there);
    }
  };

  const choose = () => {
    for (const [symbol, line] of lines) {
      setAttribute(line.button, 'aria-current', symbol === app.active ? 'true' : null);
      line.element.classList.toggle('active', symbol === app.active);
    }
  };

  const build = () => {
    for (const [symbol, line] of lines) {
      if (app.symbols.includes(symbol)) continue;
      line.element.remove();
      lines.delete(symbol);
    }
    for (const symbol of app.symbols) {
      if (!lines.has(symbol)) lines.set(symbol, make(symbol));
      dirty.add(symbol);
    }
    arrange();
    choose();
    fill();
  };

  const markSort = () => {
    for (const [column, head] of heads) {
      const direction = sort?.column !== column ? 'none' : sort.descending ? 'descending' : 'ascending';
      setAttribute(head, 'aria-sort', direction);
    }
  };
  const headRow = h('tr');
  for (const column of COLUMNS) {
    const click = () => {
      sort = clicked(sort, column);
      app.settings.sort = sort;
      app.save();
      markSort();
      arrange();
    };
    const head = h('th', { scope: 'col', class: column }, h('button', { type: 'button', onclick: click }, NAMES[column]));
    heads.set(column, head);
    headRow.append(head);
  }
  headRow.append(h('th', { scope: 'col', class: 'spark' }, 'Last hour'));

  body.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    const rows = [...body.querySelectorAll<HTMLButtonElement>('.watch-symbol')];
    const at = rows.indexOf(document.activeElement as HTMLButtonElement);
    if (at < 0) return;
    event.preventDefault();
    rows[(at + (event.key === 'ArrowDown' ? 1 : -1) + rows.length) % rows.length]?.focus();
  });

  app.symbolsChanged.on(build);
  app.activeChanged.on(choose);
  const soon = paced(frames, DRAW_MS, fill);
  app.rowChanged.on((symbol) => {
    dirty.add(symbol);
    soon();
  });
  new MutationObserver(() => {
    colours = palette(document.documentElement);
    for (const line of lines.values()) line.sparkDue = true;
    slow();
  }).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  setInterval(slow, SLOW_MS);
  markSort();
  build();
  frames.soon(slow);
  return h(
    'section',
    { class: 'panel watchlist', 'aria-label': 'Watchlist' },
    h('div', { class: 'panel-head' }, h('h2', {}, 'Watchlist')),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Watchlist table' }, h('table', {}, h('thead', {}, headRow), body)),
  );
}

/** In the decimals of the price that it belongs to: 0.02, not 0.0200. */
function spread({ spread, quote }: Row): string {
  return spread === null ? '–' : price(spread, pennies(quote?.bid ?? null));
}

function keptSort(app: App): Sort | null {
  const { sort } = app.settings;
  const column = COLUMNS.find((one) => one === sort?.column);
  return sort === null || column === undefined ? null : { column, descending: sort.descending === true };
}
