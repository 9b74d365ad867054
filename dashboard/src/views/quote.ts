/** The shown symbol's price and day. */
import type { App } from '../app';
import type { Heartbeat } from '../core/badge';
import { compact, exchange, percent, price, signed, when } from '../core/format';
import { h, paced, setAttribute, setText, type Frames } from './dom';
import { flash } from './flash';
import { tone } from './tabs';

const SESSIONS = { open: 'Market open', pre: 'Pre-market', post: 'After hours', closed: 'Market closed' } as const;
const KINDS = { live: '', delayed: 'Delayed data', simulated: 'Simulated data', replay: 'Replayed data' } as const;
/** Faster than anyone reads. */
const DRAW_MS = 100;

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
    const { digits } = row;
    setText(symbol, row.symbol);
    const known = app.companies.get(row.symbol);
    setText(company, [known?.name, known?.exchange].filter(Boolean).join(' · '));
    const reason = app.unavailable.get(row.symbol);
    unavailable.hidden = reason === undefined;
    setText(unavailable, reason === undefined ? '' : `No live data: ${reason}`);
    setText(session, app.heartbeat === null ? '' : sessionText(app.heartbeat));
    setAttribute(session, 'data-market', app.heartbeat?.market ?? null);
    setText(last, price(row.last, digits));
    setText(change, row.change === null ? '' : `${signed(row.change, digits)}  ${percent(row.changeRatio)}`);
    change.className = `quote-change ${tone(row.change)}`;
    setText(against, reference === null ? '' : `against the ${reference.kind}, ${price(reference.price, digits)}`);
    if (changes !== -1 && row.changes !== changes && row.direction !== null) flash(last, row.direction);
    changes = row.changes;

    const side = (value: number | null | undefined, size: number | null | undefined) =>
      value === null || value === undefined ? '–' : `${price(value, digits)}${size ? ` × ${compact(size)}` : ''}`;
    const set = (name: string, text: string) => setText(cells.get(name) as Element, text);
    set('Bid', side(quote?.bid, quote?.bidSize));
    set('Ask', side(quote?.ask, quote?.askSize));
    set('Open', price(day.open, digits));
    set('High', price(day.high, digits));
    set('Low', price(day.low, digits));
    set('Volume', compact(day.volume));
    set('Venue', exchange(row.lastTrade?.exchange));
    set('Last trade', row.lastTrade === null ? '–' : when(row.lastTrade.timestamp, Date.now()));
  };

  const soon = paced(frames, DRAW_MS, fill);
  app.activeChanged.on(() => {
    changes = -1;
    fill();
  });
  app.rowChanged.on((changed) => {
    if (changed === app.active) soon();
  });
  app.settingsChanged.on(fill);
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

/** Whose market, and whether it is one: prices that move while the market is closed need an explanation. */
function sessionText({ market, data }: Heartbeat): string {
  const kind = KINDS[data];
  return kind === '' ? SESSIONS[market] : `${kind} · ${SESSIONS[market].toLowerCase()}`;
}
