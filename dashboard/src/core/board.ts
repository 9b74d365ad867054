/**
 * What is known of each symbol besides its chart: price, change, day's range and volume, spread, sparkline. Pure; views read it once a
 * frame. Day values come from the day's closed hours (from the API) and from minute candles, which live bars and trades keep current.
 */
import { candleOf, type Candle } from '../lib/candle';
import { isAtOrAfter, Positions } from '../lib/positions';
import type { Bar, Position, Quote, Snapshot, Trade } from '../lib/records';
import { MinuteSeries } from '../lib/series';
import { dayStart } from '../lib/timeframe';
import { eligibility } from '../lib/conditions';
import { tickDigits } from './format';

/** What a change is measured against. */
export interface Reference {
  readonly price: number;
  readonly kind: 'previous close' | 'first price of the day';
}

export interface Day {
  readonly open: number | null;
  readonly high: number | null;
  readonly low: number | null;
  readonly volume: number | null;
}

/** What the API gave for one symbol. */
export interface Seed {
  readonly days: readonly Bar[];
  /** Before `cut`. */
  readonly hours: readonly Bar[];
  readonly minutes: readonly Bar[];
  /** From here on minutes count, before it hours: none counts twice. */
  readonly cut: number;
}

const SPARK_POINTS = 60;

export class Row {
  /** The price of the newest trade that counts as one, else of the newest bar. */
  last: number | null = null;
  /** When that was, Unix milliseconds. */
  lastAt: number | null = null;
  lastTrade: Trade | null = null;
  /** Of the last change of price. */
  direction: 'up' | 'down' | null = null;
  /** Grows with each change of price, so that a view knows to flash. */
  changes = 0;
  quote: Quote | null = null;
  seeded = false;
  private readonly minutes = new MinuteSeries();
  private readonly positions = new Positions();
  private hours: readonly Bar[] = [];
  private cut = -Infinity;
  private previousClose: number | null = null;
  private today: Day | null = null;
  /** The newest bar that was heard, or that the gateway knew of. */
  private barsThrough: Position | null = null;
  /** The price that the tick goes by where there is no previous close. */
  private firstPrice: number | null = null;

  constructor(readonly symbol: string) {}

  /** Trades of the tape, each once. Returns `false` for one that was here before. */
  onTrade(trade: Trade): boolean {
    if (this.positions.judge(trade) === 'repeat') return false;
    this.lastTrade = trade;
    if (this.minutes.trade(trade) !== null) this.today = null;
    // An odd lot is a price that somebody paid, but not one that the tape counts as the last.
    if (eligibility(trade.conditions, trade.tape, true).openClose > 0) this.setLast(trade.price, trade.timestamp);
    return true;
  }

  onBar(bar: Bar): void {
    if (bar.epoch !== undefined && bar.seq !== undefined) this.heardBars({ epoch: bar.epoch, seq: bar.seq });
    if (bar.timeframe !== undefined && bar.timeframe !== '1Min') return;
    this.merge([bar]);
  }

  /** What the gateway knew when the subscription began. Its trade is not one of the stream: it adds to no volume. */
  onSnapshot({ trade, quote, bar, partial, previousClose, trades, bars }: Snapshot): void {
    if (quote !== null) this.quote = quote;
    this.previousClose = previousClose ?? this.previousClose;
    if (bars !== null) this.heardBars(bars);
    if (bar?.final === true) this.merge([bar]);
    else if (bar !== null && trade !== null && trades !== null && this.positions.reaches(trades)) {
      this.positions.skipTo(trades, trade.source);
      if (this.minutes.resume(bar, partial, trade) !== null) this.today = null;
    }
    if (trade === null || trade.timestamp < (this.lastAt ?? 0)) return;
    this.lastTrade ??= trade;
    if (eligibility(trade.conditions, trade.tape, true).openClose > 0) this.setLast(trade.price, trade.timestamp);
  }

  /** Trades may be missed from now on. */
  interrupt(): void {
    this.minutes.interrupt();
  }

  /** What a snapshot of the gateway would say of the running minute now: a chart that is opened later begins with it. */
  get snapshot(): Snapshot | null {
    const { lastTrade: trade, symbol, quote, previousClose, barsThrough } = this;
    const trades = trade === null ? null : this.positions.at(trade.source);
    if (trade === null || trades === null) return null;
    const candle = this.minutes.candles[this.minutes.candles.length - 1];
    const running = candle?.final === false ? candle : null;
    return { symbol, trade, quote, bar: running === null ? null : barOf(running), partial: running?.partial ?? false, previousClose, unavailable: null, trades, bars: barsThrough };
  }

