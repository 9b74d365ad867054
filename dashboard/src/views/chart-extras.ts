/** What can be laid over the chart on demand: other symbols in percent, and large trades. */
import { createSeriesMarkers, LineSeries, type ISeriesApi, type ISeriesMarkersPluginApi, type SeriesType, type Time } from 'lightweight-charts';
import type { App } from '../app';
import { ChartFeed } from '../core/chart-feed';
import { compact } from '../core/format';
import type { Palette } from '../core/theme';
import { startOf, type Timeframe } from '../lib/timeframe';
import type { ChartCanvas } from './chart-series';

const DRAW_MS = 250;
const PAGES_MAX = 40;
/** Of the trades on the tape, this many are marked at most, and none smaller than the least. */
const MARKS_MAX = 30;
const MARK_SHARES_MIN = 500;

interface Compared {
  readonly feed: ChartFeed;
  readonly line: ISeriesApi<'Line'>;
  due: boolean;
}

/** Other symbols as lines, each in a colour of its own. */
export class Comparison {
  private readonly shown = new Map<string, Compared>();
  private from = -Infinity;
  private timeframe: Timeframe | null = null;

  constructor(
    private readonly app: App,
    private readonly canvas: ChartCanvas,
    private colours: readonly string[],
  ) {
    setInterval(() => this.draw(), DRAW_MS);
  }

  get isOn(): boolean {
    return this.shown.size > 0;
  }

  /** The newest price and the colour of each. */
  get names(): { symbol: string; colour: string }[] {
    return [...this.shown.keys()].map((symbol, index) => ({ symbol, colour: this.colour(index) }));
  }

  /** Draws exactly these. */
  set(symbols: readonly string[], timeframe: Timeframe): void {
    const reframed = timeframe !== this.timeframe;
    this.timeframe = timeframe;
    for (const [symbol, { feed, line }] of this.shown) {
      if (symbols.includes(symbol)) continue;
      feed.close();
      this.canvas.chart.removeSeries(line);
      this.shown.delete(symbol);
    }
    for (const symbol of symbols) {
      const known = this.shown.get(symbol);
      if (known !== undefined) {
        if (!reframed) continue;
        known.line.setData([]);
        known.feed.setTimeframe(timeframe);
        continue;
      }
      const line = this.canvas.chart.addSeries(LineSeries, { lineWidth: 2, priceLineVisible: false, title: symbol, crosshairMarkerVisible: false });
      const changed = () => {
        const compared = this.shown.get(symbol);
        if (compared !== undefined) compared.due = true;
      };
      const feed = new ChartFeed(symbol, timeframe, this.app.api, this.app.stream, changed);
      this.shown.set(symbol, { feed, line, due: true });
    }
    this.paint(this.colours);
  }

  paint(colours: readonly string[]): void {
    this.colours = colours;
    for (const [index, { line }] of [...this.shown.values()].entries()) line.applyOptions({ color: this.colour(index) });
  }

  /** Makes sure that the lines begin where the candles do. */
  async reach(from: number): Promise<void> {
    if (from !== this.from) for (const compared of this.shown.values()) compared.due = true;
    this.from = from;
    await Promise.all(
      [...this.shown.values()].map(async ({ feed }) => {
        await feed.settled();
        for (let page = 0; page < PAGES_MAX && feed.hasEarlier && (feed.candles[0]?.start ?? -Infinity) > from; page += 1) {
          if (!(await feed.loadEarlier())) break;
        }
      }),
    );
  }

  private draw(): void {
    for (const compared of this.shown.values()) {
      if (!compared.due || compared.feed.timeframe !== this.timeframe) continue;
      compared.due = false;
      const candles = compared.feed.candles.filter(({ start }) => start >= this.from);
      compared.line.setData(candles.map(({ start, close }) => ({ time: this.canvas.axis(start), value: close })));
    }
  }

  private colour(index: number): string {
    return this.colours[index % this.colours.length] ?? '#888888';
  }
}

/** Circles where the largest of the recent trades were. */
export class TradeMarks {
  private plugin: ISeriesMarkersPluginApi<Time> | null = null;
  private series: ISeriesApi<SeriesType> | null = null;

  constructor(
    private readonly app: App,
    private readonly canvas: ChartCanvas,
  ) {}

  draw(timeframe: Timeframe, colours: Palette): void {
    if (!this.app.settings.marks) return void this.plugin?.setMarkers([]);
    if (this.series !== this.canvas.series || this.plugin === null) {
      this.series = this.canvas.series;
      this.plugin = createSeriesMarkers(this.series, []);
    }
    const large = this.app.tape
      .newest(this.app.active, Infinity, MARK_SHARES_MIN)
      .sort((a, b) => b.trade.size - a.trade.size)
      .slice(0, MARKS_MAX)
      .sort((a, b) => a.trade.timestamp - b.trade.timestamp);
    this.plugin.setMarkers(
      large.map(({ trade, tick }) => ({
        time: this.canvas.axis(startOf(timeframe, trade.timestamp)),
        position: 'atPriceMiddle' as const,
        price: trade.price,
        shape: 'circle' as const,
        color: tick === 'down' ? colours.down : tick === 'up' ? colours.up : colours.accent,
        text: compact(trade.size),
        size: 1,
      })),
    );
  }
}

/** Colours of compared lines: those that mean neither up nor down, and on which the library's labels can be read. */
export function lineColours(colours: Palette): string[] {
  return [colours.vwap, colours.emaFast, colours.emaSlow, colours.text];
}
