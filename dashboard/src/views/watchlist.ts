/**
 * The followed symbols as a table that moves. Values change many times a second; the page writes them eight times a second at most, only
 * those on screen, sorts once a second, and draws sparklines when their minute is worth it.
 */
import type { App } from '../app';
import type { Row } from '../core/board';
import { compact, percent, price } from '../core/format';
import { clicked, COLUMNS, ordered, type Column, type Sort } from '../core/sort';
import { palette } from '../core/theme';
import { h, icon, paced, setAttribute, setText, type Frames } from './dom';
import { flash } from './flash';
import { listMenu } from './list-menu';
import { drawSpark, sparkCanvas } from './spark';
import { tone } from './tabs';

const NAMES: Record<Column, string> = { symbol: 'Symbol', company: 'Company', last: 'Last', change: 'Chg %', spread: 'Spread', volume: 'Volume' };
/** All rows that changed are written together: one layout for many. */
const DRAW_MS = 125;
const SLOW_MS = 1_000;

interface Line {
  readonly element: HTMLTableRowElement;
  readonly button: HTMLButtonElement;
  readonly company: HTMLElement;
  readonly last: HTMLElement;
  readonly change: HTMLElement;
  readonly spread: HTMLElement;
  readonly volume: HTMLElement;
  readonly spark: HTMLCanvasElement;
  changes: number;
  sparkDue: boolean;
  /** Whether the row is on screen. */
  seen: boolean;
}

export function watchlistView(app: App, frames: Frames): HTMLElement {
  const lines = new Map<string, Line>();
  const dirty = new Set<string>();
  const body = h('tbody');
  const heads = new Map<Column, HTMLElement>();
  let sort = keptSort(app);
  let colours = palette(document.documentElement);

  /** What nobody sees is not written; it is, once it comes into view. */
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const symbol = (target as HTMLElement).dataset['symbol'] ?? '';
      const line = lines.get(symbol);
      if (line === undefined) continue;
      line.seen = isIntersecting;
      dirty.add(symbol);
    }
    soon();
  });

  const make = (symbol: string): Line => {
    const cell = (name: string) => h('td', { class: name });
    const [company, last, change, spread, volume] = [cell('company'), cell('last'), cell('change'), cell('spread'), cell('volume')];
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
      { 'data-symbol': symbol, draggable: 'true', onclick: () => app.open(symbol) },
      h('th', { scope: 'row' }, button),
      company,
      last,
      change,
      spread,
      volume,
      h('td', { class: 'spark' }, spark, drop),
    );
    watcher.observe(element);
    return { element, button, company, last: glow, change, spread, volume, spark, changes: -1, sparkDue: true, seen: true };
  };

  const fill = () => {
    for (const symbol of dirty) {
      const line = lines.get(symbol);
      if (line?.seen === false) continue;
      dirty.delete(symbol);
      if (line === undefined) continue;
      const row = app.board.row(symbol);
      const company = app.companies.get(symbol)?.name ?? '';
      setText(line.company, company);
      if (line.company.title !== company) line.company.title = company;
      setText(line.last, price(row.last, row.digits));
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
  };

  const soon = paced(frames, DRAW_MS, fill);

  const slow = () => {
    if (document.hidden || !body.isConnected) return;
    if (sort !== null) arrange();
    for (const [symbol, line] of lines) {
      if (!line.sparkDue || !line.seen) continue;
      line.sparkDue = false;
      const row = app.board.row(symbol);
      const { spark } = row;
      const rose = (spark[spark.length - 1] ?? 0) >= (spark[0] ?? 0);
      drawSpark(line.spark, spark, rose ? colours.up : colours.down);
    }
  };

  /** Moves only the rows that are not where they belong. */
  const arrange = () => {
    const order = ordered(app.symbols, (symbol) => app.board.row(symbol), sort, (symbol) => app.companies.get(symbol)?.name ?? null);
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
      watcher.unobserve(line.element);
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
    const own = document.activeElement?.closest<HTMLElement>('tr')?.dataset['symbol'];
    if (event.altKey && own !== undefined) {
      event.preventDefault();
      move(own, event.key === 'ArrowDown' ? 1 : -1);
      return lines.get(own)?.button.focus();
    }
    const rows = [...body.querySelectorAll<HTMLButtonElement>('.watch-symbol')];
    const at = rows.indexOf(document.activeElement as HTMLButtonElement);
    if (at < 0) return;
    event.preventDefault();
    rows[(at + (event.key === 'ArrowDown' ? 1 : -1) + rows.length) % rows.length]?.focus();
  });

  const move = (symbol: string, to: string | number) => {
    sort = null;
    app.move(symbol, to);
    markSort();
  };
  let dragged: string | null = null;
  const rowOf = (event: DragEvent) => (event.target instanceof Element ? event.target.closest<HTMLElement>('tr') : null);
  body.addEventListener('dragstart', (event) => {
    dragged = rowOf(event)?.dataset['symbol'] ?? null;
    event.dataTransfer?.setData('text/plain', dragged ?? '');
  });
  body.addEventListener('dragover', (event) => {
    if (dragged !== null) event.preventDefault();
  });
  body.addEventListener('drop', (event) => {
    event.preventDefault();
    const target = rowOf(event)?.dataset['symbol'];
    if (dragged !== null && target !== undefined) move(dragged, target);
    dragged = null;
  });

  app.symbolsChanged.on(build);
  app.activeChanged.on(choose);
  app.settingsChanged.on(() => {
    sort = keptSort(app);
    markSort();
  });
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
    h('div', { class: 'panel-head' }, h('h2', {}, 'Watchlist'), h('span', { class: 'space' }), listMenu(app)),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Watchlist table' }, h('table', {}, h('thead', {}, headRow), body)),
  );
}

function spread({ spread, digits }: Row): string {
  return price(spread, digits);
}

function keptSort(app: App): Sort | null {
  const { sort } = app.settings;
  const column = COLUMNS.find((one) => one === sort?.column);
  return sort === null || column === undefined ? null : { column, descending: sort.descending === true };
}
