/** Intervals without a candle: where they are, and what is known about why. Pure. */
import type { Candle } from '../lib/candle';
import { dayStart, isIntraday, nextStart, startOf, type Timeframe } from '../lib/timeframe';
import { time } from './format';

/** A stretch without candles inside one trading day: `[from, to)`, `count` intervals long. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** An outage that the feed side declared itself: heard live, or asked for. */
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
  /** Trades that were fetched for it; `null` until it is healed. */
  readonly records: number | null;
  /** Why it could not be healed so far; `null` when nothing stood against it. */
  readonly reason: string | null;
  /** How often healing was tried in vain. */
  readonly attempts: number;
}

/** A longer stretch is a session's end, not a hole in it; drawing it would push the candles off the page. */
const HOLE_MAX = 600;

/** The holes between candles. Nights and weekends are none. */
export function holes(candles: readonly Candle[], timeframe: Timeframe): Hole[] {
  if (!isIntraday(timeframe)) return [];
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
  if (!isIntraday(timeframe)) return null;
  const from = nextStart(timeframe, before);
  if (from >= after || dayStart(before) !== dayStart(after)) return null;
  const count = Math.round((after - from) / (from - before));
  return count > HOLE_MAX ? null : { from, to: after, count };
}

/** One sentence for a person who wonders about a hole. `known`: whether all outages of that time have been asked for. */
export function explain(hole: Hole, declared: readonly DeclaredGap[], known: boolean): string {
  const span = `${time(hole.from, 'minute')}–${time(hole.to, 'minute')}`;
  const gap = declared.find((one) => touches(one, hole.from, hole.to));
  if (gap !== undefined) return `${span}: no candle. ${describe(gap)}`;
  const quiet = known ? 'the feed was there.' : 'whether the feed was there is not known.';
  return `${span}: no candle. No trade set a price then; ${quiet}`;
}

/** What an outage was, is, and cost. */
export function describe(gap: DeclaredGap): string {
  const at = (ms: number) => `${time(ms, 'day')} ${time(ms, 'second')}`;
  if (gap.to === null) return `The feed has been away since ${at(gap.from)}: ${gap.cause}.`;
  const to = dayStart(gap.from) === dayStart(gap.to) ? time(gap.to, 'second') : at(gap.to);
  const span = `The feed was away from ${at(gap.from)} to ${to}: ${gap.cause}`;
  return gap.healedAt === null ? `${span}; what was missed is not here.` : `${span}; what was missed has been fetched.`;
}

/** What became of an outage, as a short phrase. */
export function outcome(gap: DeclaredGap): string {
  if (gap.healedAt !== null) {
    const records = gap.records === null ? '' : `, ${gap.records.toLocaleString('en-US')} trades verified`;
    return `healed ${time(gap.healedAt, 'second')}${records}`;
  }
  const state = gap.to === null ? 'open' : 'ended, not healed';
  if (gap.reason === null) return state;
  return `${state}: ${gap.reason} (tried ${gap.attempts === 1 ? 'once' : `${gap.attempts} times`})`;
}

/** Whether an outage lies in `[from, to)` in part. */
export function touches(gap: DeclaredGap, from: number, to: number): boolean {
  return gap.from < to && (gap.to ?? Infinity) > from;
}

/** How a stretch of the chart is to be seen: nothing traded, records missing, or records missed and fetched since. */
export type ShadeKind = 'quiet' | 'outage' | 'healed';

/** A stretch of the axis from the interval that starts at `from` to the one that starts at `to`, both included. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly kind: ShadeKind;
}

/** What to shade over `starts`, the intervals on the axis in order: holes, and over them the outages. */
export function stretches(starts: readonly number[], found: readonly Hole[], declared: readonly DeclaredGap[], timeframe: Timeframe): Stretch[] {
  const last = starts[starts.length - 1];
  if (last === undefined) return [];
  const end = nextStart(timeframe, last);
  const shades: Stretch[] = [];
  for (const hole of found) {
    shades.push({ from: hole.from, to: lastBefore(starts, hole.to) ?? hole.from, kind: 'quiet' });
  }
  for (const gap of declared) {
    // Nights are not on the axis, and an outage that is wholly in one took nothing from it.
    const first = starts[firstAt(starts, startOf(timeframe, gap.from))];
    const to = lastBefore(starts, Math.min(gap.to ?? end, end));
    if (first !== undefined && to !== undefined && first <= to) shades.push({ from: first, to, kind: gap.healedAt === null ? 'outage' : 'healed' });
  }
  return shades;
}

/** Place of the first start at or after `at`. */
function firstAt(starts: readonly number[], at: number): number {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? Infinity) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function lastBefore(starts: readonly number[], at: number): number | undefined {
  return starts[firstAt(starts, at) - 1];
}

/** Reads an outage as events and the API have it; `null` where it is about something else. */
export function readGap(event: unknown): DeclaredGap | null {
  if (typeof event !== 'object' || event === null) return null;
  const { type, source, symbol, from, to, cause, healed_at, records, reason, attempts } = event as Record<string, unknown>;
  if (type !== 'gap' || typeof from !== 'number') return null;
  return {
    source: typeof source === 'string' ? source : '',
    symbol: typeof symbol === 'string' ? symbol : '*',
    from,
    to: typeof to === 'number' ? to : null,
    cause: typeof cause === 'string' ? cause : 'cause unknown',
    healedAt: typeof healed_at === 'number' ? healed_at : null,
    records: typeof records === 'number' ? records : null,
    reason: typeof reason === 'string' ? reason : null,
    attempts: typeof attempts === 'number' ? attempts : 0,
  };
}
