import { expect, test } from 'vitest';
import { dayStart, isExtendedHours, nextStart, startOf, TIMEFRAMES } from './timeframe';

const ms = (text: string) => Date.parse(text);

test('a day starts at midnight in New York on either side of the clock change', () => {
  expect(dayStart(ms('2025-03-07T21:00:00Z'))).toBe(ms('2025-03-07T05:00:00Z'));
  expect(dayStart(ms('2025-03-10T21:00:00Z'))).toBe(ms('2025-03-10T04:00:00Z'));
  expect(dayStart(ms('2025-03-09T21:00:00Z'))).toBe(ms('2025-03-09T05:00:00Z'));
  expect(dayStart(ms('2025-11-02T21:00:00Z'))).toBe(ms('2025-11-02T04:00:00Z'));
  expect(nextStart('1Day', ms('2025-03-09T05:00:00Z'))).toBe(ms('2025-03-10T04:00:00Z'));
  expect(nextStart('1Day', ms('2025-11-02T04:00:00Z'))).toBe(ms('2025-11-03T05:00:00Z'));
});

test('a week starts on Monday, at midnight in New York, on either side of the clock change', () => {
  expect(startOf('1Week', ms('2025-03-09T21:00:00Z'))).toBe(ms('2025-03-03T05:00:00Z'));
  expect(startOf('1Week', ms('2025-03-10T04:00:00Z'))).toBe(ms('2025-03-10T04:00:00Z'));
  expect(startOf('1Week', ms('2025-03-10T03:59:59Z'))).toBe(ms('2025-03-03T05:00:00Z'));
  expect(nextStart('1Week', ms('2025-03-03T05:00:00Z'))).toBe(ms('2025-03-10T04:00:00Z'));
  expect(nextStart('1Week', ms('2025-10-27T04:00:00Z'))).toBe(ms('2025-11-03T05:00:00Z'));
});

test('every moment lies in the candle that claims it', () => {
  for (const timeframe of TIMEFRAMES) {
    for (let at = ms('2025-03-08T00:00:00Z'); at < ms('2025-03-11T00:00:00Z'); at += 977_000) {
      const start = startOf(timeframe, at);
      expect(start).toBeLessThanOrEqual(at);
      expect(at).toBeLessThan(nextStart(timeframe, start));
      expect(startOf(timeframe, start)).toBe(start);
    }
  }
});

test('regular hours are half past nine to four', () => {
  expect(isExtendedHours(ms('2026-11-09T14:29:00Z'))).toBe(true);
  expect(isExtendedHours(ms('2026-11-09T14:30:00Z'))).toBe(false);
  expect(isExtendedHours(ms('2026-11-09T20:59:59Z'))).toBe(false);
  expect(isExtendedHours(ms('2026-11-09T21:00:00Z'))).toBe(true);
  expect(isExtendedHours(ms('2026-11-08T16:00:00Z'))).toBe(true);
});
