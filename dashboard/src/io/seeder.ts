/** Asks for the days of followed symbols, a few at a time, the shown one first; again when a new day has begun or an answer failed. */
import type { Board } from '../core/board';
import type { History } from '../lib/live-bars';
import { dayStart } from '../lib/timeframe';
import { seedRow } from './seed';

const AT_ONCE = 4;
const AGAIN_MS = 15_000;

export interface Followed {
  readonly symbols: readonly string[];
  readonly active: string;
  /** Symbols that the system has bars of; `null` while that is not known. */
  readonly stored: readonly string[] | null;
}

export class Seeder {
  private readonly days = new Map<string, number>();
  private readonly due = new Set<string>();
  private running = 0;

  /** `changed` is called with the row that has new values. */
  constructor(
    private readonly history: History,
    private readonly board: Board,
    private readonly followed: () => Followed,
    private readonly changed: (symbol: string) => void,
  ) {
    setInterval(() => this.again(), AGAIN_MS);
  }

  has(symbol: string): boolean {
    return this.days.has(symbol);
  }

  forget(symbol: string): void {
    this.days.delete(symbol);
  }

  soon(symbol: string): void {
    const { stored } = this.followed();
    // Of what nobody has bars of there is nothing to ask, until its first trade or bar comes.
    if (stored === null || (!stored.includes(symbol) && this.board.row(symbol).lastAt === null)) return;
    this.due.add(symbol);
    if (this.running < AT_ONCE) void this.next();
  }

  /** A new day has a new previous close, and a failed seed another try. */
  private again(): void {
    for (const symbol of this.followed().symbols) {
      const { lastAt } = this.board.row(symbol);
      if (this.days.get(symbol) !== (lastAt === null ? undefined : dayStart(lastAt))) this.soon(symbol);
    }
  }

  private async next(): Promise<void> {
    this.running += 1;
    for (;;) {
      const { active } = this.followed();
      const symbol = this.due.has(active) ? active : [...this.due][0];
      if (symbol === undefined) break;
      this.due.delete(symbol);
      try {
        const row = this.board.row(symbol);
        row.seed(await seedRow(this.history, symbol));
        this.days.set(symbol, row.lastAt === null ? NaN : dayStart(row.lastAt));
        this.changed(symbol);
      } catch {
        // An unknown symbol, or no API just now: `again` comes back to it.
      }
    }
    this.running -= 1;
  }
}
