import { expect, test } from 'vitest';
import { readBar, readPage, readQuote, readSnapshot, readTrade } from './records';

const BAR = { timestamp: 1, open: 1, high: 1, low: 1, close: 1, volume: 0 };

test('a payload that lacks what a trade needs is no trade', () => {
  const good = { symbol: 'AAPL', price: 150.25, size: 100, timestamp: 1_700_000_000_123 };
  expect(readTrade(good)).toEqual(good);
  for (const bad of [null, 7, 'x', [], {}, { ...good, price: '150' }, { ...good, price: 0 }, { ...good, timestamp: NaN }, { ...good, symbol: '' }]) {
    expect(readTrade(bad), JSON.stringify(bad)).toBeNull();
  }
});

test('an optional field of a wrong type is left out, unknown ones are ignored', () => {
  const trade = readTrade({ symbol: 'A', price: 1, size: 1, timestamp: 1, seq: 'x', conditions: ['@', 3], mystery: {} });
  expect(trade).toEqual({ symbol: 'A', price: 1, size: 1, timestamp: 1, conditions: ['@'] });
});

test('a bar is final unless it says otherwise', () => {
  expect(readBar(BAR)).toMatchObject({ final: true, revision: 0 });
  expect(readBar({ ...BAR, final: false, revision: 2 })).toMatchObject({ final: false, revision: 2 });
  expect(readBar({ ...BAR, close: null })).toBeNull();
});

test('bars come out ascending; an answer without bars is an error', () => {
  const page = readPage({ bars: [{ ...BAR, timestamp: 2 }, 'no bar', BAR], as_of: { epoch: 5, seq: 7, time: 2 } });
  expect(page.bars.map((bar) => bar.timestamp)).toEqual([1, 2]);
  expect(page.asOf).toEqual({ epoch: 5, seq: 7 });
  expect(readPage({ bars: [], as_of: null }).asOf).toBeNull();
  expect(() => readPage({ title: 'Not Found' })).toThrow(/no list of bars/);
});

test('a snapshot keeps what is known', () => {
  expect(readSnapshot({ symbol: 'A', position: {} })).toMatchObject({ symbol: 'A', trade: null, bar: null, trades: null, bars: null });
  const bar = { ...BAR, final: false, partial: true };
  const known = readSnapshot({ symbol: 'A', bar, previous_close: 9, position: { trades: { epoch: 1, seq: 2 } } });
  expect(known).toMatchObject({ partial: true, previousClose: 9, trades: { epoch: 1, seq: 2 }, bars: null });
  expect(known?.unavailable).toBeNull();
  expect(readSnapshot({ symbol: 'A', unavailable: 'the plan is full', position: {} })?.unavailable).toBe('the plan is full');
  expect(readSnapshot({ position: {} })).toBeNull();
});

test('a side that nobody quotes is null', () => {
  expect(readQuote({ symbol: 'A', bid: 1, bid_size: 3, timestamp: 5 })).toEqual({
    symbol: 'A', bid: 1, ask: null, bidSize: 3, askSize: null, timestamp: 5,
  });
  expect(readQuote({ symbol: 'A', bid: 0, ask: 2 })).toMatchObject({ bid: null, ask: 2 });
  expect(readQuote({ bid: 1 })).toBeNull();
});
