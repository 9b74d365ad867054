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

/** A gap that the system itself declared, in a `status` event. */
export interface DeclaredGap {
  readonly symbol: string | null;
  readonly from: number;
  readonly to: number | null;
  readonly cause: string;
  readonly healed: boolean;
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
    (one) => (one.symbol === null || one.symbol === symbol) && one.from < hole.to && (one.to ?? Infinity) > hole.from,
  );
  if (gap === undefined) return `${span}: no candle. No trade set a price then, and no gap was declared.`;
  return `${span}: gap, ${gap.cause}${gap.healed ? '; healed since' : ''}.`;
}

/** Reads a gap out of a `status` event; `null` where it is about something else. */
export function readGap(event: unknown): DeclaredGap | null {
  if (typeof event !== 'object' || event === null) return null;
  const fields = event as Record<string, unknown>;
  const kind = fields['type'] ?? fields['event'] ?? fields['kind'];
  if (typeof kind !== 'string' || !kind.includes('gap')) return null;
  const moment = (...names: string[]): number | null => {
    for (const name of names) {
      const value = fields[name];
      if (typeof value === 'number') return value;
      if (typeof value === 'string' && !Number.isNaN(Date.parse(value))) return Date.parse(value);
    }
    return null;
  };
  const from = moment('from', 'start', 'from_ms', 'start_ms', 'timestamp');
  if (from === null) return null;
  const cause = fields['cause'] ?? fields['reason'];
  return {
    symbol: typeof fields['symbol'] === 'string' ? fields['symbol'] : null,
    from,
    to: moment('to', 'end', 'to_ms', 'end_ms'),
    cause: typeof cause === 'string' ? cause : 'cause unknown',
    healed: fields['healed'] === true || kind.includes('healed'),
  };
}
