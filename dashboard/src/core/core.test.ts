/** The small pure parts. */
import { describe, expect, test } from 'vitest';
import { loadSettings, saveSettings } from '../io/settings';
import { candleOf, type Candle } from '../lib/candle';
import type { Bar, Trade } from '../lib/records';
import { MINUTE_MS } from '../lib/timeframe';
import { Row } from './board';
import { compact, decimals, duration, percent, price, shares, signed, tapeTime } from './format';
import { Freshness } from './freshness';
import { readAvailability } from './availability';
import { GapBook } from './gap-book';
import { between, explain, holes, outcome, readGap, stretches } from './gaps';
import { frameFor, HORIZONS, horizonStart } from './horizons';
import { frameForJump } from './jump';
import { ema, vwap } from './indicators';
import { clicked, ordered } from './sort';
import { introduce, matches, neighbour, readSymbol, usual } from './symbols';
import { Tape, TAPE_MAX } from './tape';

// 9 November 2026, 10:00 in New York
const T0 = Date.UTC(2026, 10, 9, 15, 0);

function bar(minute: number, close: number, volume = 100): Bar {
  return { timestamp: T0 + minute * MINUTE_MS, open: close, high: close, low: close, close, volume, final: true, revision: 0 };
}

const candle = (minute: number, close: number, volume = 100): Candle => candleOf(bar(minute, close, volume));

function trade(seq: number, value: number, more: Partial<Trade> = {}): Trade {
  return { symbol: 'A', price: value, size: 10, timestamp: T0 + 10 * MINUTE_MS + seq, epoch: 1, seq, ...more };
}

describe('format', () => {
  test('prices have as many decimals as they need', () => {
    expect([price(1234.5), price(0.1234), price(10.0525), price(null)]).toEqual(['1,234.50', '0.1234', '10.0525', '–']);
    expect([decimals(10), decimals(10.01), decimals(0.5), decimals(10.005)]).toEqual([2, 2, 4, 4]);
  });
  test('changes have a sign, and nothing has none', () => {
    expect([signed(1.5), signed(-0.25), signed(0), signed(-0.001)]).toEqual(['+1.50', '−0.25', '0.00', '0.00']);
    expect([percent(0.0123), percent(null)]).toEqual(['+1.23%', '–']);
  });
  test('volumes are short', () => {
    expect([compact(0), compact(950), compact(12_345), compact(999_600), compact(4_560_000)]).toEqual(['0', '950', '12.3K', '1.00M', '4.56M']);
    expect(shares(1234.5)).toBe('1,234.5');
  });
  test('spans of time in the unit that fits', () => {
    expect([5, 2_100, 30_000, 900_000, 7_200_000, 172_800_000, 13 * 365.25 * 86_400_000].map(duration)).toEqual(['5 ms', '2.1 s', '30 s', '15 min', '2 h', '2 d', '13 years']);
  });
  test('the tape’s time is New York’s, to the millisecond', () => {
    expect(tapeTime(T0 + 61_007)).toBe('10:01:01.007');
  });
});

describe('indicators', () => {
  test('an average begins when it has its period, and follows', () => {
    const values = ema([1, 2, 3, 4].map((close, index) => candle(index, close)), 3);
    expect(values).toEqual([null, null, 2, 3]);
  });
  test('the volume-weighted price starts again each day', () => {
    const day = 24 * 60;
    const values = vwap([candle(0, 10, 100), candle(1, 20, 300), candle(day, 50, 5)]);
    expect(values).toEqual([10, 17.5, 50]);
  });
});

