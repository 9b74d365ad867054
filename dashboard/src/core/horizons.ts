/** How far back a chart looks, and with which candles. Pure. */
import { dayStart, newYorkOffset, DAY_MS, type Timeframe } from '../lib/timeframe';

export const HORIZONS = ['1D', '5D', '1M', '6M', 'YTD', '1Y', 'MAX'] as const;
export type Horizon = (typeof HORIZONS)[number];

const FRAME: Record<Horizon, Timeframe> = { '1D': '1Min', '5D': '5Min', '1M': '1Hour', '6M': '1Day', YTD: '1Day', '1Y': '1Day', MAX: '1Day' };
const DAYS = { '5D': 7, '1M': 30, '6M': 182, '1Y': 365 } as const;

/** The candles that suit a horizon. */
export function frameFor(horizon: Horizon): Timeframe {
  return FRAME[horizon];
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
