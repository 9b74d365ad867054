/**
 * Candles of any length, live. Closed ones come from the API; the newest ones are put together here from the minute candles, so that
 * the running one moves with each trade. Where the two meet, every candle is made wholly by one side: no minute counts twice.
 */
import { candleOf, combine, type Candle } from './candle';
import { earlierThan, type Changed, type History, type LiveBars } from './live-bars';
import { isLongerThanDay, nextStart, startOf, DAY_MS, type Timeframe } from './timeframe';

const LIMIT: Record<Timeframe, number> = {
  '1Min': 0,
  '5Min': 1_500,
  '15Min': 1_500,
  '30Min': 1_500,
  '1Hour': 1_000,
  '2Hour': 1_000,
  '4Hour': 1_000,
  '1Day': 1_000,
  '1Week': 1_000,
  '1Month': 1_000,
};
/** How far back one look goes; longer candles are sparser. */
const SPAN_MS: Record<Timeframe, number> = {
  '1Min': 3 * DAY_MS,
  '5Min': 12 * DAY_MS,
  '15Min': 30 * DAY_MS,
  '30Min': 60 * DAY_MS,
  '1Hour': 120 * DAY_MS,
  '2Hour': 240 * DAY_MS,
  '4Hour': 480 * DAY_MS,
  '1Day': 3_000 * DAY_MS,
  '1Week': 6_000 * DAY_MS,
  '1Month': 12_000 * DAY_MS,
};

export class FrameBars {
  hasEarlier = true;
  /** Told about every failed load of closed candles; those made of minutes are there all the same. */
  failed: (error: unknown) => void = () => undefined;
  /** Candles that the API made, all before `cut`. */
  private closed: Candle[] = [];
  /** Where the minutes take over: the first interval that they cover from its very start. `null` while there are none. */
  private cut: number | null = null;
  private tail: Candle[] = [];
  /** Of a running week or month: where it began, and those of its days that are over. Its minutes alone would be too many to ask for. */
  private running: { readonly since: number; readonly days: readonly Candle[] } | null = null;
  /** The tail is out of date from here on; it is put together again when somebody looks. */
  private staleFrom: number | null = null;
  private asked = false;
  private readonly abort = new AbortController();
  private loading: Promise<void> | null = null;
  private earlier: Promise<boolean> | null = null;

  constructor(
    readonly timeframe: Timeframe,
    private readonly minutes: LiveBars,
    private readonly history: History,
    private readonly changed: Changed,
  ) {}

  get candles(): readonly Candle[] {
    if (this.timeframe === '1Min') return this.minutes.candles;
    if (this.staleFrom !== null) this.retail(this.staleFrom);
    this.staleFrom = null;
    return this.closed.concat(this.tail);
  }

  /** To be called when minutes changed, with what {@link LiveBars} told. */
  onMinutes(from: number | null): void {
    if (this.timeframe === '1Min') return this.changed(from);
    if (this.minutes.state === 'loading') return;
    if (!this.asked) {
      this.asked = true;
      void this.load();
    }
    // Where everything may differ, minutes may reach further back than before.
    if (this.cut === null || from === null) {
      const cut = this.firstJoined;
      if (cut === null) return;
      if (this.cut === null || cut < this.cut) {
        this.cut = cut;
        this.closed = this.closed.filter((candle) => candle.start < cut);
        from = null;
      }
    }
    const start = from === null ? this.cut : Math.max(this.cut, startOf(this.timeframe, from));
    this.staleFrom = Math.min(start, this.staleFrom ?? start);
    this.changed(from === null ? null : start);
  }

  /** Loads the candles before the minutes'. Rejects where the API gives none; may be called again. */
  load(): Promise<void> {
    this.loading ??= this.fetchClosed().finally(() => (this.loading = null));
    return this.loading;
  }

  /** Resolves when no first load is under way. */
  async settled(): Promise<void> {
    await this.loading;
  }

  /** As {@link LiveBars.loadEarlier}. */
  loadEarlier(): Promise<boolean> {
    if (this.timeframe === '1Min') return this.minutes.loadEarlier();
    this.earlier ??= this.fetchEarlier().finally(() => (this.earlier = null));
    return this.earlier;
  }

  close(): void {
    this.abort.abort();
  }

