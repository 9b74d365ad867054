/** Lines over the candles. Each returns one value per candle, `null` while it has too little to stand on. */
import type { Candle } from '../lib/candle';
import { dayStart } from '../lib/timeframe';

/** Exponential moving average of the closes, started from the simple average of the first `period`. */
export function ema(candles: readonly Candle[], period: number): (number | null)[] {
  const factor = 2 / (period + 1);
  let sum = 0;
  let value: number | null = null;
  return candles.map(({ close }, index) => {
    if (value !== null) value += factor * (close - value);
    else if ((sum += close) && index === period - 1) value = sum / period;
    return value;
  });
}

/** Volume-weighted average price since the start of the New York day. Candles without their own average count with their middle. */
export function vwap(candles: readonly Candle[]): (number | null)[] {
  let day = NaN;
  let [weighted, volume] = [0, 0];
  return candles.map((candle) => {
    const today = dayStart(candle.start);
    if (today !== day) [day, weighted, volume] = [today, 0, 0];
    weighted += (candle.vwap ?? (candle.high + candle.low + candle.close) / 3) * candle.volume;
    volume += candle.volume;
    return volume > 0 ? weighted / volume : null;
  });
}
