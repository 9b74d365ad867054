/**
 * What the address says: the page, and of the market page the symbol, the candles, how far back, the indicators and what is compared.
 * Whoever opens it sees the same view. Pure.
 *
 * `#/market/AAPL?tf=5Min&span=5D&with=ema:20,vwap&vs=MSFT,GOOGL`; a range that was scrolled to is `from=…&to=…`, Unix seconds.
 */
import { TIMEFRAMES, type Timeframe } from '../lib/timeframe';
import { HORIZONS, type Horizon } from './horizons';
import { readIndicators, type Indicator } from './indicators';
import { readSymbol } from './symbols';

export const COMPARED_MAX = 4;

/** A stretch of time on the chart, Unix milliseconds. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Address {
  readonly page: string;
  readonly symbol: string | null;
  readonly timeframe: Timeframe | null;
  readonly horizon: Horizon | null;
  readonly range: Range | null;
  /** `null` where the address does not speak of them. */
  readonly indicators: readonly Indicator[] | null;
  readonly compared: readonly string[] | null;
}

/** Reads a location's hash. Invalid parts are ignored: people also type addresses by hand. */
export function readAddress(hash: string, pages: readonly string[], fallback: string): Address {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?');
  const [, wanted = '', name = ''] = path.split('/');
  const page = pages.includes(wanted) ? wanted : fallback;
  const params = new URLSearchParams(query);
  const list = (key: string) => params.get(key)?.split(',').filter((one) => one !== '') ?? null;
  const second = (key: string) => (/^\d{1,11}$/.test(params.get(key) ?? '') ? Number(params.get(key)) * 1_000 : null);
  const [from, to] = [second('from'), second('to')];
  const compared = list('vs')?.map(readSymbol).filter((symbol) => symbol !== null) ?? null;
  return {
    page,
    symbol: page === fallback ? readSymbol(decode(name)) : null,
    timeframe: TIMEFRAMES.find((one) => one === params.get('tf')) ?? null,
    horizon: HORIZONS.find((one) => one === params.get('span')) ?? null,
    range: from !== null && to !== null && from < to ? { from, to } : null,
    indicators: params.has('with') ? readIndicators(list('with') ?? []) : null,
    compared: compared === null ? null : [...new Set(compared)].slice(0, COMPARED_MAX),
  };
}

/** The hash of an address; what is usual or absent is left out. */
export function writeAddress({ page, symbol, timeframe, horizon, range, indicators, compared }: Address): string {
  const path = symbol === null ? `#/${page}` : `#/${page}/${encodeURIComponent(symbol)}`;
  const parts: string[] = [];
  if (timeframe !== null) parts.push(`tf=${timeframe}`);
  if (horizon !== null) parts.push(`span=${horizon}`);
  else if (range !== null) parts.push(`from=${Math.floor(range.from / 1_000)}`, `to=${Math.ceil(range.to / 1_000)}`);
  if (indicators !== null && indicators.length > 0) parts.push(`with=${indicators.join(',')}`);
  if (compared !== null && compared.length > 0) parts.push(`vs=${compared.map(encodeURIComponent).join(',')}`);
  return parts.length === 0 ? path : `${path}?${parts.join('&')}`;
}

/** An address that somebody typed may be no valid encoding. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
