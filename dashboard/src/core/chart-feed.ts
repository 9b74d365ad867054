/** Which candles the chart shows now: one symbol's, at one timeframe, history and live in one list. */
import { FrameBars } from '../lib/frame-bars';
import { LiveBars, type Changed, type History, type Stream } from '../lib/live-bars';
import type { Candle } from '../lib/candle';
import type { SeamState } from '../lib/seam';
import type { Timeframe } from '../lib/timeframe';

export class ChartFeed {
  /** Why the last request failed; `null` once one has succeeded since. */
  error: string | null = null;
  private readonly minutes: LiveBars;
  private frame: FrameBars;

  constructor(
    readonly symbol: string,
    timeframe: Timeframe,
    private readonly history: History,
    stream: Stream,
    private readonly changed: Changed,
  ) {
    this.minutes = new LiveBars(symbol, history, stream, {
      onChange: (from) => {
        if (from === null) this.error = null;
        this.frame.onMinutes(from);
        // Even when there is no candle, the end of loading is something to show.
        if (from === null && this.candles.length === 0) this.changed(null);
      },
      onError: (error) => this.failed(error),
    });
    this.frame = this.makeFrame(timeframe);
  }

  get candles(): readonly Candle[] {
    return this.frame.candles;
  }

  get state(): SeamState {
    return this.minutes.state;
  }

  get timeframe(): Timeframe {
    return this.frame.timeframe;
  }

  get hasEarlier(): boolean {
    return this.timeframe === '1Min' ? this.minutes.hasEarlier : this.frame.hasEarlier;
  }

  /** The same symbol with other candles; its minutes stay. */
  setTimeframe(timeframe: Timeframe): void {
    if (timeframe === this.timeframe) return;
    this.frame.close();
    this.frame = this.makeFrame(timeframe);
    this.frame.onMinutes(null);
  }

  /** Resolves when the first load of this timeframe is over. */
  settled(): Promise<void> {
    return this.frame.settled();
  }

  async loadEarlier(): Promise<boolean> {
    try {
      return await this.frame.loadEarlier();
    } catch (error) {
      this.failed(error);
      return false;
    }
  }

  close(): void {
    this.frame.close();
    this.minutes.close();
  }

  private makeFrame(timeframe: Timeframe): FrameBars {
    const frame = new FrameBars(timeframe, this.minutes, this.history, this.changed);
    frame.failed = (error) => this.failed(error);
    return frame;
  }

  private failed(error: unknown): void {
    this.error = error instanceof Error ? error.message : String(error);
    this.changed(this.candles[this.candles.length - 1]?.start ?? null);
  }
}
