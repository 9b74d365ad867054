/** Lengths of candles and where each starts. Minutes and hours count from midnight in New York, days are New York's. */

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/** The lengths that the page offers, by the API's names. */
export const TIMEFRAMES = ['1Min', '5Min', '15Min', '30Min', '1Hour', '2Hour', '4Hour', '1Day', '1Week', '1Month'] as const;
export type Timeframe = (typeof TIMEFRAMES)[number];
type Intraday = Exclude<Timeframe, '1Day' | '1Week' | '1Month'>;

const MINUTES: Record<Intraday, number> = { '1Min': 1, '5Min': 5, '15Min': 15, '30Min': 30, '1Hour': 60, '2Hour': 120, '4Hour': 240 };
const DAYS = { '1Day': 1, '1Week': 7, '1Month': 30.4 } as const;
/** 1 January 1970 was a Thursday. */
const MONDAY = 4;

/** Whether candles of this length start within a day. */
export function isIntraday(timeframe: Timeframe): timeframe is Intraday {
  return timeframe in MINUTES;
}

/** How long a candle of this length lasts, in milliseconds; a month is taken as an average one. */
export function lengthOf(timeframe: Timeframe): number {
  return isIntraday(timeframe) ? MINUTES[timeframe] * MINUTE_MS : DAYS[timeframe] * DAY_MS;
}

/** Whether candles of this length hold several days. */
export function isLongerThanDay(timeframe: Timeframe): boolean {
  return timeframe === '1Week' || timeframe === '1Month';
}

const clock = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/New_York',
  hourCycle: 'h23',
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
  minute: 'numeric',
});
const offsets = new Map<number, number>();

/** New York's distance from UTC at `ms`, in milliseconds (negative). Clocks change on full hours, so an hour has one answer. */
export function newYorkOffset(ms: number): number {
  const hour = Math.floor(ms / HOUR_MS);
  const known = offsets.get(hour);
  if (known !== undefined) return known;
  const at = hour * HOUR_MS;
  const part: Record<string, number> = {};
  for (const { type, value } of clock.formatToParts(at)) part[type] = Number(value);
  const local = Date.UTC(part['year'] ?? 0, (part['month'] ?? 1) - 1, part['day'], part['hour'], part['minute']);
  if (offsets.size > 50_000) offsets.clear(); // years of hourly bars; refilled at once
  offsets.set(hour, local - at);
  return local - at;
}

/** Midnight in New York at or before `ms`. */
export function dayStart(ms: number): number {
  const local = ms + newYorkOffset(ms);
  const midnight = Math.floor(local / DAY_MS) * DAY_MS;
  // The offset at midnight differs from now's on the two days a year when clocks change (at 02:00).
  return midnight - newYorkOffset(midnight - newYorkOffset(ms));
}

/** Midnight in New York of the Monday at or before `ms`. */
function weekStart(ms: number): number {
  const day = dayStart(ms);
  const date = Math.floor((day + newYorkOffset(day)) / DAY_MS);
  // Noon is noon whichever way clocks change in between.
  return dayStart(day - ((date - MONDAY + 7) % 7) * DAY_MS + 12 * HOUR_MS);
}

/** Midnight in New York of the first of the month at or before `ms`. */
function monthStart(ms: number): number {
  const date = new Date(ms + newYorkOffset(ms));
  return dayStart(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1, 12));
}

/** Start of the candle that holds the moment `ms`. Where clocks change, a candle ends and another begins. */
export function startOf(timeframe: Timeframe, ms: number): number {
  if (timeframe === '1Min') return Math.floor(ms / MINUTE_MS) * MINUTE_MS;
  if (timeframe === '1Week') return weekStart(ms);
  if (timeframe === '1Month') return monthStart(ms);
  if (!isIntraday(timeframe)) return dayStart(ms);
  const start = ms - sinceStart(timeframe, ms);
  return clockChange(start, ms) ?? start;
}

/** Start of the candle after the one that starts at `start`. */
export function nextStart(timeframe: Timeframe, start: number): number {
  if (timeframe === '1Week') return weekStart(start + 7 * DAY_MS + 6 * HOUR_MS);
  if (timeframe === '1Month') return monthStart(start + 32 * DAY_MS);
  if (!isIntraday(timeframe)) return dayStart(start + DAY_MS + 6 * HOUR_MS);
  const next = start + MINUTES[timeframe] * MINUTE_MS - sinceStart(timeframe, start);
  return clockChange(start, next) ?? next;
}

/** Milliseconds since New York's clocks last showed a multiple of the candle's length. */
function sinceStart(timeframe: Intraday, ms: number): number {
  const length = MINUTES[timeframe] * MINUTE_MS;
  const local = ms + newYorkOffset(ms);
  return ((local % length) + length) % length;
}

/** When clocks change after `from` and no later than `to`, a few hours on; `null` for not. */
function clockChange(from: number, to: number): number | null {
  const before = newYorkOffset(from);
  if (newYorkOffset(to) === before) return null;
  for (let at = Math.floor(from / HOUR_MS) * HOUR_MS + HOUR_MS; at <= to; at += HOUR_MS) if (newYorkOffset(at) !== before) return at;
  return null;
}

/** Whether `ms` is outside 09:30–16:00 New York time on a weekday. Holidays and early closes are left to the final bar. */
export function isExtendedHours(ms: number): boolean {
  const local = ms + newYorkOffset(ms);
  const minute = Math.floor((((local % DAY_MS) + DAY_MS) % DAY_MS) / MINUTE_MS);
  const weekday = (Math.floor(local / DAY_MS) + 4) % 7; // 1 January 1970 was a Thursday
  return weekday === 0 || weekday === 6 || minute < 570 || minute >= 960;
}
