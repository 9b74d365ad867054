/**
 * When to ask for history so that it meets the live stream. Pure: it takes facts and returns what to fetch and when.
 *
 * A fetch alone proves nothing: a bar may have been published just before listening began and be committed just after the fetch. There
 * are two proofs. An answer that says up to which position it is true (`asOf`) meets the stream where that is no earlier than the
 * position from which everything was heard. And where positions are not to be had: bars of one symbol are committed in order, so an
 * answer that holds a bar that was also heard live (the *witness*) holds everything before it too.
 *
 * Until then the seam is open and history is asked for again; afterwards only a break (a lost connection, a step in `seq`, a minute
 * that never got its bar) opens it again.
 */
import { isAtOrAfter, Positions } from './positions';
import type { Bar, Page, Position } from './records';
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
  /** Every bar after this position was heard. */
  private heardAfter: Position | null = null;
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

  /** An answer came. Returns whether it is the one that closes the seam. */
  onHistory({ bars, asOf }: Page, now: number): boolean {
    this.failures = 0;
    const newest = bars[bars.length - 1];
    if (newest !== undefined) this.solidThrough = Math.max(newest.timestamp, this.solidThrough ?? newest.timestamp);
    const first = this.state === 'loading';
    this.state = this.isProof(bars, asOf) ? 'joined' : 'joining';
    if (this.state === 'joined') {
      this.witness = null;
      return true;
    }
    const due = this.next.at <= now;
    if (first) this.schedule(now + (this.awaited ? COMMIT_WAIT_MS : SETTLE_MS));
    else if (due && !this.awaited) this.schedule(now + RETRY_MAX_MS);
    else if (due) this.schedule(now + wait((this.fruitless += 1)));
    return false;
  }

  /** A subscription began with everything after `position`. */
  onSnapshot(position: Position | null): void {
    this.heardAfter ??= position;
  }

  /** A fetch failed. */
  onFailure(now: number): void {
    this.failures += 1;
    this.schedule(now + wait(this.failures));
  }

  /** A `bar` event of this symbol was heard, of any timeframe: all of them count in `seq`. */
  onLiveBar(bar: Bar, now: number): void {
    const stepped = this.positions.judge(bar) === 'step';
    if (this.state === 'joined' && stepped) this.open(now + COMMIT_WAIT_MS);
    if (bar.epoch !== undefined && bar.seq !== undefined) {
      const before = { epoch: bar.epoch, seq: bar.seq - 1 };
      // What was missed lies before the bar that showed it; from there on the stream is whole again.
      if (stepped || this.heardAfter === null) this.heardAfter = before;
    }
    const isMinute = bar.timeframe === undefined || bar.timeframe === '1Min';
    if (!isMinute || !bar.final) return;
    if (this.state === 'joined') {
      this.solidThrough = Math.max(bar.timestamp, this.solidThrough ?? bar.timestamp);
    } else if (this.witness === null || stepped) {
      this.witness = bar;
      this.fruitless = 0;
      if (this.state === 'joining') this.schedule(now + COMMIT_WAIT_MS);
    }
  }

  /** Events may have been missed, or a bar that should have come did not: ask again from the last solid bar. */
  onBreak(now: number): void {
    this.witness = null;
    this.heardAfter = null;
    if (this.state !== 'loading') this.open(now);
  }

  private open(at: number): void {
    this.state = 'joining';
    this.witness = null;
    this.heardAfter = null;
    this.fruitless = 0;
    this.schedule(at);
  }

  /** Whether there is something that history is known to lack, and will have soon. */
  private get awaited(): boolean {
    return this.witness !== null || this.heardAfter !== null;
  }

  private isProof(bars: readonly Bar[], asOf: Position | null): boolean {
    const { witness, heardAfter } = this;
    if (heardAfter !== null && asOf !== null && isAtOrAfter(asOf, heardAfter)) return true;
    return witness !== null && bars.some((bar) => bar.timestamp === witness.timestamp && bar.revision >= witness.revision);
  }

  private schedule(at: number): void {
    const known = this.state === 'loading' ? null : this.solidThrough;
    this.next = { from: known === null ? null : known - REVISION_SPAN_MS, at };
  }
}

function wait(attempt: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(attempt, 10) * 0.5);
}
