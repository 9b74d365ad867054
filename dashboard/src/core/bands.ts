/** Which parts of the chart's axis lie outside of regular hours. Pure. */
import { phaseAt, type Phase } from '../lib/calendar';
import { lengthOf, HOUR_MS, isIntraday, type Timeframe } from '../lib/timeframe';

/** From the interval that starts at `from` to the one that starts at `to`, both included. */
export interface Band {
  readonly from: number;
  readonly to: number;
  readonly phase: Exclude<Phase, 'open'>;
}

/** Longer candles hold several sessions. */
const LENGTH_MAX_MS = HOUR_MS;

/** The bands over `starts`, the intervals on the axis in order. Nights without candles are not on the axis and need no band. */
export function bands(starts: readonly number[], timeframe: Timeframe): Band[] {
  if (!isIntraday(timeframe) || lengthOf(timeframe) > LENGTH_MAX_MS) return [];
  const found: { from: number; to: number; phase: Phase }[] = [];
  for (const start of starts) {
    const phase = phaseAt(start);
    const last = found[found.length - 1];
    if (last?.phase === phase) last.to = start;
    else found.push({ from: start, to: start, phase });
  }
  return found.filter((band): band is Band => band.phase !== 'open');
}

export const PHASE_NAMES: Record<Phase, string> = { pre: 'pre-market', open: 'regular hours', post: 'after hours', closed: 'market closed' };
