/** What a person can choose and keep: addresses, alerts, watchlists, indicators; and what the chart shades. */
import { describe, expect, test } from 'vitest';
import { candleOf } from '../lib/candle';
import { MINUTE_MS } from '../lib/timeframe';
import { readAddress, writeAddress, type Address } from './address';
import { alertAt, fires, readAlerts } from './alerts';
import { bands } from './bands';
import { Row } from './board';
import { atr, bollinger, readIndicators, rsi, sma } from './indicators';
import { moved, nameProblem, removed, renamed, switched } from './watchlists';
import { useZone, zoneName } from './zone';
import { candleTime, time } from './format';

const PAGES = ['market', 'pipeline'];
const read = (hash: string) => readAddress(hash, PAGES, 'market');

describe('an address', () => {
  test('that was written is read as the same view', () => {
    const views: Partial<Address>[] = [
      {},
      { symbol: 'BRK.B', timeframe: '4Hour', horizon: '1Y', indicators: ['ema:20', 'vwap'], compared: ['MSFT', 'BTC/USD'] },
      { symbol: 'AAPL', timeframe: '1Min', range: { from: 1_700_000_000_000, to: 1_700_003_600_000 }, indicators: ['rsi:14'], compared: ['A'] },
    ];
    for (const view of views) {
      const address: Address = { page: 'market', symbol: 'AAPL', timeframe: null, horizon: null, range: null, indicators: null, compared: null, ...view };
      expect(read(writeAddress(address))).toEqual(address);
    }
  });

  test('that makes no sense shows what does', () => {
    expect(read('#/market/%zz?tf=7Min&span=2D&from=9&to=1&with=ema:20,magic&vs=!!,A,A,B,C,D,E')).toEqual({
      page: 'market', symbol: null, timeframe: null, horizon: null, range: null, indicators: ['ema:20'], compared: ['A', 'B', 'C', 'D'],
    });
    expect(read('').page).toBe('market');
    expect(read('#/pipeline/AAPL')).toMatchObject({ page: 'pipeline', symbol: null });
  });
});

test('an alert waits for the side that it was set from, and fires once', () => {
  const [above, below] = [alertAt('A', 11, 10, '1'), alertAt('A', 9, 10, '2')];
  expect([fires(above, 'A', 10.99), fires(above, 'A', 11), fires(above, 'B', 12)]).toEqual([false, true, false]);
  expect([fires(below, 'A', 9.01), fires(below, 'A', 8), fires({ ...below, firedAt: 1 }, 'A', 8)]).toEqual([false, true, false]);
  expect(readAlerts([above, { id: 'x' }, null, { ...below, price: -1 }])).toEqual([above]);
});

test('watchlists are switched, renamed and removed without losing a symbol', () => {
  const first = switched({ list: 'Watchlist', lists: {} }, ['A', 'B'], 'Chips');
  expect(first).toEqual({ list: 'Chips', lists: { Watchlist: ['A', 'B'], Chips: ['A', 'B'] }, symbols: ['A', 'B'] });
  const back = switched(first, ['N'], 'Watchlist');
  expect([back.symbols, back.lists['Chips']]).toEqual([['A', 'B'], ['N']]);
  expect(renamed(back, ['A', 'C'], 'Mine')).toEqual({ list: 'Mine', lists: { Mine: ['A', 'C'], Chips: ['N'] } });
  expect(removed(back)).toMatchObject({ list: 'Chips', symbols: ['N'] });
  expect(removed({ list: 'Only', lists: {} })).toBeNull();
  expect([nameProblem(' ', []), nameProblem('A', ['A']), nameProblem('B', ['A'])]).toEqual([expect.any(String), expect.stringContaining('"A"'), null]);
});

test('a row moves to the place of another, or by some places, and no further than the end', () => {
  expect(moved(['A', 'B', 'C'], 'A', 'C')).toEqual(['B', 'C', 'A']);
  expect(moved(['A', 'B', 'C'], 'C', 'A')).toEqual(['C', 'A', 'B']);
  expect(moved(['A', 'B', 'C'], 'A', -1)).toEqual(['A', 'B', 'C']);
  expect(moved(['A', 'B', 'C'], 'B', 1)).toEqual(['A', 'C', 'B']);
});

describe('indicators', () => {
  const candles = [10, 11, 10.5, 12, 11].map((close, index) => candleOf({ timestamp: index * MINUTE_MS, open: close, high: close + 0.5, low: close - 0.5, close, volume: 1, final: true, revision: 0 }));
  test('follow the formulas of the history API', () => {
    expect(sma(candles, 3)).toEqual([null, null, 10.5, 33.5 / 3, 33.5 / 3]);
    expect(rsi(candles, 2)[0]).toBeNull();
    // Moves +1, −0.5, +1.5, −1: averages 0.5 and 0.25, then Wilder's.
    expect(rsi(candles, 2).slice(2).map((value) => value === null ? null : Math.round(value * 100) / 100)).toEqual([66.67, 88.89, 47.06]);
    expect(atr(candles, 2).slice(1)).toEqual([1.25, 1.125, 1.5625, 1.53125]);
    const [low, middle, high] = bollinger(candles, 2, 2);
    expect([low?.[1], middle?.[1], high?.[1]]).toEqual([9.5, 10.5, 11.5]);
    expect(rsi([], 14)).toEqual([]);
  });
  test('of earlier versions keep their place', () => {
    expect(readIndicators(['vwap', 'ema20', 'nonsense'])).toEqual(['ema:20', 'vwap']);
  });
});

test('bands are the stretches outside of regular hours, of candles short enough to tell', () => {
  const at = (text: string) => Date.parse(`2026-11-24T${text}Z`);
  const starts = ['14:00', '14:15', '14:30', '20:45', '21:00', '21:15'].map((text) => at(`${text}:00`));
  expect(bands(starts, '15Min')).toEqual([
    { from: at('14:00:00'), to: at('14:15:00'), phase: 'pre' },
    { from: at('21:00:00'), to: at('21:15:00'), phase: 'post' },
  ]);
  expect(bands(starts, '4Hour')).toEqual([]);
});

test('times are in the chosen clock, trading days stay New York’s', () => {
  const start = Date.parse('2026-11-24T05:00:00Z');
  try {
    expect([zoneName(start), candleTime(start, true), time(start, 'minute')]).toEqual(['New York (EST)', '24 Nov 2026', '00:00']);
    useZone('utc');
    expect([zoneName(start), candleTime(start, true), time(start, 'minute')]).toEqual(['UTC', '24 Nov 2026', '05:00']);
  } finally {
    useZone('exchange');
  }
});

test('a row tells a chart that is opened later what it heard of the running minute', () => {
  const row = new Row('A');
  expect(row.snapshot).toBeNull();
  const trade = (seq: number, price: number) => ({ symbol: 'A', price, size: 100, timestamp: seq * 1_000, epoch: 1, seq, source: 'x' });
  for (const seq of [1, 2, 3]) row.onTrade(trade(seq, 10 + seq));
  row.onBar({ timestamp: -MINUTE_MS, open: 1, high: 1, low: 1, close: 1, volume: 1, final: true, revision: 0, epoch: 1, seq: 7 });
  expect(row.snapshot).toMatchObject({ bar: { open: 11, close: 13, high: 13, volume: 300, final: false }, partial: true, trades: { epoch: 1, seq: 3 }, bars: { epoch: 1, seq: 7 } });
  expect(row.digits).toBe(2);
});
