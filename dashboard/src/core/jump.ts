/** Candles for a day that lies far back: everything between it and now is loaded, so there must not be too much of it. Pure. */
import { lengthOf, TIMEFRAMES, type Timeframe } from '../lib/timeframe';

const CANDLES_MAX = 50_000;

/** `timeframe`, or the shortest longer one of which at most 50,000 candles lie in `span` milliseconds. */
export function frameForJump(timeframe: Timeframe, span: number): Timeframe {
  const longer = TIMEFRAMES.slice(TIMEFRAMES.indexOf(timeframe));
  return longer.find((one) => span / lengthOf(one) <= CANDLES_MAX) ?? timeframe;
}
