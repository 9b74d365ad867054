import { expect, test } from 'vitest';
import { phaseAt, sessionOf } from './calendar';

const noon = (date: string) => Date.parse(`${date}T17:00:00Z`);

test('holidays of published calendars are closed, other weekdays are not', () => {
  const closed = [
    '2022-06-20', '2022-12-26', '2023-01-02', '2023-04-07', '2024-01-01', '2024-01-15', '2024-02-19', '2024-03-29', '2024-05-27', '2024-06-19', '2024-07-04', '2024-09-02',
    '2024-11-28', '2024-12-25', '2025-01-09', '2025-04-18', '2026-04-03', '2026-06-19', '2026-07-03', '2026-11-26', '2027-03-26', '2027-06-18', '2027-07-05', '2027-12-24',
  ];
  expect(closed.filter((date) => phaseAt(noon(date)) !== 'closed')).toEqual([]);
  const open = ['2021-06-18', '2021-12-31', '2022-01-03', '2024-10-14', '2024-11-11', '2013-10-07'];
  expect(open.filter((date) => phaseAt(noon(date)) !== 'open')).toEqual([]);
});

test('early closes end at 13:00', () => {
  for (const date of ['2024-07-03', '2024-11-29', '2024-12-24', '2025-07-03', '2026-11-27']) {
    const session = sessionOf(noon(date));
    expect(session?.map((at) => phaseAt(at)), date).toEqual(['pre', 'open', 'post', 'closed']);
    expect(((session?.[2] ?? 0) - (session?.[1] ?? 0)) / 60_000, date).toBe(210);
  }
  expect(phaseAt(Date.parse('2024-11-22T20:00:00Z'))).toBe('open');
});

test('the phase follows New York through the day', () => {
  const at = (text: string) => phaseAt(Date.parse(text));
  expect(['07:59:59', '08:00:00', '13:30:00', '19:59:59', '20:00:00'].map((time) => at(`2024-06-03T${time}Z`))).toEqual(['closed', 'pre', 'open', 'open', 'post']);
  expect([at('2024-06-04T00:00:00Z'), at('2024-06-01T15:00:00Z')]).toEqual(['closed', 'closed']);
});
