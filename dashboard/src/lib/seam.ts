/**
 * When to ask for history so that it meets the live stream. Pure: it is told facts and answers what to fetch and when.
 *
 * A fetch alone proves nothing: a bar may have been published just before listening began and be committed just after the fetch.
 * The proof is an overlap. Bars of one symbol are committed in order, so once an answer holds a bar that was also heard live (the
 * *witness*), everything before it is in that answer too. Until then the seam is open and history is asked for again; afterwards
 * only a break (a lost connection, a step in `seq`, a minute that never got its bar) opens it again.
 */
import { Positions } from './positions';
import type { Bar } from './records';
import { MINUTE_MS } from './timeframe';

export type SeamState = 'loading' | 'joining' | 'joined';

/** What to fetch, and not before when. `from: null` is the first load. */
export interface Fetch {
  readonly from: number | null;
  readonly at: number;
}

/** A bar is in the database a fraction of a second after it was heard; asking at once would be asking twice. */
const COMMIT_WAIT_MS = 1_200;
/** After a load with no live bar yet: catches what was committed during it. */
const SETTLE_MS = 2_500;
const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 30_000;
/** Bars get revised for a while after their minute; a refetch goes back this far. */
const REVISION_SPAN_MS = 15 * MINUTE_MS;

export class Seam {
  /** `joined`: an overlap has proved that nothing is missing up to the newest bar. */
  state: SeamState = 'loading';
  /** Start of the newest bar that is known together with everything before it. */
  private solidThrough: number | null = null;
  private witness: Bar | null = null;
  private next: Fetch;
  private failures = 0;
  private fruitless = 0;
  private readonly positions = new Positions();

  constructor(now: number) {
    this.next = { from: null, at: now };
  }

  /** The fetch that is due or will be; `null` when history and stream have met. */
  get plan(): Fetch | null {
    return this.state === 'joined' ? null : this.next;
  }

  /** An answer came, with these bars. Returns the witness where this answer is the one that closes the seam. */
  onHistory(bars: readonly Bar[], now: number): Bar | null {
    this.failures = 0;
    const newest = bars[bars.length - 1];
    if (newest !== undefined) this.solidThrough = Math.max(newest.timestamp, this.solidThrough ?? newest.timestamp);
    if (this.state === 'loading') {
      this.state = 'joining';
      this.next = { from: this.from(), at: now + (this.witness === null ? SETTLE_MS : COMMIT_WAIT_MS) };
    }
    const { witness } = this;
    if (witness === null) {
      if (this.next.at <= now) this.next = { from: this.from(), at: now + RETRY_MAX_MS };
      return null;
    }
    if (bars.some((bar) => bar.timestamp === witness.timestamp && bar.revision >= witness.revision)) {
      this.witness = null;
      this.state = 'joined';
      return witness;
    }
    if (this.next.at > now) return null;
    this.fruitless += 1;
    this.next = { from: this.from(), at: now + wait(this.fruitless) };
    return null;
  }

  /** A fetch failed. */
  onFailure(now: number): void {
    this.failures += 1;
    const from = this.state === 'loading' ? null : this.from();
    this.next = { from, at: now + wait(this.failures) };
  }

  /** A `bar` event of this symbol was heard, of any timeframe: all of them count in `seq`. */
  onLiveBar(bar: Bar, now: number): void {
    const stepped = this.positions.judge(bar) === 'step';
    const isMinute = bar.timeframe === undefined || bar.timeframe === '1Min';
    if (this.state === 'joined' && stepped) this.open(now + COMMIT_WAIT_MS);
    if (!isMinute || !bar.final) return;
    if (this.state === 'joined') {
      this.solidThrough = Math.max(bar.timestamp, this.solidThrough ?? bar.timestamp);
    } else if (this.witness === null) {
      this.witness = bar;
      this.fruitless = 0;
      if (this.state === 'joining') this.next = { from: this.from(), at: now + COMMIT_WAIT_MS };
    }
  }

  /** Events may have been missed, or a bar that should have come did not: ask again from the last solid bar. */
  onBreak(now: number): void {
    this.witness = null;
    if (this.state !== 'loading') this.open(now);
  }

  private open(at: number): void {
    this.state = 'joining';
    this.witness = null;
    this.fruitless = 0;
    this.next = { from: this.from(), at };
  }

  private from(): number | null {
    return this.solidThrough === null ? null : this.solidThrough - REVISION_SPAN_MS;
  }
}

function wait(attempt: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(attempt, 10) * 0.5);
}
