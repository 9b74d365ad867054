/** A whole exchange in virtual time: whatever it loses, delays or repeats, the page ends up with exactly the bars of the database. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FormingCandle } from './candle';
import { FrameBars } from './frame-bars';
import { LiveBars, type Follower, type History, type Stream } from './live-bars';
import type { Bar, Page, Position, Trade } from './records';
import { MINUTE_MS, startOf, type Timeframe } from './timeframe';

const T0 = Date.UTC(2026, 10, 9, 15, 0);
const EPOCH = T0;

/** Seeded, so that a failing round can be run again. */
function random(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Faults {
  /** Chance that a connection breaks in a given second. */
  readonly breaks: number;
  /** Chance that an event is lost although the connection stands. */
  readonly losses: number;
  /** Chance that a request fails. */
  readonly failures: number;
  /** Whether history says up to where it is true, and subscriptions begin with a snapshot. */
  readonly positions?: boolean;
}

class Exchange implements Stream, History {
  readonly committed = new Map<number, Bar>();
  requests = 0;
  faults: Faults;
  private follower: Follower | null = null;
  private connected = false;
  private minute: Trade[] = [];
  private tradeSeq = 0;
  private barSeq = 0;
  private lastCommitAt = 0;
  private price = 100;
  private asOf: Position | null = null;
  private readonly published: Bar[] = [];

  constructor(
    private readonly draw: () => number,
    faults: Faults,
  ) {
    this.faults = faults;
    setInterval(() => this.second(), 1_000);
  }

  follow(_symbol: string, follower: Follower): () => void {
    this.follower = follower;
    this.connect();
    return () => (this.follower = null);
  }

  newest(_symbol: string, timeframe: Timeframe, limit: number): Promise<Page> {
    return this.answer(() => this.bars(timeframe).slice(-limit));
  }

  range(_symbol: string, timeframe: Timeframe, start: number, end: number): Promise<Page> {
    return this.answer(() => this.bars(timeframe).filter((bar) => bar.timestamp >= start && bar.timestamp < end));
  }

  /** Straight into the database, as if long ago. */
  seed(minutes: number): void {
    for (let i = 1; i <= minutes; i += 1) {
      const timestamp = T0 - i * MINUTE_MS;
      this.committed.set(timestamp, { timestamp, open: 100, high: 101, low: 99, close: 100, volume: 10, vwap: 100, trade_count: 3, final: true, revision: 0 });
    }
  }

  bars(timeframe: Timeframe = '1Min'): Bar[] {
    const minutes = [...this.committed.values()].sort((a, b) => a.timestamp - b.timestamp);
    if (timeframe === '1Min') return minutes;
    const frames = new Map<number, Bar>();
    for (const bar of minutes) {
      const start = startOf(timeframe, bar.timestamp);
      const known = frames.get(start);
      frames.set(start, {
        timestamp: start,
        open: known?.open ?? bar.open,
        high: Math.max(known?.high ?? 0, bar.high),
        low: Math.min(known?.low ?? Infinity, bar.low),
        close: bar.close,
        volume: (known?.volume ?? 0) + bar.volume,
        final: true,
        revision: 0,
      });
    }
    return [...frames.values()];
  }

  private second(): void {
    const now = Date.now();
    if (this.connected && this.draw() < this.faults.breaks) this.disconnect();
    if (this.minute[0] !== undefined && startOf('1Min', this.minute[0].timestamp) !== startOf('1Min', now)) this.closeMinute();
    const busy = this.draw() < 0.6 ? 2 : 0;
    for (let i = 0; i < busy; i += 1) this.trade(now);
  }

  private trade(now: number): void {
    this.price = Math.max(1, this.price + Math.round((this.draw() - 0.5) * 20) / 10);
    this.tradeSeq += 1;
    const trade: Trade = {
      symbol: 'A',
      price: this.price,
      size: 1 + Math.floor(this.draw() * 200),
      timestamp: now,
      conditions: this.draw() < 0.3 ? ['@', 'I'] : ['@'],
      epoch: EPOCH,
      seq: this.tradeSeq,
    };
    this.minute.push(trade);
    this.send((follower) => follower.onTrade(trade));
    if (this.draw() < 0.05) this.send((follower) => follower.onTrade(trade));
  }

  private closeMinute(): void {
    const [first] = this.minute;
    if (first === undefined) return;
    const forming = new FormingCandle(first);
    for (const trade of this.minute) forming.add(trade);
    this.minute = [];
    const candle = forming.candle();
    if (candle === null) return;
    const bar: Bar = {
      timestamp: candle.start,
      open: candle.open,
      high: candle.high,
      low: candle.low,
      close: candle.close,
      volume: candle.volume,
      vwap: candle.vwap ?? candle.close,
      trade_count: candle.tradeCount ?? 0,
      final: true,
      revision: 0,
      timeframe: '1Min',
    };
    setTimeout(() => this.publish(bar), 20 + this.draw() * 400);
    if (this.draw() < 0.2) setTimeout(() => this.publish({ ...bar, close: bar.close + 0.5, high: bar.high + 1, revision: 1 }), 30_000);
  }

  /** Heard at once, committed in order some time later. */
  private publish(bare: Bar): void {
    this.barSeq += 1;
    const bar = { ...bare, epoch: EPOCH, seq: this.barSeq };
    this.published.push(bar);
    this.send((follower) => follower.onBar(bar));
    const at = Math.max(Date.now() + 50 + this.draw() * 2_500, this.lastCommitAt);
    this.lastCommitAt = at;
    const { epoch: _epoch, seq: _seq, timeframe: _timeframe, ...row } = bar;
    setTimeout(() => {
      this.committed.set(row.timestamp, row);
      this.asOf = { epoch: bar.epoch, seq: bar.seq };
    }, at - Date.now());
  }

  private send(deliver: (follower: Follower) => void): void {
    const { follower } = this;
    if (!this.connected || follower === null || this.draw() < this.faults.losses) return;
    deliver(follower);
  }

  private connect(): void {
    setTimeout(() => {
      this.connected = true;
      this.follower?.onListening();
      if (this.faults.positions === true) this.snapshot();
    }, this.draw() * 300);
  }

  /** The running minute so far, as a gateway that has heard all of it tells it. */
  private snapshot(): void {
    const trade = this.minute[this.minute.length - 1] ?? null;
    const [first] = this.minute;
    const forming = first === undefined ? null : new FormingCandle(first);
    for (const one of this.minute) forming?.add(one);
    const candle = forming?.candle() ?? null;
    const bar: Bar | null =
      candle === null
        ? (this.published[this.published.length - 1] ?? null)
        : { timestamp: candle.start, open: candle.open, high: candle.high, low: candle.low, close: candle.close, volume: candle.volume, vwap: candle.vwap ?? 0, trade_count: candle.tradeCount ?? 0, final: false, revision: 0 };
    this.follower?.onSnapshot?.({
      symbol: 'A',
      trade,
      quote: null,
      bar,
      partial: false,
      previousClose: null,
      unavailable: null,
      trades: this.tradeSeq === 0 ? null : { epoch: EPOCH, seq: this.tradeSeq },
      bars: this.barSeq === 0 ? null : { epoch: EPOCH, seq: this.barSeq },
    });
  }

  private disconnect(): void {
    this.connected = false;
    this.follower?.onInterrupted();
    setTimeout(() => this.connect(), this.draw() * 100_000);
  }

  /** The snapshot is taken somewhere between question and answer. */
  private answer(read: () => Bar[]): Promise<Page> {
    this.requests += 1;
    const { draw } = this;
    return new Promise((resolve, reject) => {
      const fails = draw() < this.faults.failures;
      setTimeout(() => {
        const page: Page = { bars: read(), asOf: this.faults.positions === true ? this.asOf : null };
        setTimeout(() => (fails ? reject(new Error('503')) : resolve(page)), draw() * 400);
      }, draw() * 400);
    });
  }
}

beforeEach(() => {
  vi.useFakeTimers({ now: T0 + 17_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const QUIET: Faults = { breaks: 0, losses: 0, failures: 0 };

function values(bars: readonly { open: number; high: number; low: number; close: number; volume: number }[]) {
  return bars.map(({ open, high, low, close, volume }) => [open, high, low, close, volume]);
}

test.each(Array.from({ length: 200 }, (_, round) => round + 1))('round %i ends with exactly the bars of the database', async (seed) => {
  const draw = random(seed);
  const positions = seed % 2 === 0;
  const exchange = new Exchange(draw, { breaks: draw() * 0.02, losses: draw() * 0.05, failures: draw() * 0.3, positions });
  exchange.seed(40);
  await vi.advanceTimersByTimeAsync(Math.floor(draw() * 90_000));
  const bars = new LiveBars('A', exchange, exchange, { limit: 20 + Math.floor(draw() * 40) });
  await vi.advanceTimersByTimeAsync(12 * MINUTE_MS);
  // The faults end; whatever was lost must now be found again.
  exchange.faults = { ...QUIET, positions };
  // To the fiftieth second of a minute, when everything heard has been committed too.
  await vi.advanceTimersByTimeAsync(5 * MINUTE_MS + 50_000 - (Date.now() % MINUTE_MS));

  expect(bars.state).toBe('joined');
  const starts = bars.candles.map((candle) => candle.start);
  expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
  const made = bars.candles.filter((candle) => candle.madeOf === 'bar');
  const first = made[0]?.start ?? Infinity;
  const newest = made[made.length - 1]?.start ?? 0;
  const expected = exchange.bars().filter((bar) => bar.timestamp >= first && bar.timestamp <= newest);
  expect(expected.length).toBeGreaterThan(20);
  expect(bars.candles.filter((candle) => candle.start <= newest).map((candle) => [candle.start, ...values([candle]).flat()])).toEqual(
    expected.map((bar) => [bar.timestamp, ...values([bar]).flat()]),
  );
  // Only the running minute, or one whose bar is on its way, is formed from trades.
  expect(bars.candles.length - made.length).toBeLessThanOrEqual(2);
  bars.close();
});

test('with positions one load can be proof enough, and the running minute is whole from the start', async () => {
  const exchange = new Exchange(random(21), { ...QUIET, positions: true });
  exchange.seed(100);
  await vi.advanceTimersByTimeAsync(3 * MINUTE_MS + 30_000);
  const bars = new LiveBars('A', exchange, exchange);
  await vi.advanceTimersByTimeAsync(6_000);
  expect(bars.state).toBe('joined');
  expect(exchange.requests).toBeLessThanOrEqual(2);
  expect(bars.candles.some((candle) => candle.partial)).toBe(false);
  const heard = bars.candles[bars.candles.length - 1];
  expect(heard).toMatchObject({ madeOf: 'trades', partial: false });
  // The candle that began with a snapshot and went on with trades is the bar that the feed then makes of all of them.
  await vi.advanceTimersByTimeAsync(59_900 - (Date.now() % MINUTE_MS));
  const whole = bars.candles.find((candle) => candle.start === heard?.start);
  await vi.advanceTimersByTimeAsync(MINUTE_MS);
  const bar = exchange.bars().find(({ timestamp }) => timestamp === heard?.start);
  expect(whole?.madeOf).toBe('trades');
  expect(bar).toMatchObject({ open: whole?.open, high: whole?.high, low: whole?.low, volume: whole?.volume, trade_count: whole?.tradeCount });
  bars.close();
});

test('a steady connection asks twice: the load and the proof', async () => {
  const exchange = new Exchange(random(7), QUIET);
  exchange.seed(100);
  const bars = new LiveBars('A', exchange, exchange);
  await vi.advanceTimersByTimeAsync(10 * MINUTE_MS);
  expect(bars.state).toBe('joined');
  // load, settle, and one or two looks for the witness
  expect(exchange.requests).toBeLessThanOrEqual(5);
  bars.close();
  const asked = exchange.requests;
  await vi.advanceTimersByTimeAsync(5 * MINUTE_MS);
  expect(exchange.requests).toBe(asked);
  bars.close();
});

test('scrolling back gives each older bar once and ends where history does', async () => {
  const exchange = new Exchange(random(9), QUIET);
  exchange.seed(300);
  const bars = new LiveBars('A', exchange, exchange, { limit: 100 });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(bars.hasEarlier).toBe(true);
  const both = Promise.all([bars.loadEarlier(), bars.loadEarlier()]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await both).toEqual([true, true]);
  expect(bars.candles[0]?.start).toBe(T0 - 300 * MINUTE_MS);
  const end = bars.loadEarlier();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(await end).toBe(false);
  const starts = bars.candles.map((candle) => candle.start);
  expect(new Set(starts).size).toBe(starts.length);
  bars.close();
});

test('longer candles equal the API’s, though their tail is made of minutes', async () => {
  const exchange = new Exchange(random(11), QUIET);
  exchange.seed(500);
  let frame: FrameBars | null = null;
  const bars = new LiveBars('A', exchange, exchange, { limit: 103, onChange: (from) => frame?.onMinutes(from) });
  frame = new FrameBars('5Min', bars, exchange, () => undefined);
  await vi.advanceTimersByTimeAsync(11 * MINUTE_MS);
  const final = frame.candles.filter((candle) => candle.final);
  const byStart = new Map(exchange.bars('5Min').map((bar) => [bar.timestamp, bar]));
  expect(final.length).toBeGreaterThan(100);
  const last = final.pop();
  for (const candle of final) {
    const bar = byStart.get(candle.start);
    expect(bar).toBeDefined();
    if (bar !== undefined) expect(values([candle])).toEqual(values([bar]));
  }
  expect(last).toBeDefined();
  bars.close();
  frame.close();
});

test('scrolling back while the first load of longer candles runs gives none of them twice', async () => {
  const exchange = new Exchange(random(13), QUIET);
  exchange.seed(5_000);
  let frame: FrameBars | null = null;
  const bars = new LiveBars('A', exchange, exchange, { limit: 103, onChange: (from) => frame?.onMinutes(from) });
  frame = new FrameBars('15Min', bars, exchange, () => undefined);
  while (bars.state === 'loading') await vi.advanceTimersByTimeAsync(10);
  const earlier = frame.loadEarlier();
  await vi.advanceTimersByTimeAsync(10_000);
  await earlier;
  const starts = frame.candles.map((candle) => candle.start);
  expect(starts.length).toBeGreaterThan(300);
  expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
  bars.close();
  frame.close();
});
