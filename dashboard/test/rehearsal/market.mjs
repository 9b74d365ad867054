// A small seeded market: minutes of history for each symbol, then trades, quotes and bars as they would come from the feed.

const MINUTE = 60_000;
const DAY = 86_400_000;

/** Seeded numbers in [0, 1). */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const cents = (value) => Math.round(value * 100) / 100;

export class Listing {
  /** `committed`: what the database would hold. `emit(event, record)`: what the feed would publish. */
  constructor(symbol, seed, emit) {
    this.symbol = symbol;
    this.draw = random(seed);
    this.emit = emit;
    this.epoch = Date.now();
    this.seqs = { trade: 0, bar: 0, quote: 0 };
    this.committed = new Map();
    this.pending = [];
    this.price = 40 + this.draw() * 400;
    this.heat = 1;
    this.history();
  }

  /** Two round-the-clock days of minutes, and day bars for two years before them. */
  history() {
    const now = Math.floor(Date.now() / MINUTE) * MINUTE;
    this.days = [];
    for (let at = now - 730 * DAY; at < now - 2 * DAY; at += DAY) {
      const noon = new Date(at).setUTCHours(12, 0, 0, 0);
      if ([0, 6].includes(new Date(noon).getUTCDay())) continue;
      const start = noon - 7 * 3_600_000;
      this.days.push(this.walk(start, 60, 4e7));
    }
    for (let at = now - 2 * DAY; at < now; at += MINUTE) {
      // One hole, so that there is something to explain.
      const ago = (now - at) / MINUTE;
      if (ago > 40 && ago <= 47) continue;
      this.committed.set(at, this.walk(at, 1, 4_000));
    }
  }

  walk(timestamp, length, volume) {
    const open = this.price;
    let [high, low] = [open, open];
    for (let i = 0; i < 8; i += 1) {
      this.move(0.0004 * Math.sqrt(length));
      high = Math.max(high, this.price);
      low = Math.min(low, this.price);
    }
    const vwap = (high + low + this.price) / 3;
    return { timestamp, open: cents(open), high: cents(high), low: cents(low), close: cents(this.price), volume: Math.round(volume * (0.4 + this.draw() * 1.4)), trade_count: 60, vwap, final: true, revision: 0 };
  }

  move(step) {
    this.heat = Math.max(0.4, this.heat + (this.draw() - 0.5) * 0.2 - (this.heat - 1) * 0.05);
    this.price = Math.max(1, this.price * (1 + (this.draw() + this.draw() + this.draw() - 1.5) * step * this.heat));
  }

  bars() {
    return [...this.committed.values()].sort((a, b) => a.timestamp - b.timestamp);
  }

  record(kind, fields) {
    this.seqs[kind] += 1;
    this.emit(kind, { symbol: this.symbol, ...fields, source: 'rehearsal', epoch: this.epoch, seq: this.seqs[kind] });
  }

  trade() {
    this.move(0.00025);
    const now = Date.now();
    const odd = this.draw() < 0.25;
    const price = cents(this.price);
    const size = odd ? 1 + Math.floor(this.draw() * 99) : 100 * (1 + Math.floor(this.draw() ** 4 * 30));
    const trade = {
      price,
      size,
      timestamp: now,
      timestamp_ns: `${now}${String(Math.floor(this.draw() * 1e6)).padStart(6, '0')}`,
      trade_id: String(this.seqs.trade + 1),
      exchange: 'QPNVDZ'[Math.floor(this.draw() * 6)],
      conditions: odd ? ['@', 'I'] : ['@'],
      tape: 'C',
    };
    this.pending.push(trade);
    this.record('trade', trade);
    if (this.draw() < 0.3) {
      const half = 0.005 + Math.round(this.draw() * 3) / 100;
      this.record('quote', { bid: cents(price - half), bid_size: 100 * (1 + Math.floor(this.draw() * 9)), ask: cents(price + half), ask_size: 100 * (1 + Math.floor(this.draw() * 9)), timestamp: now });
    }
  }

  /** To be called often: closes minutes that are over. */
  close() {
    const current = Math.floor(Date.now() / MINUTE) * MINUTE;
    const done = this.pending.filter((trade) => trade.timestamp < current);
    if (done.length === 0) return;
    this.pending = this.pending.filter((trade) => trade.timestamp >= current);
    const minutes = new Map();
    for (const trade of done) {
      const start = Math.floor(trade.timestamp / MINUTE) * MINUTE;
      minutes.set(start, [...(minutes.get(start) ?? []), trade]);
    }
    for (const [timestamp, trades] of minutes) {
      const prices = trades.filter((trade) => !trade.conditions.includes('I')).map((trade) => trade.price);
      if (prices.length === 0) continue;
      const volume = trades.reduce((sum, trade) => sum + trade.size, 0);
      const notional = trades.reduce((sum, trade) => sum + trade.size * trade.price, 0);
      const bar = {
        timestamp,
        open: prices[0],
        high: Math.max(...prices),
        low: Math.min(...prices),
        close: prices[prices.length - 1],
        volume,
        trade_count: trades.length,
        vwap: notional / volume,
        final: true,
        revision: 0,
      };
      this.record('bar', { timeframe: '1Min', ...bar });
      setTimeout(() => this.committed.set(timestamp, bar), 250);
    }
  }
}
