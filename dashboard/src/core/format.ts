/** Numbers and times as people read them. Times are in the clock that was chosen for the page. */
import { dayStart } from '../lib/timeframe';
import { currentZone, intlZone, zoneOffset, EXCHANGE_ZONE } from './zone';

const MISSING = '–';

/** Digits after the point that show a price exactly: pennies, and more for prices that need them. */
export function decimals(price: number): number {
  if (price < 1) return 4;
  return Math.abs(price * 100 - Math.round(price * 100)) < 1e-6 ? 2 : 4;
}

/** Digits of the tick of a symbol that trades around `price`: a cent, below a dollar a hundredth of one. */
export function tickDigits(price: number | null): number {
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

const STYLES = {
  minute: ['en-US', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }],
  second: ['en-US', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }],
  day: ['en-GB', { day: 'numeric', month: 'short' }],
  date: ['en-GB', { day: 'numeric', month: 'short', year: 'numeric' }],
  month: ['en-GB', { month: 'short' }],
  year: ['en-GB', { year: 'numeric' }],
} as const satisfies Record<string, readonly [string, Intl.DateTimeFormatOptions]>;

export type TimeStyle = keyof typeof STYLES;
const formats = new Map<string, Intl.DateTimeFormat>();

function inZone(ms: number, style: TimeStyle, zone: string | undefined): string {
  const key = `${style} ${zone}`;
  let format = formats.get(key);
  if (format === undefined) {
    const [locale, options] = STYLES[style];
    format = new Intl.DateTimeFormat(locale, { ...options, timeZone: zone });
    formats.set(key, format);
  }
  return format.format(ms);
}

/** In the chosen clock. */
export function time(ms: number, style: TimeStyle): string {
  return inZone(ms, style, intlZone());
}

/** A trading day is New York's, whichever clock was chosen. */
export function tradingDate(ms: number, style: TimeStyle = 'date'): string {
  return inZone(ms, style, EXCHANGE_ZONE);
}

/** 09:31:07.042 */
export function tapeTime(ms: number): string {
  return `${time(ms, 'second')}.${String(ms % 1_000).padStart(3, '0')}`;
}

/** The start of a candle: with its date, and with its minute unless it is a whole day. */
export function candleTime(start: number, wholeDay: boolean): string {
  if (wholeDay) return tradingDate(start);
  return `${time(start, 'day')} ${time(start, 'minute')}`;
}

/** The time where it is from the same day as `now`, else the day too. */
export function when(ms: number, now: number): string {
  return sameDay(ms, now) ? time(ms, 'second') : `${time(ms, 'date')} ${time(ms, 'second')}`;
}

function sameDay(a: number, b: number): boolean {
  if (currentZone() === 'exchange') return dayStart(a) === dayStart(b);
  const day = (ms: number) => Math.floor((ms + zoneOffset(ms)) / 86_400_000);
  return day(a) === day(b);
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
