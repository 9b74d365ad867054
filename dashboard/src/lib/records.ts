/**
 * The records of the wire, and the door through which they come in.
 *
 * Whatever arrives is `unknown` until one of the readers here has looked at it: the gateway forwards payloads unchanged, so a
 * strange one must end here and not in the middle of a chart.
 */

/** A record's place in the live stream of its symbol: `epoch` names the producer's run, `seq` counts in it from 1. */
export interface Position {
  readonly epoch: number;
  readonly seq: number;
}

/** One trade of the tape: the payload of the `trade` event. */
export interface Trade {
  readonly symbol: string;
  /** Dollars. */
  readonly price: number;
  /** Shares. */
  readonly size: number;
  /** Exchange time, Unix milliseconds. */
  readonly timestamp: number;
  /** The same with nanoseconds, as decimal text. */
  readonly timestamp_ns?: string;
  readonly trade_id?: string;
  readonly exchange?: string;
  readonly conditions?: readonly string[];
  readonly tape?: string;
  readonly source?: string;
  /** The producer's run; with `seq` it is this record's position. */
  readonly epoch?: number;
  /** Counts this symbol's trades in the run, from 1. */
  readonly seq?: number;
}

/** One bar: the payload of the `bar` event and the element of `/api/bars`. */
export interface Bar {
  readonly timestamp: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly trade_count?: number;
  readonly vwap?: number;
  /** `false` while the interval is still running. */
  readonly final: boolean;
  /** A higher revision of the same bar replaces a lower one. */
  readonly revision: number;
  /** Present on events only. */
  readonly symbol?: string;
  readonly timeframe?: string;
  readonly source?: string;
  readonly epoch?: number;
  readonly seq?: number;
}

/** Best bid and offer: the payload of the `quote` event. A price of `null` means that nobody quotes that side. */
export interface Quote {
  readonly symbol: string;
  readonly bid: number | null;
  readonly ask: number | null;
  readonly bidSize: number | null;
  readonly askSize: number | null;
  readonly timestamp: number;
}

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isPrice = (value: unknown): value is number => isNumber(value) && value > 0;
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** Drops keys without a value, so that an optional field is either right or absent. */
function present<T extends Fields>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

const text = (value: unknown) => (isText(value) ? value : undefined);
const number = (value: unknown) => (isNumber(value) ? value : undefined);

/** A trade, or `null` where a required field is missing or invalid. */
export function readTrade(value: unknown): Trade | null {
  if (!isObject(value)) return null;
  const { symbol, price, size, timestamp } = value;
  if (!isText(symbol) || !isPrice(price) || !isNumber(size) || size < 0 || !isNumber(timestamp)) return null;
  const conditions = Array.isArray(value['conditions']) ? value['conditions'].filter(isText) : undefined;
  return {
    symbol,
    price,
    size,
    timestamp,
    ...present({
      timestamp_ns: text(value['timestamp_ns']),
      trade_id: text(value['trade_id']),
      exchange: text(value['exchange']),
      conditions,
      tape: text(value['tape']),
      source: text(value['source']),
      epoch: number(value['epoch']),
      seq: number(value['seq']),
    }),
  };
}

/** A bar, or `null` where a required field is missing or invalid. */
export function readBar(value: unknown): Bar | null {
  if (!isObject(value)) return null;
  const { timestamp, open, high, low, close, volume } = value;
  if (!isNumber(timestamp) || !isPrice(open) || !isPrice(high) || !isPrice(low) || !isPrice(close)) return null;
  if (!isNumber(volume) || volume < 0) return null;
  return {
    timestamp,
    open,
    high,
    low,
    close,
    volume,
    final: value['final'] !== false,
    revision: number(value['revision']) ?? 0,
    ...present({
      trade_count: number(value['trade_count']),
      vwap: number(value['vwap']),
      symbol: text(value['symbol']),
      timeframe: text(value['timeframe']),
      source: text(value['source']),
      epoch: number(value['epoch']),
      seq: number(value['seq']),
    }),
  };
}

/** A quote, or `null` where it names no symbol. A side that nobody quotes is left out of it. */
export function readQuote(value: unknown): Quote | null {
  if (!isObject(value) || !isText(value['symbol'])) return null;
  const { bid, ask } = value;
  return {
    symbol: value['symbol'],
    bid: isPrice(bid) ? bid : null,
    ask: isPrice(ask) ? ask : null,
    bidSize: number(value['bid_size']) ?? null,
    askSize: number(value['ask_size']) ?? null,
    timestamp: number(value['timestamp']) ?? 0,
  };
}

/** An answer of history: bars, and up to where it is true. */
export interface Page {
  /** Ascending by time. */
  readonly bars: readonly Bar[];
  /** Every bar up to this position is in the database that answered; `null` where the answer does not say. */
  readonly asOf: Position | null;
}

function readPosition(value: unknown): Position | null {
  if (!isObject(value)) return null;
  const { epoch, seq } = value;
  return isNumber(epoch) && isNumber(seq) ? { epoch, seq } : null;
}

/** An `/api/bars` answer; elements that are no bars are left out. */
export function readPage(answer: unknown): Page {
  const list = isObject(answer) ? answer['bars'] : null;
  if (!isObject(answer) || !Array.isArray(list)) throw new Error('the answer holds no list of bars');
  const bars = list.map(readBar).filter((bar) => bar !== null);
  return { bars: bars.sort((a, b) => a.timestamp - b.timestamp), asOf: readPosition(answer['as_of']) };
}

/** The `snapshot` event: what the gateway knows of a symbol at the moment of subscribing. What nobody knows is `null`. */
export interface Snapshot {
  readonly symbol: string;
  readonly trade: Trade | null;
  readonly quote: Quote | null;
  /** The running minute so far, else the newest bar. */
  readonly bar: Bar | null;
  /** Whether `bar` lacks trades of its minute. */
  readonly partial: boolean;
  readonly previousClose: number | null;
  /** Why the feed does not carry the symbol; `null` where it does. */
  readonly unavailable: string | null;
  /** The last trade and the last bar before the live stream begins. */
  readonly trades: Position | null;
  readonly bars: Position | null;
}

/** A snapshot, or `null` where it names no symbol. */
export function readSnapshot(value: unknown): Snapshot | null {
  if (!isObject(value) || !isText(value['symbol'])) return null;
  const bar = value['bar'];
  const position = isObject(value['position']) ? value['position'] : {};
  const close = value['previous_close'];
  return {
    symbol: value['symbol'],
    trade: readTrade(value['trade']),
    quote: readQuote(value['quote']),
    bar: readBar(bar),
    partial: isObject(bar) && bar['partial'] === true,
    previousClose: isPrice(close) ? close : null,
    unavailable: text(value['unavailable']) ?? null,
    trades: readPosition(position['trades']),
    bars: readPosition(position['bars']),
  };
}
