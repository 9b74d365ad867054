/** Numbers and times as people read them. Times are New York's, as the tape's are. */
import { dayStart } from '../lib/timeframe';

const ZONE = 'America/New_York';
const MISSING = '–';

/** Digits after the point: pennies, and more for prices that need them. */
export function decimals(price: number): number {
  if (price < 1) return 4;
  return Math.abs(price * 100 - Math.round(price * 100)) < 1e-6 ? 2 : 4;
}

/** Digits for places that many prices share: pennies, below a dollar finer. */
export function pennies(price: number | null): number {
  return price !== null && price < 1 ? 4 : 2;
}

const priceFormats = new Map<number, Intl.NumberFormat>();

export function price(value: number | null, digits?: number): string {
  if (value === null) return MISSING;
  const places = digits ?? decimals(value);
  let format = priceFormats.get(places);
  if (format === undefined) {
    format = new Intl.NumberFormat('en-US', { minimumFractionDigits: places, maximumFractionDigits: places });
    priceFormats.set(places, format);
  }
  return format.format(value);
}

/** With a sign, and a true minus. */
export function signed(value: number | null, digits = 2): string {
  if (value === null) return MISSING;
  const text = price(Math.abs(value), digits);
  if (/^0\.?0*$/.test(text)) return text;
  return (value > 0 ? '+' : '−') + text;
}

export function percent(value: number | null): string {
  return value === null ? MISSING : `${signed(value * 100)}%`;
}

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const fractional = new Intl.NumberFormat('en-US', { maximumFractionDigits: 4 });

/** Shares, in full. */
export function shares(value: number): string {
  return (Number.isInteger(value) ? whole : fractional).format(value);
}

/** 950, 12.3K, 4.56M. */
export function compact(value: number | null): string {
  if (value === null) return MISSING;
  for (const [unit, size] of [['B', 1e9], ['M', 1e6], ['K', 1e3]] as const) {
    if (value < size * 0.9995) continue;
    const scaled = value / size;
    return scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0) + unit;
  }
  return shares(Math.round(value));
}

/** 5 ms, 2.1 s, 15 min, 3 h, 2 d, 13 years. */
export function duration(ms: number): string {
  const steps = [
    [1_000, 1, 'ms'],
    [60_000, 1_000, 's'],
    [3_600_000, 60_000, 'min'],
    [86_400_000, 3_600_000, 'h'],
    [730 * 86_400_000, 86_400_000, 'd'],
    [Infinity, 365.25 * 86_400_000, 'years'],
  ] as const;
  const span = Math.max(0, ms);
  for (const [below, unit, name] of steps) {
    if (span >= below) continue;
    const value = span / unit;
    const text = value < 10 && name === 's' ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value));
    return `${text} ${name}`;
  }
  return MISSING;
}

const formats = {
  minute: new Intl.DateTimeFormat('en-US', { timeZone: ZONE, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
  second: new Intl.DateTimeFormat('en-US', { timeZone: ZONE, hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }),
  day: new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, day: 'numeric', month: 'short' }),
  date: new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, day: 'numeric', month: 'short', year: 'numeric' }),
  month: new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, month: 'short' }),
  year: new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, year: 'numeric' }),
};

export type TimeStyle = keyof typeof formats;

export function time(ms: number, style: TimeStyle): string {
  return formats[style].format(ms);
}

/** 09:31:07.042 */
export function tapeTime(ms: number): string {
  return `${time(ms, 'second')}.${String(ms % 1_000).padStart(3, '0')}`;
}

/** The start of a candle: with its date, and with its minute unless it is a whole day. */
export function candleTime(start: number, wholeDay: boolean): string {
  if (wholeDay) return time(start, 'date');
  return `${time(start, 'day')} ${time(start, 'minute')}`;
}

/** The time where it is from the same day as `now`, else the day too. */
export function when(ms: number, now: number): string {
  return dayStart(ms) === dayStart(now) ? time(ms, 'second') : `${time(ms, 'date')} ${time(ms, 'second')}`;
}

const EXCHANGES: Record<string, string> = {
  A: 'NYSE American', B: 'Nasdaq BX', C: 'NYSE National', D: 'FINRA TRF', H: 'MIAX Pearl', I: 'ISE', J: 'Cboe EDGA', K: 'Cboe EDGX',
  L: 'LTSE', M: 'NYSE Chicago', N: 'NYSE', P: 'NYSE Arca', Q: 'Nasdaq', S: 'CTA SIP', T: 'Nasdaq', U: 'MEMX', V: 'IEX', W: 'CBSX',
  X: 'Nasdaq PSX', Y: 'Cboe BYX', Z: 'Cboe BZX',
};

/** The venue behind the tape's letter; a letter that is newer than this table stays what it is. */
export function exchange(code: string | undefined): string {
  return code === undefined ? MISSING : (EXCHANGES[code] ?? code);
}
