/** A candle, and how one forms from trades. Pure: time is what the trades say. */
import { eligibility, OpenClose } from './conditions';
import type { Bar, Trade } from './records';
import { isExtendedHours, startOf } from './timeframe';

export interface Candle {
  /** Start of the interval, Unix milliseconds. */
  readonly start: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  /** Shares. */
  readonly volume: number;
  readonly tradeCount: number | null;
  readonly vwap: number | null;
  /** Whether the feed has closed this bar; a later revision may still replace it. */
  readonly final: boolean;
  readonly revision: number;
  /** `bar`: as the system recorded it. `trades`: formed here, until the bar arrives. */
  readonly madeOf: 'bar' | 'trades';
  /** Formed from only some of its trades, because listening began or broke off inside it. */
  readonly partial: boolean;
}

export function candleOf(bar: Bar): Candle {
  return {
    start: bar.timestamp,
    open: bar.open,
    high: bar.high,
    low: bar.low,
    close: bar.close,
    volume: bar.volume,
    tradeCount: bar.trade_count ?? null,
    vwap: bar.vwap ?? null,
    final: bar.final,
    revision: bar.revision,
    madeOf: 'bar',
    partial: false,
  };
}

/** A price, the time that earned it its place, and whether a stronger claim may replace it. */
interface Mark {
  readonly price: number;
  readonly at: Trade;
  readonly weak: boolean;
}

/** Nanoseconds within the millisecond. */
const fraction = (trade: Trade) => Number(trade.timestamp_ns?.slice(-6) ?? 0);

/** Below zero where `a` happened before `b`. */
function compareTimes(a: Trade, b: Trade): number {
  return a.timestamp - b.timestamp || fraction(a) - fraction(b);
}

/** The one-minute candle that forms while its minute runs, from trades in any order of arrival. */
export class FormingCandle {
  readonly start: number;
  /** Set where some of this minute's trades were not heard. */
  partial: boolean;
  private readonly extendedHours: boolean;
  private open: Mark | null = null;
  private close: Mark | null = null;
  private high = -Infinity;
  private low = Infinity;
  private volume = 0;
  private notional = 0;
  private tradeCount = 0;

  constructor(first: Trade, partial = false) {
    this.start = startOf('1Min', first.timestamp);
    this.extendedHours = isExtendedHours(this.start);
    this.partial = partial;
  }

  /** Goes on from a bar that holds every trade so far, except, where it is partial, some early ones. */
  static from(bar: Bar, partial: boolean, last: Trade): FormingCandle {
    const forming = new FormingCandle({ ...last, timestamp: bar.timestamp }, partial);
    forming.open = { price: bar.open, at: { ...last, timestamp: -Infinity }, weak: false };
    forming.close = { price: bar.close, at: last, weak: false };
    forming.high = bar.high;
    forming.low = bar.low;
    forming.volume = bar.volume;
    forming.notional = (bar.vwap ?? bar.close) * bar.volume;
    forming.tradeCount = bar.trade_count ?? 0;
    return forming;
  }

  /** Adds one trade of this minute. An odd lot, for one, adds volume and moves no price. */
  add(trade: Trade): void {
    const may = eligibility(trade.conditions, trade.tape, this.extendedHours);
    if (may.volume) {
      this.volume += trade.size;
      this.notional += trade.price * trade.size;
      this.tradeCount += 1;
    }
    if (may.highLow) {
      this.high = Math.max(this.high, trade.price);
      this.low = Math.min(this.low, trade.price);
    }
    this.setOpenAndClose(trade, may.openClose);
  }

  private setOpenAndClose(trade: Trade, rule: OpenClose): void {
    if (rule === OpenClose.Never) return;
    const mark: Mark = { price: trade.price, at: trade, weak: rule === OpenClose.IfUnset };
    if (rule === OpenClose.IfUnset) {
      this.open ??= mark;
      this.close ??= mark;
      return;
    }
    const newest = this.close === null || compareTimes(trade, this.close.at) >= 0;
    const claimsOpen = rule === OpenClose.Always || newest;
    if (claimsOpen && (this.open === null || this.open.weak || compareTimes(trade, this.open.at) < 0)) this.open = mark;
    if (newest || this.close?.weak) this.close = mark;
  }

  /** The candle as it stands; `null` while no trade has moved a price, because such a minute has no bar. */
  candle(): Candle | null {
    if (this.open === null || this.close === null) return null;
    const [open, close] = [this.open.price, this.close.price];
    return {
      start: this.start,
      open,
      high: Math.max(this.high, open, close),
      low: Math.min(this.low, open, close),
      close,
      volume: this.volume,
      tradeCount: this.tradeCount,
      vwap: this.volume > 0 ? this.notional / this.volume : null,
      final: false,
      revision: 0,
      madeOf: 'trades',
      partial: this.partial,
    };
  }
}

/** One candle out of several that follow each other; `null` for none. */
export function combine(start: number, parts: readonly Candle[]): Candle | null {
  const [first] = parts;
  const last = parts[parts.length - 1];
  if (first === undefined || last === undefined) return null;
  let [high, low, volume, weighted, weight, tradeCount] = [-Infinity, Infinity, 0, 0, 0, 0];
  for (const part of parts) {
    high = Math.max(high, part.high);
    low = Math.min(low, part.low);
    volume += part.volume;
    tradeCount += part.tradeCount ?? 0;
    if (part.vwap === null) continue;
    weighted += part.vwap * part.volume;
    weight += part.volume;
  }
  return {
    start,
    open: first.open,
    high,
    low,
    close: last.close,
    volume,
    tradeCount,
    vwap: weight > 0 ? weighted / weight : null,
    final: parts.every((part) => part.final),
    revision: 0,
    madeOf: parts.every((part) => part.madeOf === 'bar') ? 'bar' : 'trades',
    partial: parts.some((part) => part.partial),
  };
}
