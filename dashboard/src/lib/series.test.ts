import { expect, test } from 'vitest';
import type { Bar, Trade } from './records';
import { MinuteSeries } from './series';
import { MINUTE_MS } from './timeframe';

const T0 = Date.UTC(2026, 10, 9, 15, 0);

function bar(minute: number, close: number, more: Partial<Bar> = {}): Bar {
  return { timestamp: T0 + minute * MINUTE_MS, open: close, high: close, low: close, close, volume: 1, final: true, revision: 0, ...more };
}

function trade(minute: number, price: number): Trade {
  return { symbol: 'A', price, size: 1, timestamp: T0 + minute * MINUTE_MS + 1_000 };
}

const closes = (series: MinuteSeries) => series.candles.map((candle) => [(candle.start - T0) / MINUTE_MS, candle.close]);

test('the final bar replaces the candle formed from trades, and trades that come later change nothing', () => {
  const series = new MinuteSeries();
  series.trade(trade(0, 10));
  expect(closes(series)).toEqual([[0, 10]]);
  expect(series.merge([bar(0, 11)])).toBe(T0);
  expect(series.trade(trade(0, 99))).toBeNull();
  expect(closes(series)).toEqual([[0, 11]]);
});

test('a higher revision wins whichever comes first, and the same bar again is no change', () => {
  const series = new MinuteSeries();
  series.merge([bar(0, 12, { revision: 1 })]);
  expect(series.merge([bar(0, 11)])).toBeNull();
  expect(series.merge([bar(0, 12, { revision: 1 })])).toBeNull();
  expect(series.merge([bar(0, 13, { revision: 2 })])).toBe(T0);
  expect(closes(series)).toEqual([[0, 13]]);
});

test('a running bar never undoes a final one', () => {
  const series = new MinuteSeries();
  series.merge([bar(0, 12)]);
  expect(series.merge([bar(0, 10, { final: false })])).toBeNull();
});

test('bars in any order end up ascending, one per minute', () => {
  const series = new MinuteSeries();
  series.merge([bar(3, 3), bar(1, 1), bar(2, 2), bar(1, 1)]);
  series.trade(trade(4, 4));
  series.merge([bar(0, 0.5)]);
  expect(closes(series)).toEqual([[0, 0.5], [1, 1], [2, 2], [3, 3], [4, 4]]);
});

test('the first minute listened to is partial, the next one is whole, a break makes partial again', () => {
  const series = new MinuteSeries();
  series.trade(trade(0, 1));
  series.trade(trade(1, 1));
  expect(series.candles.map((candle) => candle.partial)).toEqual([true, false]);
  series.interrupt();
  series.trade(trade(2, 1));
  series.trade(trade(3, 1));
  expect(series.candles.map((candle) => candle.partial)).toEqual([true, true, true, false]);
});

test('a minute that is over and has no bar is known', () => {
  const series = new MinuteSeries();
  series.merge([bar(0, 1)]);
  series.trade(trade(1, 1));
  expect(series.unconfirmed).toBeNull();
  series.trade(trade(2, 1));
  expect(series.unconfirmed).toBe(T0 + MINUTE_MS);
  series.merge([bar(1, 1)]);
  expect(series.unconfirmed).toBeNull();
});

test('settling removes only candles of trades before the moment', () => {
  const series = new MinuteSeries();
  series.merge([bar(0, 1)]);
  series.trade(trade(1, 1));
  series.trade(trade(2, 1));
  expect(series.settle(T0 + 2 * MINUTE_MS)).toBe(T0 + MINUTE_MS);
  expect(closes(series)).toEqual([[0, 1], [2, 1]]);
});

test('a running bar of the stream takes the place of the trades that were heard, later ones move it, and its closed bar ends it', () => {
  const series = new MinuteSeries();
  series.trade(trade(0, 10));
  const running = { final: false, revision: 3, open: 8, high: 12, low: 7, volume: 50 };
  expect(series.merge([bar(0, 11, running)])).toBe(T0);
  expect(series.candles[0]).toMatchObject({ open: 8, high: 12, low: 7, close: 11, volume: 50, partial: false });
  series.trade(trade(0, 13));
  expect(series.candles[0]).toMatchObject({ open: 8, high: 13, low: 7, close: 13, volume: 50 });
  expect(series.merge([bar(0, 9, { final: false, revision: 2 })])).toBeNull();
  // The closed bar counts its revisions anew.
  series.merge([bar(0, 12.5, { revision: 0, volume: 60 })]);
  expect(series.candles[0]).toMatchObject({ close: 12.5, volume: 60, final: true });
  expect(series.merge([bar(0, 1, { final: false, revision: 9 })])).toBeNull();
});
