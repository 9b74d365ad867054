/** How far back a chart looks, and with which candles. Pure. */
import { dayStart, lengthOf, newYorkOffset, DAY_MS, TIMEFRAMES, type Timeframe } from '../lib/timeframe';

export const HORIZONS = ['1D', '5D', '1M', '6M', 'YTD', '1Y', 'MAX'] as const;
export type Horizon = (typeof HORIZONS)[number];

const USUAL: Record<Exclude<Horizon, 'MAX'>, Timeframe> = { '1D': '1Min', '5D': '5Min', '1M': '30Min', '6M': '2Hour', YTD: '1Day', '1Y': '1Day' };
const DAYS = { '5D': 7, '1M': 30, '6M': 182, '1Y': 365 } as const;
/** Fewer candles than this make no picture. */
const CANDLES_MIN = 80;
/** MAX takes longer candles where there would be more than this. */
const CANDLES_MAX = 1_600;

/**
 * The candles that suit a horizon over a past that begins at `oldest`: a few weeks of history make a year's chart of hours, not of a
 * handful of days. `oldest` of `null` is not known, and taken for long enough.
 */
export function frameFor(horizon: Horizon, oldest: number | null, newest: number): Timeframe {
  const start = horizonStart(horizon, newest);
  const from = start === null ? (oldest ?? newest - 3 * 365 * DAY_MS) : Math.max(start, oldest ?? start);
  const span = Math.max(newest - from, 0);
  let index = TIMEFRAMES.indexOf(horizon === 'MAX' ? '1Day' : USUAL[horizon]);
  const count = (at: number) => span / lengthOf(TIMEFRAMES[at] ?? '1Min');
  while (horizon === 'MAX' && count(index) > CANDLES_MAX && index < TIMEFRAMES.length - 1) index += 1;
  while (count(index) < CANDLES_MIN && index > 0) index -= 1;
  return TIMEFRAMES[index] ?? '1Min';
}

/** Where a horizon begins when the newest candle starts at `newest`; `null` for wherever history does. */
export function horizonStart(horizon: Horizon, newest: number): number | null {
  switch (horizon) {
    case 'MAX':
      return null;
    case '1D':
      return dayStart(newest);
    case 'YTD': {
      const january = Date.UTC(new Date(newest + newYorkOffset(newest)).getUTCFullYear(), 0, 1, 12);
      return dayStart(january);
    }
    default:
      return dayStart(newest - DAYS[horizon] * DAY_MS);
  }
}