  private async fetchClosed(): Promise<void> {
    const { timeframe } = this;
    try {
      await this.reachRunning();
      if (isLongerThanDay(timeframe)) await this.fetchDays();
      const { bars } = await this.history.newest(this.minutes.symbol, timeframe, LIMIT[timeframe], this.abort.signal);
      this.hasEarlier = bars.length >= LIMIT[timeframe];
      const cut = this.cut ?? Infinity;
      this.closed = bars.filter((bar) => bar.timestamp < cut).map(candleOf);
      this.changed(null);
    } catch (error) {
      if (!this.abort.signal.aborted) this.failed(error);
    }
  }

  private async fetchEarlier(): Promise<boolean> {
    // The first load may bring just what would be asked for here.
    await this.loading;
    const first = this.candles[0];
    if (first === undefined || !this.hasEarlier) return this.hasEarlier;
    const bars = await earlierThan(first.start, SPAN_MS[this.timeframe], (start, end) =>
      this.history.range(this.minutes.symbol, this.timeframe, start, end, this.abort.signal),
    );
    this.hasEarlier = bars.length > 0;
    // Compared with what is there now, not with what was there when the question was asked.
    const known = this.closed[0]?.start ?? this.cut ?? Infinity;
    this.closed = bars.filter((bar) => bar.timestamp < known).map(candleOf).concat(this.closed);
    if (bars.length > 0) this.changed(null);
    return this.hasEarlier;
  }

  /** The running candle moves with each trade only where all its minutes are at hand; of a week or month, those of its running day. */
  private async reachRunning(): Promise<void> {
    const unit = isLongerThanDay(this.timeframe) ? '1Day' : this.timeframe;
    for (let more = true; more && !this.abort.signal.aborted; ) {
      const { candles } = this.minutes;
      const [first, last] = [candles[0], candles[candles.length - 1]];
      if (first === undefined || last === undefined || first.start <= startOf(unit, last.start)) return;
      more = await this.minutes.loadEarlier();
    }
    // To know that there are no earlier minutes makes an interval whole that seemed cut.
    this.onMinutes(null);
  }

  /** The days of the running week or month that lie before its minutes. */
  private async fetchDays(): Promise<void> {
    const { candles, symbol } = this.minutes;
    const [last, whole] = [candles[candles.length - 1], this.firstWhole('1Day')];
    if (last === undefined || whole === null) return;
    const since = startOf(this.timeframe, last.start);
    const { bars } = since < whole ? await this.history.range(symbol, '1Day', since, whole, this.abort.signal) : { bars: [] };
    this.running = { since, days: bars.map(candleOf) };
    this.onMinutes(null);
  }

  /** Start of the first interval that can be put together from what is at hand. */
  private get firstJoined(): number | null {
    const whole = this.firstWhole(this.timeframe);
    if (this.running === null) return whole;
    return Math.min(this.running.since, whole ?? Infinity);
  }

  /** Start of the first interval whose minutes are all at hand. */
  private firstWhole(timeframe: Timeframe): number | null {
    const first = this.minutes.candles[0];
    if (first === undefined) return null;
    const start = startOf(timeframe, first.start);
    // The first load may have begun in the middle of an interval, unless there is nothing older at all.
    return this.minutes.hasEarlier && start !== first.start ? nextStart(timeframe, start) : start;
  }

  /** What the intervals from `start` on consist of: minutes, and before them the days of a running week or month. */
  private partsFrom(start: number): readonly Candle[] {
    const { candles } = this.minutes;
    const whole = this.running === null ? -Infinity : (this.firstWhole('1Day') ?? Infinity);
    const from = Math.max(start, whole);
    let index = candles.length;
    while (index > 0 && (candles[index - 1]?.start ?? 0) >= from) index -= 1;
    const minutes = candles.slice(index);
    const days = this.running?.days.filter((day) => day.start >= start && day.start < whole) ?? [];
    return days.length === 0 ? minutes : [...days, ...minutes];
  }

  /** Puts the intervals from `start` on together again. */
  private retail(start: number): void {
    const kept = this.tail.filter((candle) => candle.start < start);
    let parts: Candle[] = [];
    let current: number | null = null;
    const finish = () => {
      const candle = current === null ? null : combine(current, parts);
      if (candle !== null) kept.push(candle);
    };
    for (const candle of this.partsFrom(start)) {
      const interval = startOf(this.timeframe, candle.start);
      if (interval !== current) {
        finish();
        [current, parts] = [interval, []];
      }
      parts.push(candle);
    }
    finish();
    this.tail = kept;
  }
}
