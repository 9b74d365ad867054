/** Lets each record of one symbol and stream through once, and notices the ones that never came. */

interface Positioned {
  readonly source?: string;
  readonly epoch?: number;
  readonly seq?: number;
}

export type Verdict = 'next' | 'repeat' | 'step';

export class Positions {
  private readonly newest = new Map<string, { epoch: number; seq: number }>();
  /** Records known to be missing, by their numbers. */
  missed = 0;

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
