/** Intervals without a candle: where they are, and what is known about why. Pure. */
import type { Candle } from '../lib/candle';
import { dayStart, nextStart, type Timeframe } from '../lib/timeframe';
import { time } from './format';

/** A stretch without candles inside one trading day: `[from, to)`, `count` intervals long. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** A gap that the feed side declared itself, in a `status` event. A later version of the same gap replaces an earlier one. */
export interface DeclaredGap {
  readonly source: string;
  /** `*` for all symbols. */
  readonly symbol: string;
  readonly from: number;
  /** `null` while it lasts. */
  readonly to: number | null;
  readonly cause: string;
  /** When what was missed had been fetched; `null` until then. */
  readonly healedAt: number | null;
}

/** A longer stretch is a session's end, not a hole in it; drawing it would push the candles off the page. */
const HOLE_MAX = 600;

/** The holes between candles. Nights and weekends are none. */
export function holes(candles: readonly Candle[], timeframe: Timeframe): Hole[] {
  if (timeframe === '1Day') return [];
  const found: Hole[] = [];
  for (let i = 1; i < candles.length; i += 1) {
    const [before, after] = [candles[i - 1], candles[i]];
    if (before === undefined || after === undefined) continue;
    const hole = between(before.start, after.start, timeframe);
    if (hole !== null) found.push(hole);
  }
  return found;
}

/** The hole between two candles that follow each other, if there is one. */
export function between(before: number, after: number, timeframe: Timeframe): Hole | null {
  if (timeframe === '1Day') return null;
  const from = nextStart(timeframe, before);
  if (from >= after || dayStart(before) !== dayStart(after)) return null;
  const count = Math.round((after - from) / (from - before));
  return count > HOLE_MAX ? null : { from, to: after, count };
}

/** One sentence for a person who wonders about a hole. */
export function explain(hole: Hole, declared: readonly DeclaredGap[], symbol: string): string {
  const span = `${time(hole.from, 'minute')}–${time(hole.to, 'minute')}`;
  const gap = declared.find(
    (one) => (one.symbol === '*' || one.symbol === symbol) && one.from < hole.to && (one.to ?? Infinity) > hole.from,
  );
  if (gap === undefined) return `${span}: no candle. No trade set a price then; no gap was declared while this page was open.`;
  return `${span}: a gap in the feed: ${gap.cause}${gap.healedAt === null ? '' : '; healed since'}.`;
}

/** Reads a gap out of a `status` event; `null` where it is about something else. */
export function readGap(event: unknown): DeclaredGap | null {
  if (typeof event !== 'object' || event === null) return null;
  const { type, source, symbol, from, to, cause, healed_at } = event as Record<string, unknown>;
  if (type !== 'gap' || typeof from !== 'number') return null;
  return {
    source: typeof source === 'string' ? source : '',
    symbol: typeof symbol === 'string' ? symbol : '*',
    from,
    to: typeof to === 'number' ? to : null,
    cause: typeof cause === 'string' ? cause : 'cause unknown',
    healedAt: typeof healed_at === 'number' ? healed_at : null,
  };
}
