/**
 * Sessions of the US stock market by rule, the same rules that the services use: regular hours are 09:30–16:00 New York time, with
 * trading before from 04:00 and after until 20:00. On early-close days regular hours end at 13:00 and trading after them at 17:00.
 */
import { DAY_MS, dayStart, HOUR_MS, MINUTE_MS, newYorkOffset } from './timeframe';

export type Phase = 'closed' | 'pre' | 'open' | 'post';

/** A New York day, `month` from 1, `weekday` from 0 for Sunday. */
interface Day {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
}

/** Closures that no rule tells. */
const UNSCHEDULED = new Set(['2001-9-11', '2001-9-12', '2001-9-13', '2001-9-14', '2004-6-11', '2007-1-2', '2012-10-29', '2012-10-30', '2018-12-5', '2025-1-9']);
const SATURDAY = 6;
const SUNDAY = 0;
const MONDAY = 1;
const FRIDAY = 5;
const known = new Map<number, 'closed' | 'early' | 'full'>();

/** What the market does at `ms`. */
export function phaseAt(ms: number): Phase {
  const start = dayStart(ms);
  let kind = known.get(start);
  if (kind === undefined) {
    kind = kindOf(dayOf(start));
    if (known.size > 20_000) known.clear();
    known.set(start, kind);
  }
  if (kind === 'closed') return 'closed';
  const local = ms + newYorkOffset(ms);
  const minute = Math.floor((((local % DAY_MS) + DAY_MS) % DAY_MS) / MINUTE_MS);
  const [close, end] = kind === 'early' ? [13 * 60, 17 * 60] : [16 * 60, 20 * 60];
  if (minute < 4 * 60 || minute >= end) return 'closed';
  return minute < 9 * 60 + 30 ? 'pre' : minute < close ? 'open' : 'post';
}

function dayOf(start: number): Day {
  const date = new Date(start + newYorkOffset(start));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(), weekday: date.getUTCDay() };
}

function kindOf(day: Day): 'closed' | 'early' | 'full' {
  if (day.weekday === SATURDAY || day.weekday === SUNDAY || isHoliday(day) || UNSCHEDULED.has(`${day.year}-${day.month}-${day.day}`)) return 'closed';
  const { month } = day;
  const eve = (month === 7 && day.day === 3) || (month === 12 && day.day === 24);
  // The fourth Thursday is the 22nd to the 28th.
  const afterThanksgiving = month === 11 && day.weekday === FRIDAY && day.day >= 23 && day.day <= 29;
  return eve || afterThanksgiving ? 'early' : 'full';
}

function isHoliday({ year, month, day, weekday }: Day): boolean {
  const nth = (which: number, on: number, n: number) => month === which && weekday === on && Math.ceil(day / 7) === n;
  return (
    isObserved(year, month, day, 1, 1) ||
    (year >= 1998 && nth(1, MONDAY, 3)) || // Martin Luther King Jr. Day
    nth(2, MONDAY, 3) || // Washington's Birthday
    isGoodFriday(year, month, day) ||
    (month === 5 && weekday === MONDAY && day > 24) || // Memorial Day
    (year >= 2022 && isObserved(year, month, day, 6, 19)) || // Juneteenth
    isObserved(year, month, day, 7, 4) ||
    nth(9, MONDAY, 1) || // Labor Day
    nth(11, 4, 4) || // Thanksgiving
    isObserved(year, month, day, 12, 25)
  );
}

/** A holiday on Sunday is kept on Monday, one on Saturday on Friday; New Year's Day on a Saturday is not kept at all. */
function isObserved(year: number, month: number, day: number, holidayMonth: number, holiday: number): boolean {
  const date = new Date(Date.UTC(year, holidayMonth - 1, holiday));
  const weekday = date.getUTCDay();
  if (weekday === SATURDAY && holidayMonth === 1) return false;
  const kept = new Date(date.getTime() + (weekday === SUNDAY ? DAY_MS : weekday === SATURDAY ? -DAY_MS : 0));
  return kept.getUTCFullYear() === year && kept.getUTCMonth() + 1 === month && kept.getUTCDate() === day;
}

/** Two days before Easter Sunday, which the anonymous Gregorian algorithm gives. */
function isGoodFriday(year: number, month: number, day: number): boolean {
  const golden = year % 19;
  const [century, ofCentury] = [Math.floor(year / 100), year % 100];
  const correction = Math.floor((century + 8) / 25);
  const moon = (19 * golden + century - Math.floor(century / 4) - Math.floor((century - correction + 1) / 3) + 15) % 30;
  const weekday = (32 + 2 * (century % 4) + 2 * Math.floor(ofCentury / 4) - moon - (ofCentury % 4)) % 7;
  const late = Math.floor((golden + 11 * moon + 22 * weekday) / 451);
  const days = moon + weekday - 7 * late + 114;
  const friday = new Date(Date.UTC(year, Math.floor(days / 31) - 1, (days % 31) + 1) - 2 * DAY_MS);
  return friday.getUTCMonth() + 1 === month && friday.getUTCDate() === day;
}

/** When a session of the day that `ms` is in begins and ends: `[pre, open, close, end]`; `null` on a closed day. */
export function sessionOf(ms: number): readonly [number, number, number, number] | null {
  const start = dayStart(ms);
  const noon = start + 12 * HOUR_MS;
  if (phaseAt(noon) !== 'open') return null;
  const at = (hour: number, minute = 0) => {
    const guess = start + hour * HOUR_MS + minute * MINUTE_MS;
    return guess - (newYorkOffset(guess) - newYorkOffset(start));
  };
  const early = phaseAt(at(14)) !== 'open';
  return [at(4), at(9, 30), at(early ? 13 : 16), at(early ? 17 : 20)];
}