describe('holes', () => {
  test('a night is none, a missing minute is one', () => {
    expect(holes([candle(0, 1), candle(1, 1), candle(4, 1)], '1Min')).toEqual([{ from: T0 + 2 * MINUTE_MS, to: T0 + 4 * MINUTE_MS, count: 2 }]);
    expect(between(T0, T0 + 24 * 60 * MINUTE_MS, '1Min')).toBeNull();
    expect(between(T0, T0 + 48 * 60 * MINUTE_MS, '1Day')).toBeNull();
  });
  test('a declared gap explains the hole that it touches, of its symbol', () => {
    const hole = { from: T0, to: T0 + MINUTE_MS, count: 1 };
    const gap = readGap({ type: 'gap', symbol: 'A', from: T0 - 5, to: T0 + 5, cause: 'feed lost' });
    if (gap === null) throw new Error('no gap');
    expect(explain(hole, [gap], true)).toBe('10:00–10:01: no candle. The feed was away from 9 Nov 09:59:59 to 10:00:00: feed lost; what was missed is not here.');
    expect(explain(hole, [], true)).toContain('the feed was there');
    expect(explain(hole, [], false)).toContain('is not known');
    expect(explain(hole, [{ ...gap, healedAt: T0 }], true)).toContain('has been fetched');
    expect(explain(hole, [{ ...gap, to: null }], true)).toContain('has been away since 9 Nov 09:59:59');
    expect(explain(hole, [{ ...gap, to: null, from: T0 + MINUTE_MS }], true)).toContain('the feed was there');
    expect(readGap({ type: 'halt', symbol: 'A', from: T0 })).toBeNull();
  });
  test('what became of a gap: how much was fetched and verified, or why it is not healed', () => {
    const told = (more: object) => outcome(readGap({ type: 'gap', from: T0, cause: 'feed lost', ...more }) as NonNullable<ReturnType<typeof readGap>>);
    expect([told({}), told({ to: T0 + 1 })]).toEqual(['open', 'ended, not healed']);
    expect(told({ to: T0 + 1, reason: 'the history is empty', attempts: 1 })).toBe('ended, not healed: the history is empty (tried once)');
    expect(told({ to: T0 + 1, reason: 'no answer', attempts: 3 })).toBe('ended, not healed: no answer (tried 3 times)');
    expect(told({ to: T0 + 1, healed_at: T0, records: 1204, reason: null })).toBe('healed 10:00:00, 1,204 trades verified');
  });
});

describe('outages', () => {
  const gap = (from: number, to: number | null, healedAt: number | null = null, symbol = '*') => ({ source: 'alpaca', symbol, from, to, cause: 'feed lost', healedAt, records: null, reason: null, attempts: 0 });
  test('what is shaded: holes, and over them the intervals that an outage touches; a night takes nothing', () => {
    const minutes = (...at: number[]) => at.map((minute) => T0 + minute * MINUTE_MS);
    const starts = minutes(0, 1, 2, 3, 4, 5, 700, 701);
    const [hole, other] = [{ from: T0 + 2 * MINUTE_MS, to: T0 + 4 * MINUTE_MS, count: 2 }, { from: T0 + 4 * MINUTE_MS, to: T0 + 5 * MINUTE_MS, count: 1 }];
    const shaded = (...gaps: Parameters<typeof stretches>[2]) =>
      stretches(starts, [hole, other], gaps, '1Min').map(({ from, to, kind }) => [(from - T0) / MINUTE_MS, (to - T0) / MINUTE_MS, kind]);
    expect(shaded()).toEqual([[2, 3, 'quiet'], [4, 4, 'quiet']]);
    expect(shaded(gap(T0 + 110_000, T0 + 200_000))).toEqual([[2, 3, 'quiet'], [4, 4, 'quiet'], [1, 3, 'outage']]);
    expect(shaded(gap(T0 + 110_000, T0 + 310_000, 7))).toEqual([[2, 3, 'quiet'], [4, 4, 'quiet'], [1, 5, 'healed']]);
    expect(shaded(gap(T0 + 600_000, T0 + 900_000), gap(T0 + 701 * MINUTE_MS, null))).toEqual([[2, 3, 'quiet'], [4, 4, 'quiet'], [701, 701, 'outage']]);
    expect(stretches([], [], [gap(0, null)], '1Min')).toEqual([]);
  });
  test('the later version stays, whatever comes after it', () => {
    const book = new GapBook();
    for (const one of [gap(5, 9, 20), gap(5, 9), gap(5, null), gap(1, null, null, 'A'), gap(2, null, null, 'B')]) book.add(one);
    expect(book.all.map(({ from }) => from)).toEqual([1, 2, 5]);
    expect(book.of('A').map(({ from, to, healedAt }) => [from, to, healedAt])).toEqual([[1, null, null], [5, 9, 20]]);
  });
  test('only what is not known is asked for, and everything after a doubt', () => {
    const book = new GapBook();
    expect(book.missing('A', 100)).toEqual({ start: 100, end: null });
    book.learned('A', 100);
    expect([book.missing('A', 100), book.missing('A', 150), book.knows('A', 100), book.knows('A', 99)]).toEqual([null, null, true, false]);
    expect(book.missing('A', 40)).toEqual({ start: 40, end: 100 });
    expect(book.missing('B', 40)).toEqual({ start: 40, end: null });
    book.doubt();
    expect(book.missing('A', 100)).toEqual({ start: 100, end: null });
  });
  test('a symbol that the feed does not carry is told with its reason', () => {
    expect(readAvailability({ type: 'unavailable', symbol: 'TSLA', source: 'alpaca', reason: 'the plan carries 30' })).toEqual({ symbol: 'TSLA', source: 'alpaca', reason: 'the plan carries 30' });
    expect(readAvailability({ type: 'available', symbol: 'TSLA', source: 'alpaca' })?.reason).toBeNull();
    expect([readAvailability({ type: 'gap', symbol: '*' }), readAvailability(null)]).toEqual([null, null]);
  });
});

