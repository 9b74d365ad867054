/** Lines over and under the candles, by the formulas and names of the history API. Each returns one value per candle, `null` while it has too little to stand on. */
import type { Candle } from '../lib/candle';
import { dayStart } from '../lib/timeframe';

export type Line = (number | null)[];

/** The indicators that the page offers, by the API's names. */
export const INDICATORS = ['ema:20', 'ema:50', 'sma:20', 'sma:50', 'sma:200', 'bollinger:20:2', 'vwap', 'rsi:14', 'atr:14'] as const;
export type Indicator = (typeof INDICATORS)[number];

/** Those with a scale of their own stand in a pane under the candles. */
export const PANED: readonly Indicator[] = ['rsi:14', 'atr:14'];

export const INDICATOR_NAMES: Record<Indicator, string> = {
  'ema:20': 'EMA 20',
  'ema:50': 'EMA 50',
  'sma:20': 'SMA 20',
  'sma:50': 'SMA 50',
  'sma:200': 'SMA 200',
  'bollinger:20:2': 'Bollinger 20, 2',
  vwap: 'VWAP, by session',
  'rsi:14': 'RSI 14',
  'atr:14': 'ATR 14',
};

/** The names among `names` that the page knows, those of earlier versions among them. */
export function readIndicators(names: readonly string[]): Indicator[] {
  const renamed = names.map((name) => name.replace(/^ema(\d+)$/, 'ema:$1'));
  return INDICATORS.filter((one) => renamed.includes(one));
}

/** Its lines over `candles`; Bollinger's are lower, middle and upper. */
export function linesOf(indicator: Indicator, candles: readonly Candle[]): Line[] {
  const [kind, first = '20', second = '2'] = indicator.split(':');
  const period = Number(first);
  switch (kind) {
    case 'ema':
      return [ema(candles, period)];
    case 'sma':
      return [sma(candles, period)];
    case 'bollinger':
      return bollinger(candles, period, Number(second));
    case 'rsi':
      return [rsi(candles, period)];
    case 'atr':
      return [atr(candles, period)];
    default:
      return [vwap(candles)];
  }
}

/** Exponential moving average of the closes, started from the simple average of the first `period`. */
export function ema(candles: readonly Candle[], period: number): Line {
  return smoothed(candles.map(({ close }) => close), period, 2 / (period + 1));
}

/** Mean of the last `period` closes. */
export function sma(candles: readonly Candle[], period: number): Line {
  return rolling(candles, period, (mean) => mean);
}

/** Mean of the last `period` closes, and `width` standard deviations of the whole population around it. */
export function bollinger(candles: readonly Candle[], period: number, width: number): Line[] {
  return [-width, 0, width].map((times) => rolling(candles, period, (mean, deviation) => mean + times * deviation));
}

/** Relative strength by Wilder's averages, 0 to 100; 50 where nothing moved. */
export function rsi(candles: readonly Candle[], period: number): Line {
  const moves = candles.slice(1).map(({ close }, index) => close - (candles[index]?.close ?? close));
  const ups = smoothed(moves.map((move) => Math.max(move, 0)), period, 1 / period);
  const downs = smoothed(moves.map((move) => Math.max(-move, 0)), period, 1 / period);
  const line = ups.map((up, index) => {
    const down = downs[index];
    if (up === null || down === null || down === undefined) return null;
    return up + down === 0 ? 50 : (100 * up) / (up + down);
  });
  return candles.length === 0 ? [] : [null, ...line];
}

/** Wilder's average of the true range. */
export function atr(candles: readonly Candle[], period: number): Line {
  const ranges = candles.map(({ high, low }, index) => {
    const before = candles[index - 1];
    return before === undefined ? high - low : Math.max(high, before.close) - Math.min(low, before.close);
  });
  return smoothed(ranges, period, 1 / period);
}

/** Volume-weighted average price since the start of the New York day. Candles without their own average count with their middle. */
export function vwap(candles: readonly Candle[]): Line {
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

/** The mean of the first `period` values, then `weight` of each new one. */
function smoothed(values: readonly number[], period: number, weight: number): Line {
  let sum = 0;
  let last: number | null = null;
  return values.map((value, index) => {
    if (last !== null) last += weight * (value - last);
    else if ((sum += value) !== undefined && index === period - 1) last = sum / period;
    return last;
  });
}

function rolling(candles: readonly Candle[], period: number, of: (mean: number, deviation: number) => number): Line {
  return candles.map((_, index) => {
    if (index < period - 1) return null;
    let sum = 0;
    for (let i = index - period + 1; i <= index; i += 1) sum += candles[i]?.close ?? 0;
    const mean = sum / period;
    let squares = 0;
    for (let i = index - period + 1; i <= index; i += 1) squares += ((candles[i]?.close ?? mean) - mean) ** 2;
    return of(mean, Math.sqrt(squares / period));
  });
}