  /** Digits of the symbol's tick. They stay while it trades, also where a single price is finer. */
  get digits(): number {
    return tickDigits(this.previousClose ?? this.firstPrice);
  }

  seed({ days, hours, minutes, cut }: Seed): void {
    this.seeded = true;
    this.hours = hours;
    this.cut = cut;
    this.today = null;
    const newest = minutes[minutes.length - 1] ?? hours[hours.length - 1] ?? days[days.length - 1];
    const day = dayStart(newest?.timestamp ?? 0);
    this.previousClose = [...days].reverse().find((bar) => bar.timestamp < day)?.close ?? this.previousClose;
    this.merge(minutes);
    if (this.last === null && newest !== undefined) this.setLast(newest.close, newest.timestamp);
  }

  /** Only the newest bar: enough for a price before anything else is known. */
  glimpse(bar: Bar): void {
    this.merge([bar]);
  }

  get reference(): Reference | null {
    if (this.previousClose !== null) return { price: this.previousClose, kind: 'previous close' };
    const { open } = this.day;
    return open === null || !this.seeded ? null : { price: open, kind: 'first price of the day' };
  }

  get change(): number | null {
    return this.last === null || this.reference === null ? null : this.last - this.reference.price;
  }

  /** 0.01 is one percent. */
  get changeRatio(): number | null {
    const { change, reference } = this;
    return change === null || reference === null ? null : change / reference.price;
  }

  get spread(): number | null {
    const { quote } = this;
    return quote === null || quote.bid === null || quote.ask === null ? null : quote.ask - quote.bid;
  }

  /** Closes of the newest minutes, oldest first. */
  get spark(): number[] {
    return this.minutes.candles.slice(-SPARK_POINTS).map((candle) => candle.close);
  }

  get day(): Day {
    this.today ??= this.computeDay();
    return this.today;
  }

  private merge(bars: readonly Bar[]): void {
    if (this.minutes.merge(bars) !== null) this.today = null;
    const newest = this.minutes.candles[this.minutes.candles.length - 1];
    if (newest !== undefined && newest.start >= (this.lastAt ?? 0)) this.setLast(newest.close, newest.start);
  }

  private heardBars(position: Position): void {
    if (this.barsThrough === null || isAtOrAfter(position, this.barsThrough)) this.barsThrough = position;
  }

  private setLast(price: number, at: number): void {
    this.firstPrice ??= price;
    if (this.last !== null && price !== this.last) {
      this.direction = price > this.last ? 'up' : 'down';
      this.changes += 1;
    }
    this.last = price;
    this.lastAt = Math.max(at, this.lastAt ?? at);
  }

  private computeDay(): Day {
    const minutes = this.minutes.candles;
    const newest = minutes[minutes.length - 1]?.start ?? this.hours[this.hours.length - 1]?.timestamp;
    if (newest === undefined) return { open: null, high: null, low: null, volume: null };
    const day = dayStart(newest);
    const parts = [
      ...this.hours.filter((bar) => bar.timestamp >= day).map(candleOf),
      ...minutes.filter((candle) => candle.start >= Math.max(day, this.cut)),
    ];
    return {
      open: parts[0]?.open ?? null,
      high: Math.max(...parts.map((part) => part.high)),
      low: Math.min(...parts.map((part) => part.low)),
      volume: parts.reduce((sum, part) => sum + part.volume, 0),
    };
  }
}

function barOf({ start, open, high, low, close, volume, tradeCount, vwap }: Candle): Bar {
  const more = { ...(tradeCount === null ? {} : { trade_count: tradeCount }), ...(vwap === null ? {} : { vwap }) };
  return { timestamp: start, open, high, low, close, volume, final: false, revision: 0, ...more };
}

/** All symbols that are followed. */
export class Board {
  private readonly rows = new Map<string, Row>();

  row(symbol: string): Row {
    let row = this.rows.get(symbol);
    if (row === undefined) {
      row = new Row(symbol);
      this.rows.set(symbol, row);
    }
    return row;
  }

  /** Trades of every symbol may be missed from now on. */
  interrupt(): void {
    for (const row of this.rows.values()) row.interrupt();
  }

  drop(symbol: string): void {
    this.rows.delete(symbol);
  }
}