describe('a row of the board', () => {
  test('counts the day once: hours before the cut, minutes after it, trades of the running one', () => {
    const row = new Row('A');
    const hour = { ...bar(-60, 90, 1_000), high: 120, low: 80, open: 85 };
    row.seed({ days: [bar(-1_440, 100)], hours: [hour], minutes: [bar(-30, 95, 7), bar(0, 101, 50), bar(1, 102, 60)], cut: T0 });
    expect(row.reference).toEqual({ price: 100, kind: 'previous close' });
    row.onTrade(trade(1, 110));
    expect(row.onTrade(trade(1, 110))).toBe(false);
    expect(row.day).toEqual({ open: 85, high: 120, low: 80, volume: 1_000 + 50 + 60 + 10 });
    expect([row.last, row.change, row.direction]).toEqual([110, 10, 'up']);
  });
  test('an odd lot is heard but is not the last price', () => {
    const row = new Row('A');
    row.onTrade(trade(1, 110));
    row.onTrade(trade(2, 95, { conditions: ['@', 'I'] }));
    expect(row.last).toBe(110);
    expect(row.lastTrade?.price).toBe(95);
  });
  test('a snapshot gives a price before the first trade, and adds no volume', () => {
    const row = new Row('A');
    const nothing = { symbol: 'A', quote: null, bar: null, partial: false, unavailable: null, trades: null, bars: null };
    row.onSnapshot({ ...nothing, trade: trade(7, 50), previousClose: 40 });
    expect([row.last, row.day.volume]).toEqual([50, null]);
    row.onTrade(trade(8, 51));
    expect([row.last, row.change, row.day.volume]).toEqual([51, 11, 10]);
  });
});

test('the tape keeps its order, its bound and its ticks', () => {
  const tape = new Tape();
  for (let seq = 1; seq <= 3 * TAPE_MAX; seq += 1) tape.add(trade(seq, seq % 2 === 0 ? 11 : 10, { size: seq % 10 === 0 ? 500 : 10 }));
  expect(tape.count('A')).toBe(3 * TAPE_MAX);
  const newest = tape.newest('A', 3);
  expect(newest.map(({ trade: one }) => one.seq)).toEqual([1_200, 1_199, 1_198]);
  expect(newest.map(({ tick }) => tick)).toEqual(['up', 'down', 'up']);
  expect(tape.newest('A', 2, 500).map(({ trade: one }) => one.seq)).toEqual([1_200, 1_190]);
  expect(tape.newest('A', Infinity).length).toBeLessThanOrEqual(1.5 * TAPE_MAX);
});

test('freshness is the median, by the gateway’s clock', () => {
  const fresh = new Freshness();
  expect(fresh.delay(0)).toBeNull();
  // This machine's clock is five seconds slow.
  fresh.onHeartbeat(15_000, 10_000);
  fresh.onHeartbeat(15_900, 11_000);
  for (const age of [3, 2, 600_000]) fresh.onTrade(16_000 - age, 11_000);
  expect(fresh.delay(11_000)).toBe(3);
  expect(fresh.delay(60_000)).toBeNull();
});

