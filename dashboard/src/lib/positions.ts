/** Lets each record of one symbol and stream through once, and notices the ones that never came. */
import type { Position } from './records';

interface Positioned {
  readonly source?: string;
  readonly epoch?: number;
  readonly seq?: number;
}

export type Verdict = 'next' | 'repeat' | 'step';

export class Positions {
  private readonly newest = new Map<string, Position>();
  /** Records known to be missing, by their numbers. */
  missed = 0;

  /** Whether `position` is at or past everything judged so far, whichever source that came from. */
  reaches(position: Position): boolean {
    return [...this.newest.values()].every((one) => isAtOrAfter(position, one));
  }

  /** Everything up to `position` is known from elsewhere: a snapshot. */
  skipTo(position: Position, source = ''): void {
    this.newest.set(source, position);
  }

  /** The newest record of a source that was let through, or skipped; `null` for none. */
  at(source = ''): Position | null {
    return this.newest.get(source) ?? null;
  }

  /** `repeat`: seen before. `step`: new, but at least one before it is missing. A record without a position is always `next`. */
  judge(record: Positioned): Verdict {
    if (record.epoch === undefined || record.seq === undefined) return 'next';
    const source = record.source ?? '';
    const before = this.newest.get(source);
    if (before !== undefined) {
      // An older run's record can only be a repeat: a producer starts its next run after its last one ended.
      if (record.epoch < before.epoch) return 'repeat';
      if (record.epoch === before.epoch && record.seq <= before.seq) return 'repeat';
    }
    this.newest.set(source, { epoch: record.epoch, seq: record.seq });
    if (before === undefined) return 'next';
    if (record.epoch !== before.epoch) return 'step';
    const skipped = record.seq - before.seq - 1;
    this.missed += skipped;
    return skipped === 0 ? 'next' : 'step';
  }
}

/** Whether everything up to `other` is also at or before `position`. */
export function isAtOrAfter(position: Position, other: Position): boolean {
  return position.epoch > other.epoch || (position.epoch === other.epoch && position.seq >= other.seq);
}
