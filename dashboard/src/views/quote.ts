/** The shown symbol's price and day. */
import type { App } from '../app';
import { compact, decimals, exchange, percent, price, signed, when } from '../core/format';
import { h, setText, type Frames } from './dom';
import { flash } from './flash';
import { tone } from './tabs';

const SESSIONS = { open: 'Market open', pre: 'Pre-market', post: 'After hours', closed: 'Market closed' } as const;

export function quoteView(app: App, frames: Frames): HTMLElement {
  const symbol = h('h1', { class: 'quote-symbol' });
  const company = h('span', { class: 'quote-company quiet' });
  const session = h('span', { class: 'quote-session quiet' });
  const unavailable = h('p', { class: 'quote-unavailable warn', role: 'status', hidden: true });
  const last = h('span', { class: 'quote-price', 'data-testid': 'last-price' });
  const change = h('span', { class: 'quote-change' });
  const against = h('span', { class: 'quiet quote-against' });
  const cells = new Map<string, HTMLElement>();
  const facts = h('dl', { class: 'quote-facts' });
  for (const name of ['Bid', 'Ask', 'Open', 'High', 'Low', 'Volume', 'Venue', 'Last trade']) {
    const value = h('dd');
    cells.set(name, value);
    facts.append(h('div', {}, h('dt', {}, name), value));
  }
  let changes = -1;

  const fill = () => {
    const row = app.board.row(app.active);
    const { day, quote, reference } = row;
    const digits = row.last === null ? 2 : decimals(row.last);
    setText(symbol, row.symbol);
    const known = app.companies.get(row.symbol);
    setText(company, [known?.name, known?.exchange].filter(Boolean).join(' · '));
    const reason = app.unavailable.get(row.symbol);
    unavailable.hidden = reason === undefined;
    setText(unavailable, reason === undefined ? '' : `No live data: ${reason}`);
    setText(session, app.heartbeat === null ? '' : SESSIONS[app.heartbeat.market]);
    setText(last, price(row.last));
    setText(change, row.change === null ? '' : `${signed(row.change, digits)}  ${percent(row.changeRatio)}`);
    change.className = `quote-change ${tone(row.change)}`;
    setText(against, reference === null ? '' : `against the ${reference.kind}, ${price(reference.price)}`);
    if (changes !== -1 && row.changes !== changes && row.direction !== null) flash(last, row.direction);
    changes = row.changes;

    const side = (value: number | null | undefined, size: number | null | undefined) =>
      value === null || value === undefined ? '–' : `${price(value)}${size ? ` × ${compact(size)}` : ''}`;
    const set = (name: string, text: string) => setText(cells.get(name) as Element, text);
    set('Bid', side(quote?.bid, quote?.bidSize));
    set('Ask', side(quote?.ask, quote?.askSize));
    set('Open', price(day.open));
    set('High', price(day.high));
    set('Low', price(day.low));
    set('Volume', compact(day.volume));
    set('Venue', exchange(row.lastTrade?.exchange));
    set('Last trade', row.lastTrade === null ? '–' : when(row.lastTrade.timestamp, Date.now()));
  };

  app.activeChanged.on(() => {
    changes = -1;
    fill();
  });
  app.rowChanged.on((changed) => {
    if (changed === app.active) frames.soon(fill);
  });
  app.symbolsChanged.on(fill);
  setInterval(fill, 1_000);
  fill();
  return h(
    'section',
    { class: 'panel quote', 'aria-label': 'Quote' },
    h('div', { class: 'quote-name' }, symbol, company, session),
    h('div', { class: 'quote-main' }, last, change, against),
    facts,
    unavailable,
  );
}