test('symbols are read, introduced, found and walked through', () => {
  expect([readSymbol(' brk.b '), readSymbol(''), readSymbol('a b'), readSymbol('BTC/USD')]).toEqual(['BRK.B', null, null, 'BTC/USD']);
  expect(introduce(['A'], ['C', 'B', 'A'], new Set(['C']))).toEqual(['A', 'B']);
  expect([usual([]), usual(['SPY']), usual(['MSFT', 'SPY', 'AAPL'])]).toEqual([['AAPL', 'MSFT', 'GOOGL'], [], ['AAPL', 'MSFT']]);
  expect(matches(['AAPL', 'PA', 'GOOG', 'PAA'], 'pa')).toEqual(['PA', 'PAA']);
  expect(matches(['AAPL', 'PA'], 'app', 8, (symbol) => (symbol === 'AAPL' ? 'Apple Inc.' : ''))).toEqual(['AAPL']);
  expect([neighbour(['A', 'B'], 'B', 1), neighbour(['A', 'B'], 'A', -1)]).toEqual(['A', 'B']);
});

test('rows sort by value, what has none comes last', () => {
  const rows = new Map(['A', 'B', 'C'].map((symbol) => [symbol, new Row(symbol)]));
  const row = (symbol: string) => rows.get(symbol) as Row;
  row('A').last = 1;
  row('B').last = 3;
  expect(ordered(['A', 'C', 'B'], row, { column: 'last', descending: true })).toEqual(['B', 'A', 'C']);
  expect(ordered(['A', 'C', 'B'], row, { column: 'last', descending: false })).toEqual(['A', 'B', 'C']);
  expect(ordered(['B', 'A'], row, null)).toEqual(['B', 'A']);
  expect(clicked(clicked(clicked(null, 'last'), 'last'), 'last')).toBeNull();
});

test('horizons begin at midnight in New York', () => {
  expect(horizonStart('1D', T0)).toBe(Date.UTC(2026, 10, 9, 5));
  expect(horizonStart('YTD', T0)).toBe(Date.UTC(2026, 0, 1, 5));
  expect(horizonStart('MAX', T0)).toBeNull();
});

test('candles fit the horizon and the past that there is', () => {
  const ago = (days: number) => T0 - days * 86_400_000;
  const frames = (oldest: number | null) => HORIZONS.map((horizon) => frameFor(horizon, oldest, T0));
  expect(frames(ago(730))).toEqual(['1Min', '5Min', '30Min', '2Hour', '1Day', '1Day', '1Day']);
  // Two days of history are no reason to draw two giant candles.
  expect(frames(ago(2))).toEqual(['1Min', '5Min', '30Min', '30Min', '30Min', '30Min', '30Min']);
  expect(frames(ago(0.1)).every((frame) => frame === '1Min')).toBe(true);
  expect(frameFor('MAX', ago(20 * 365), T0)).toBe('1Week');
  expect(frameFor('1Y', null, T0)).toBe('1Day');
});

test('a jump far back takes candles that are long enough', () => {
  expect(frameForJump('1Min', 20 * 86_400_000)).toBe('1Min');
  expect(frameForJump('1Min', 365 * 86_400_000)).toBe('15Min');
  expect(frameForJump('1Day', 365 * 86_400_000)).toBe('1Day');
});

test('settings survive nonsense and a storage that refuses', () => {
  const kept = (text: string | null) => loadSettings({ getItem: () => text });
  expect(kept(null).symbols).toBeNull();
  expect(kept('{"symbols":"AAPL","theme":7,"removed":{}}')).toMatchObject({ symbols: null, theme: 'system', removed: [] });
  expect(kept('not json').timeframe).toBe('1Min');
  expect(kept('{"symbols":["X"],"active":"X"}')).toMatchObject({ symbols: ['X'], active: 'X' });
  expect(() => saveSettings({ setItem: () => { throw new Error('full'); } }, kept(null))).not.toThrow();
});
