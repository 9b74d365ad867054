/**
 * Minute candles of one symbol, from the first bar asked for up to this very trade, with no hole and no double.
 *
 * The driver around {@link MinuteSeries} (what is known) and {@link Seam} (what to ask for): it owns the timer, the requests and the
 * subscription, and decides nothing itself.
 */
import type { Candle } from './candle';
import { Positions } from './positions';
import type { Bar, Page, Snapshot, Trade } from './records';
import { Seam, type SeamState } from './seam';
import { MinuteSeries } from './series';
import { MINUTE_MS, type Timeframe } from './timeframe';

/** Where history comes from. Both reject when there is no answer. */
export interface History {
  /** The newest `limit` bars. */
  newest(symbol: string, timeframe: Timeframe, limit: number, signal: AbortSignal): Promise<Page>;
  /** Every bar that starts in `[start, end)`, Unix milliseconds, however many pages that takes. */
  range(symbol: string, timeframe: Timeframe, start: number, end: number, signal: AbortSignal): Promise<Page>;
}

/** What a stream tells whoever follows a symbol. */
export interface Follower {
  /** From now on every event arrives: the subscription was acknowledged, for the first time or again. */
  onListening(): void;
  /** Events may be missed from now on. */
  onInterrupted(): void;
  onTrade(trade: Trade): void;
  onBar(bar: Bar): void;
  /** What the other side knew when the subscription began; comes after `onListening` and before the first event, if at all. */
  onSnapshot?(snapshot: Snapshot): void;
}

/** Where live events come from. `follow` returns what ends it. */
export interface Stream {
  follow(symbol: string, follower: Follower): () => void;
}

/** `from`: start of the earliest candle that may differ; `null` where everything may. */
export type Changed = (from: number | null) => void;

export interface LiveBarsOptions {
  /** Bars of the first load. Default 1,500: a round-the-clock day and a little. */
  readonly limit?: number;
  readonly onChange?: Changed;
  /** Told about every failed request; the next attempt is already planned. */
  readonly onError?: (error: unknown) => void;
}

/** How often to look whether something is due. */
const TICK_MS = 250;
/** How long a minute may wait for its bar before history is asked. */
const OVERDUE_MS = 5_000;
const FAR_FUTURE_MS = 10 * 366 * 86_400_000;
const EARLIER_SPAN_MS = 3 * 86_400_000;
const EARLIER_SPAN_MAX_MS = 400 * 86_400_000;

export class LiveBars implements Follower {
  /** Whether the first load filled its limit, so that older bars may exist. */
  hasEarlier = true;
  private readonly series = new MinuteSeries();
  private readonly seam: Seam;
  private readonly trades = new Positions();
  private readonly abort = new AbortController();
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly unfollow: () => void;
  private readonly limit: number;
  private fetching = false;
  private listenedBefore = false;
  private overdueSince: number | null = null;
  private earlier: Promise<boolean> | null = null;

  constructor(
    readonly symbol: string,
    private readonly history: History,
    stream: Stream,
    private readonly options: LiveBarsOptions = {},
  ) {
    this.limit = options.limit ?? 1_500;
    this.seam = new Seam(Date.now());
    this.unfollow = stream.follow(symbol, this);
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.tick();
  }

  /** Ascending by start, one per minute at most. */
  get candles(): readonly Candle[] {
    return this.series.candles;
  }

  /** `joined` once history and stream provably meet. */
  get state(): SeamState {
    return this.seam.state;
  }

  /** Trades that this subscription should have heard and did not, by their numbers. */
  get tradesMissed(): number {
    return this.trades.missed;
  }

  /** Ends it: no request, timer or subscription is left behind. */
  close(): void {
    this.unfollow();
    clearInterval(this.timer);
    this.abort.abort();
  }

  onListening(): void {
    if (this.listenedBefore) this.seam.onBreak(Date.now());
    this.listenedBefore = true;
    this.tick();
  }

  onInterrupted(): void {
    this.series.interrupt();
    this.changed(this.candles[this.candles.length - 1]?.start ?? null);
  }

