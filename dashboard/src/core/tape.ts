/** The newest trades of each symbol, newest last. Pure. */
import type { Trade } from '../lib/records';

/** Per symbol; enough to scroll through, bounded however long the page is open. */
export const TAPE_MAX = 400;

export interface Print {
  readonly trade: Trade;
  /** Against the trade before it, whatever its size. */
  readonly tick: 'up' | 'down' | null;
}

export class Tape {
  /** Trades ever added, per symbol: a view that paused knows how many it has not shown. */
  private readonly counts = new Map<string, number>();
  private readonly trades = new Map<string, Trade[]>();

  add(trade: Trade): void {
    let list = this.trades.get(trade.symbol);
    if (list === undefined) this.trades.set(trade.symbol, (list = []));
    list.push(trade);
    // Cut in blocks: moving the whole list for each trade would cost more than the trade.
    if (list.length > TAPE_MAX * 1.5) list.splice(0, list.length - TAPE_MAX);
    this.counts.set(trade.symbol, this.count(trade.symbol) + 1);
  }

  count(symbol: string): number {
    return this.counts.get(symbol) ?? 0;
  }

  /** At most `limit` trades of `size` shares or more, newest first. */
  newest(symbol: string, limit: number, size = 0): Print[] {
    const found: Print[] = [];
    const list = this.trades.get(symbol) ?? [];
    for (let i = list.length - 1; i >= 0 && found.length < limit; i -= 1) {
      const trade = list[i];
      if (trade === undefined || trade.size < size) continue;
      const step = trade.price - (list[i - 1]?.price ?? trade.price);
      found.push({ trade, tick: step === 0 ? null : step > 0 ? 'up' : 'down' });
    }
    return found;
  }

  drop(symbol: string): void {
    this.trades.delete(symbol);
    this.counts.delete(symbol);
  }
}
