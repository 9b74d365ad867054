/**
 * One symbol's minute candles, out of three sources that overlap: history pages, `bar` events and trades.
 *
 * The rule that leaves neither hole nor double: there is one candle per minute, a bar always beats a candle formed from trades, and
 * among bars a final one beats a running one, then the higher revision wins, and at equal revision the later arrival.
 */
import { candleOf, FormingCandle, type Candle } from './candle';
import type { Bar, Trade } from './records';
import { startOf } from './timeframe';

export class MinuteSeries {
  private readonly list: Candle[] = [];
  /** Minutes that no final bar has closed yet, with the trades heard of them. */
  private readonly forming = new Map<number, FormingCandle>();
  /** Minutes up to this one may have had trades before listening began. */
  private unheardThrough: number | null = null;
  private justListening = true;

  get candles(): readonly Candle[] {
    return this.list;
  }

  /** The earliest minute that is over, by the trades themselves, and still has no bar; `null` for none. */
  get unconfirmed(): number | null {
    const newest = this.list[this.list.length - 1];
    if (newest === undefined) return null;
    for (let i = this.list.length - 1; i >= 0; i -= 1) {
      const candle = this.list[i];
      if (candle === undefined || candle.madeOf === 'bar') {
        const next = this.list[i + 1];
        return next !== undefined && next.start < newest.start ? next.start : null;
      }
    }
    const first = this.list[0];
    return first !== undefined && first.start < newest.start ? first.start : null;
  }

  /** Trades may have been missed from here on: the candle they belong to will be marked as partial. */
  interrupt(): void {
    this.justListening = true;
    for (const forming of this.forming.values()) forming.partial = true;
    const last = this.list[this.list.length - 1];
    if (last?.madeOf === 'trades') this.put({ ...last, partial: true });
  }

  /** Takes bars in; returns the start of the earliest candle that changed, or `null`. */
  merge(bars: readonly Bar[]): number | null {
    let earliest: number | null = null;
    for (const bar of bars) {
      if (!this.mergeOne(bar)) continue;
      earliest = earliest === null ? bar.timestamp : Math.min(earliest, bar.timestamp);
    }
    return earliest;
  }

  /**
   * Takes in the running minute as somebody else heard it, up to and including the trade `last`: trades that follow are added to it.
   * Returns the start of the candle that changed, or `null`.
   */
  resume(bar: Bar, partial: boolean, last: Trade): number | null {
    const known = this.at(bar.timestamp);
    if (known?.madeOf === 'bar' && known.final) return null;
    const forming = FormingCandle.from(bar, partial, last);
    const candle = forming.candle();
    if (candle === null) return null;
    this.forming.set(bar.timestamp, forming);
    this.justListening = false;
    // Minutes before this one may still be missing trades, later ones cannot.
    this.unheardThrough = partial ? bar.timestamp : bar.timestamp - 1;
    this.put(candle);
    return bar.timestamp;
  }

  /** Takes a trade in; returns the start of the candle that changed, or `null`. */
  trade(trade: Trade): number | null {
    const start = startOf('1Min', trade.timestamp);
    if (this.justListening) {
      this.justListening = false;
      this.unheardThrough = Math.max(start, this.unheardThrough ?? start);
    }
    const known = this.at(start);
    // A late trade of a closed minute: the feed revises the bar where it matters.
    if (known?.madeOf === 'bar' && known.final) return null;
    let forming = this.forming.get(start);
    if (forming === undefined) {
      forming = new FormingCandle(trade, this.unheardThrough !== null && start <= this.unheardThrough);
      this.forming.set(start, forming);
    }
    forming.add(trade);
    const candle = forming.candle();
    if (candle === null) return null;
    this.put(known?.madeOf === 'bar' ? widened(known, candle) : candle);
    return start;
  }

  /**
   * Removes candles before `start` that were formed from trades and have no bar: called once history is known to be complete up to
   * there, when a minute without a bar is a minute that the feed gave none. Returns the earliest one removed, or `null`.
   */
  settle(start: number): number | null {
    const doomed = this.list.filter((candle) => candle.madeOf === 'trades' && candle.start < start);
    for (const candle of doomed) {
      this.forming.delete(candle.start);
      this.list.splice(this.position(candle.start), 1);
    }
    return doomed[0]?.start ?? null;
  }

  private mergeOne(bar: Bar): boolean {
    const known = this.at(bar.timestamp);
    const candle = candleOf(bar);
    if (known?.madeOf === 'bar') {
      // Revisions of a running minute and of its closed bar are counted apart.
      if (known.final && !candle.final) return false;
      if (candle.final === known.final && candle.revision < known.revision) return false;
      if (same(known, candle)) return false;
    }
    if (candle.final) this.forming.delete(candle.start);
    this.put(candle);
    return true;
  }

  private at(start: number): Candle | undefined {
    const index = this.position(start);
    const candle = this.list[index];
    return candle?.start === start ? candle : undefined;
  }

  private put(candle: Candle): void {
    const index = this.position(candle.start);
    const replaces = this.list[index]?.start === candle.start ? 1 : 0;
    this.list.splice(index, replaces, candle);
  }

  /** Where `start` is, or belongs. Nearly always at the end, so that is looked at first. */
  private position(start: number): number {
    let [low, high] = [0, this.list.length];
    const last = this.list[high - 1];
    if (last === undefined || last.start < start) return high;
    if (last.start === start) return high - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const candle = this.list[middle];
      if (candle !== undefined && candle.start < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A running bar with the trades heard since. Some trades are in both, so nothing is added up. */
function widened(running: Candle, heard: Candle): Candle {
  return {
    ...running,
    high: Math.max(running.high, heard.high),
    low: Math.min(running.low, heard.low),
    close: heard.close,
    volume: Math.max(running.volume, heard.volume),
  };
}

function same(a: Candle, b: Candle): boolean {
  return (Object.keys(a) as (keyof Candle)[]).every((key) => a[key] === b[key]);
}