  onSnapshot({ bar, partial, trade, trades, bars }: Snapshot): void {
    this.seam.onSnapshot(bars);
    if (bar === null) return;
    let from: number | null = null;
    if (bar.final) from = this.series.merge([bar]);
    // Older than what was heard since: it would take trades away again.
    else if (trade !== null && trades !== null && this.trades.reaches(trades)) {
      this.trades.skipTo(trades, trade.source);
      from = this.series.resume(bar, partial, trade);
    }
    if (from !== null) this.changed(from);
  }

  onTrade(trade: Trade): void {
    const verdict = this.trades.judge(trade);
    if (verdict === 'repeat') return;
    if (verdict === 'step') this.series.interrupt();
    const from = this.series.trade(trade);
    if (from !== null) this.changed(from);
  }

  onBar(bar: Bar): void {
    this.seam.onLiveBar(bar, Date.now());
    if (bar.timeframe !== undefined && bar.timeframe !== '1Min') return;
    const from = this.series.merge([bar]);
    if (from !== null) this.changed(from);
  }

  /** Loads what lies before the first candle. Resolves to whether there may be still more; concurrent calls share one load. */
  loadEarlier(): Promise<boolean> {
    this.earlier ??= this.fetchEarlier().finally(() => (this.earlier = null));
    return this.earlier;
  }

  private async fetchEarlier(): Promise<boolean> {
    const first = this.candles[0];
    if (first === undefined || !this.hasEarlier) return this.hasEarlier;
    const bars = await earlierThan(first.start, EARLIER_SPAN_MS, (start, end) =>
      this.history.range(this.symbol, '1Min', start, end, this.abort.signal),
    );
    this.hasEarlier = bars.length > 0;
    if (this.series.merge(bars) !== null) this.changed(null);
    return this.hasEarlier;
  }

  private tick(): void {
    const now = Date.now();
    this.lookForOverdue(now);
    const { plan } = this.seam;
    if (plan !== null && plan.at <= now && !this.fetching) void this.fetch(plan.from);
  }

  /** A minute that is over and stays without its bar means that a `bar` event was lost. */
  private lookForOverdue(now: number): void {
    if (this.seam.state !== 'joined' || this.series.unconfirmed === null) {
      this.overdueSince = null;
      return;
    }
    this.overdueSince ??= now;
    if (now - this.overdueSince > OVERDUE_MS) this.seam.onBreak(now);
  }

  private async fetch(from: number | null): Promise<void> {
    const { signal } = this.abort;
    this.fetching = true;
    try {
      const page =
        from === null
          ? await this.history.newest(this.symbol, '1Min', this.limit, signal)
          : await this.history.range(this.symbol, '1Min', from, Date.now() + FAR_FUTURE_MS, signal);
      if (signal.aborted) return;
      if (from === null) this.hasEarlier = page.bars.length >= this.limit;
      const merged = this.series.merge(page.bars);
      const closes = this.seam.onHistory(page, Date.now());
      const newest = page.bars[page.bars.length - 1];
      const settled = closes && newest !== undefined ? this.series.settle(newest.timestamp) : null;
      if (from === null || settled !== null) this.changed(null);
      else if (merged !== null) this.changed(merged);
    } catch (error) {
      if (signal.aborted) return;
      this.seam.onFailure(Date.now());
      this.options.onError?.(error);
    } finally {
      this.fetching = false;
    }
  }

  private changed(from: number | null): void {
    this.options.onChange?.(from);
  }
}

/**
 * The bars before `end`, in ever longer looks back until some are found: history has weekends, holidays and halts in it.
 * An empty answer means that there are none.
 */
export async function earlierThan(
  end: number,
  span: number,
  range: (start: number, end: number) => Promise<Page>,
): Promise<readonly Bar[]> {
  for (let reach = Math.max(span, MINUTE_MS); ; reach *= 6) {
    const { bars } = await range(end - reach, end);
    if (bars.length > 0 || reach > EARLIER_SPAN_MAX_MS) return bars;
  }
}
