import { describe, expect, test } from 'vitest';
import { combine, FormingCandle } from './candle';
import type { Trade } from './records';

// 9 November 2026, 10:00 in New York
const MINUTE = Date.UTC(2026, 10, 9, 15, 0);

function trade(ms: number, price: number, conditions: string[] = ['@'], size = 100): Trade {
  return { symbol: 'SPY', price, size, timestamp: MINUTE + ms, conditions, tape: 'C' };
}

function formed(...trades: Trade[]) {
  const [first] = trades;
  if (first === undefined) throw new Error('needs a trade');
  const forming = new FormingCandle(first);
  for (const one of trades) forming.add(one);
  return forming.candle();
}

describe('a forming candle', () => {
  test('follows its trades', () => {
    expect(formed(trade(0, 10), trade(5, 12), trade(9, 9), trade(20, 11))).toMatchObject({
      start: MINUTE,
      open: 10,
      high: 12,
      low: 9,
      close: 11,
      volume: 400,
      tradeCount: 4,
      vwap: 10.5,
      madeOf: 'trades',
      final: false,
    });
  });

  test('an odd lot adds volume and moves no price', () => {
    expect(formed(trade(0, 10), trade(1, 50, ['@', 'I'], 7))).toMatchObject({ high: 10, close: 10, volume: 107, tradeCount: 2 });
  });

  test('a minute of odd lots only is no candle', () => {
    expect(formed(trade(0, 10, ['@', 'I']))).toBeNull();
  });

  test('a late report moves high and low, never the close', () => {
    expect(formed(trade(10, 10), trade(20, 11), trade(15, 14, ['@', 'Z']))).toMatchObject({ open: 10, close: 11, high: 14 });
  });

  test('an out-of-sequence trade gives way to the first regular one', () => {
    expect(formed(trade(5, 8, ['Z']), trade(10, 10), trade(11, 11))).toMatchObject({ open: 10, close: 11, low: 8 });
  });

  test('an official close repeats volume that was counted', () => {
    expect(formed(trade(0, 10), trade(1, 99, ['M'], 5000))).toMatchObject({ high: 10, volume: 100 });
  });

  test('trades out of order keep open and close by exchange time, to the nanosecond', () => {
    const at = (ns: string, price: number): Trade => ({ ...trade(5, price), timestamp_ns: `${MINUTE + 5}${ns}` });
    expect(formed(at('000200', 2), at('000300', 3), at('000100', 1))).toMatchObject({ open: 1, close: 3 });
  });
});

describe('candles combined', () => {
  test('open with the first, close with the last, and weigh the average by volume', () => {
    const a = formed(trade(0, 10, ['@'], 100));
    const b = formed(trade(0, 20, ['@'], 300));
    if (a === null || b === null) throw new Error('no candle');
    expect(combine(MINUTE, [a, b])).toMatchObject({ open: 10, high: 20, low: 10, close: 20, volume: 400, vwap: 17.5, tradeCount: 2 });
    expect(combine(MINUTE, [])).toBeNull();
  });
});
