/** Time & sales: each trade of the shown symbol as it comes, with a filter by size and a pause. */
import type { App } from '../app';
import { exchange, price, shares, tapeTime } from '../core/format';
import type { Print } from '../core/tape';
import { eligibility } from '../lib/conditions';
import { h, paced, setAttribute, setText, type Frames } from './dom';

const SIZES = [0, 100, 500, 1_000, 10_000];
const ROWS = 60;
/** Faster than anyone reads; a burst of thousands is a few redraws. */
const DRAW_MS = 125;

interface Line {
  readonly element: HTMLTableRowElement;
  readonly cells: HTMLTableCellElement[];
}

export function tapeView(app: App, frames: Frames): HTMLElement {
  const body = h('tbody');
  const lines: Line[] = [];
  let size = 0;
  let paused = false;
  /** How many trades there were when the tape was paused. */
  let pausedAt = 0;

  const line = (index: number): Line => {
    const known = lines[index];
    if (known !== undefined) return known;
    const cells = [h('td', { class: 'tape-time' }), h('td', { class: 'tape-price' }), h('td', { class: 'tape-size' }), h('td', { class: 'tape-venue' })];
    const made = { element: h('tr', {}, ...cells), cells };
    lines[index] = made;
    return made;
  };

  const draw = () => {
    const count = app.tape.count(app.active);
    setText(news, paused ? `${shares(count - pausedAt)} new` : '');
    if (paused) return;
    const prints = app.tape.newest(app.active, ROWS, size);
    for (const [index, print] of prints.entries()) {
      const { element, cells } = line(index);
      write(element, cells, print);
      if (element.parentElement !== body) body.append(element);
    }
    while (body.children.length > prints.length) body.lastChild?.remove();
    empty.hidden = prints.length > 0;
    setText(empty, size === 0 ? 'No trade heard yet.' : `No trade of ${shares(size)} shares or more heard yet.`);
  };

  const soon = paced(frames, DRAW_MS, draw);

  const choose = h('select', { 'aria-label': 'Smallest trade shown' }, ...SIZES.map((one) => h('option', { value: one }, one === 0 ? 'All sizes' : `${shares(one)}+`)));
  choose.addEventListener('change', () => {
    size = Number(choose.value);
    draw();
  });
  const news = h('span', { class: 'quiet' });
  const pause = h('button', { type: 'button', class: 'toggle', 'aria-pressed': 'false' }, 'Pause');
  pause.addEventListener('click', () => {
    paused = !paused;
    pausedAt = app.tape.count(app.active);
    setAttribute(pause, 'aria-pressed', String(paused));
    draw();
  });
  const empty = h('p', { class: 'message' });

  app.tapeChanged.on((symbol) => {
    if (symbol === app.active) soon();
  });
  app.activeChanged.on(() => {
    pausedAt = app.tape.count(app.active);
    if (paused) pause.click();
    else draw();
  });
  draw();
  const heads = ['Time', 'Price', 'Size', 'Venue'].map((name) => h('th', { scope: 'col' }, name));
  return h(
    'section',
    { class: 'panel tape', 'aria-label': 'Time and sales' },
    h('div', { class: 'panel-head' }, h('h2', {}, 'Time & sales'), news, h('span', { class: 'space' }), choose, pause),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Trades, newest first' }, h('table', {}, h('thead', {}, h('tr', {}, ...heads)), body), empty),
  );
}

function write(element: HTMLElement, [at, paid, amount, venue]: HTMLElement[], { trade, tick }: Print): void {
  if (at === undefined || paid === undefined || amount === undefined || venue === undefined) return;
  setText(at, tapeTime(trade.timestamp));
  setText(paid, price(trade.price));
  setText(amount, shares(trade.size));
  setText(venue, exchange(trade.exchange));
  const kind = `tape-price ${tick ?? ''}`;
  if (paid.className !== kind) paid.className = kind;
  // What sets no price is part of the tape, but it is not what the chart follows.
  const rules = eligibility(trade.conditions, trade.tape, true);
  element.classList.toggle('aside', !rules.highLow && rules.openClose === 0);
  setAttribute(element, 'data-id', trade.seq === undefined ? (trade.trade_id ?? null) : String(trade.seq));
  setAttribute(element, 'title', trade.conditions === undefined ? null : `Conditions: ${trade.conditions.join(' ')}`);
}
