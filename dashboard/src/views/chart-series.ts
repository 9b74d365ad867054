/** Candles on a lightweight-charts canvas. Knows how to draw; knows nothing about where candles come from. */
import {
  BarSeries,
  CandlestickSeries,
  ColorType,
  createChart,
  CrosshairMode,
  HistogramSeries,
  LineSeries,
  type IChartApi,
  type ISeriesApi,
  type SeriesType,
  type Time,
  type UTCTimestamp,
} from 'lightweight-charts';
import { candleTime, decimals, time } from '../core/format';
import { between, stretches, type DeclaredGap, type Hole } from '../core/gaps';
import { ema, vwap } from '../core/indicators';
import { fade, palette, type Palette } from '../core/theme';
import type { Candle } from '../lib/candle';
import { isIntraday, newYorkOffset, nextStart, type Timeframe } from '../lib/timeframe';
import { Shade } from './shade';

export const STYLES = ['candles', 'bars', 'line'] as const;
export type Style = (typeof STYLES)[number];
export const OVERLAYS = ['ema20', 'ema50', 'vwap'] as const;
export type Overlay = (typeof OVERLAYS)[number];

export interface Look {
  readonly timeframe: Timeframe;
  readonly style: Style;
  readonly overlays: readonly Overlay[];
}

/** What the pointer is on: a candle, a hole between candles, or nothing. */
export type Hover = { readonly candle: Candle } | { readonly hole: Hole } | null;

const VOLUME_SHARE = 0.18;
/** While a candle runs, its indicators follow this often: their move within it is finer than a pixel. */
const OVERLAY_MS = 250;

export class ChartCanvas {
  readonly chart: IChartApi;
  private main: ISeriesApi<SeriesType>;
  private readonly volume: ISeriesApi<'Histogram'>;
  private readonly lines = new Map<Overlay, ISeriesApi<'Line'>>();
  private readonly shade = new Shade();
  private colours: Palette;
  private candles: readonly Candle[] = [];
  private byStart = new Map<number, Candle>();
  private found: Hole[] = [];
  /** Intervals on the axis, in order: candles and what is empty between them. */
  private starts: number[] = [];
  private gaps: readonly DeclaredGap[] = [];
  /** What is on the canvas. The list of candles cannot tell: it may be the very one drawn before, grown in place. */
  private drawnLength = 0;
  private drawnLast: number | null = null;
  /**
   * The library lays out its axis in UTC. Times are shifted by New York's offset, so that its days begin where the market's do; one
   * offset for all, so that they stay ascending when clocks change.
   */
  private shift = 0;
  private digits = 2;
  private overlaysAt = 0;

  constructor(
    container: HTMLElement,
    private look: Look,
  ) {
    this.colours = palette(document.documentElement);
    this.chart = createChart(container, { autoSize: true });
    this.volume = this.chart.addSeries(HistogramSeries, { priceFormat: { type: 'volume' }, priceScaleId: 'volume', lastValueVisible: false, priceLineVisible: false });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 1 - VOLUME_SHARE, bottom: 0 } });
    this.main = this.addMain();
    this.paint();
    this.setLook(look);
  }

  /** The holes that are drawn. */
  get holes(): readonly Hole[] {
    return this.found;
  }

  /** The candles as they are on the canvas, read back from it. */
  get drawn(): { start: number; open: number; high: number; low: number; close: number; volume: number }[] {
    const volumes = new Map(this.volume.data().map((point) => [point.time, 'value' in point ? point.value : 0]));
    return this.main.data().flatMap((point) => {
      const start = this.startOf(point.time);
      const volume = volumes.get(point.time) ?? 0;
      if ('open' in point) return [{ start, open: point.open, high: point.high, low: point.low, close: point.close, volume }];
      const candle = 'value' in point ? this.byStart.get(start) : undefined;
      return candle === undefined ? [] : [{ ...candle, volume }];
    });
  }

  setLook(look: Look): void {
    const restyled = look.style !== this.look.style;
    const reframed = look.timeframe !== this.look.timeframe;
    this.look = look;
    if (restyled) {
      this.chart.removeSeries(this.main);
      this.main = this.addMain();
    }
    for (const overlay of OVERLAYS) this.toggleOverlay(overlay, look.overlays.includes(overlay));
    this.chart.timeScale().applyOptions({ timeVisible: isIntraday(look.timeframe) });
    if (restyled || reframed) this.paint();
    this.set(this.candles);
  }

  /** Takes the colours of the page's theme. */
  paint(): void {
    const colours = (this.colours = palette(document.documentElement));
    const font = getComputedStyle(document.body).fontFamily;
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colours.panel }, textColor: colours.text, fontFamily: font, fontSize: 11 },
      grid: { vertLines: { color: colours.grid }, horzLines: { color: colours.grid } },
      crosshair: { mode: CrosshairMode.Normal, vertLine: { color: colours.text, labelBackgroundColor: colours.line }, horzLine: { color: colours.text, labelBackgroundColor: colours.line } },
      rightPriceScale: { borderColor: colours.line, scaleMargins: { top: 0.12, bottom: VOLUME_SHARE + 0.04 } },
      timeScale: {
        borderColor: colours.line,
        rightOffset: 6,
        barSpacing: 8,
        minBarSpacing: 0.4,
        tickMarkFormatter: (at: Time, kind: number) => this.tick(at, kind),
      },
      localization: { timeFormatter: (at: Time) => candleTime(this.startOf(at), !isIntraday(this.look.timeframe)) },
    });
    this.main.applyOptions(mainOptions(this.look.style, colours, this.digits));
    for (const [overlay, line] of this.lines) line.applyOptions({ color: overlayColour(overlay, colours) });
    this.shade.colour = colours.gap;
    this.set(this.candles);
  }

  /** Draws all candles. */
  set(candles: readonly Candle[]): void {
    this.candles = candles;
    this.byStart = new Map(candles.map((candle) => [candle.start, candle]));
    const last = candles[candles.length - 1];
    this.drawnLength = candles.length;
    this.drawnLast = last?.start ?? null;
    this.shift = last === undefined ? 0 : newYorkOffset(last.start);
    this.setDigits(last);
    this.found = [];
    this.starts = [];
    const main: object[] = [];
    const volume: object[] = [];
    let before: Candle | null = null;
    for (const candle of candles) {
      const hole = before === null ? null : between(before.start, candle.start, this.look.timeframe);
      if (hole !== null) {
        this.found.push(hole);
        for (let at = hole.from; at < hole.to; at = nextStart(this.look.timeframe, at)) {
          main.push({ time: this.axis(at) });
          this.starts.push(at);
        }
      }
      this.starts.push(candle.start);
      main.push(this.point(candle));
      volume.push(this.volumePoint(candle));
      before = candle;
    }
    this.main.setData(main as never);
    this.volume.setData(volume as never);
    this.drawShade();
    this.drawOverlays();
  }

  /** Draws what changed, given that nothing before `from` did. */
  update(candles: readonly Candle[], from: number): void {
    const { drawnLast } = this;
    const last = candles[candles.length - 1];
    const fresh = candles.length - this.drawnLength;
    if (drawnLast === null || last === undefined || from < drawnLast || fresh < 0 || fresh > 1) return this.set(candles);
    // A hole before the new candle changes the axis; its decimals change every label.
    if (fresh === 1 && between(drawnLast, last.start, this.look.timeframe) !== null) return this.set(candles);
    if (newYorkOffset(last.start) !== this.shift || this.digitsOf(last) > this.digits) return this.set(candles);
    if (fresh === 1) {
      this.starts.push(last.start);
      if (this.gaps.length > 0) this.drawShade();
    }
    for (const candle of candles.slice(fresh === 1 ? -2 : -1)) {
      if (candle.start < from) continue;
      this.byStart.set(candle.start, candle);
      this.main.update(this.point(candle) as never);
      this.volume.update(this.volumePoint(candle) as never);
    }
    this.candles = candles;
    this.drawnLength = candles.length;
    this.drawnLast = last.start;
    const now = performance.now();
    if (fresh === 1 || now - this.overlaysAt > OVERLAY_MS) this.updateOverlays(fresh + 1);
  }

  /** The outages that concern what is drawn. */
  setGaps(gaps: readonly DeclaredGap[]): void {
    this.gaps = gaps;
    this.drawShade();
  }

  private drawShade(): void {
    const shades = stretches(this.starts, this.found, this.gaps, this.look.timeframe);
    this.shade.set(shades.map(({ from, to, kind }) => ({ from: this.axis(from), to: this.axis(to), kind })));
  }

  hover(at: Time | undefined): Hover {
    if (at === undefined) return null;
    const start = this.startOf(at);
    const candle = this.byStart.get(start);
    if (candle !== undefined) return { candle };
    const hole = this.found.find((one) => one.from <= start && start < one.to);
    return hole === undefined ? null : { hole };
  }

  /** The value of an overlay at a candle. */
  overlayAt(overlay: Overlay, start: number): number | null {
    const data = this.lines.get(overlay)?.data() ?? [];
    const at = this.axis(start);
    for (let i = data.length - 1; i >= 0; i -= 1) {
      const point = data[i];
      if (point === undefined || (point.time as number) < at) break;
      if (point.time === at) return 'value' in point ? point.value : null;
    }
    return null;
  }

  /** Shows the candles from `from` to the end; all of them for `null`. */
  showFrom(from: number | null): void {
    const index = from === null ? 0 : this.candles.findIndex((candle) => candle.start >= from);
    const first = this.candles[Math.max(0, index)];
    const last = this.candles[this.candles.length - 1];
    if (first === undefined || last === undefined) return;
    this.chart.timeScale().setVisibleRange({ from: this.axis(first.start), to: this.axis(last.start) });
    this.chart.timeScale().applyOptions({ rightOffset: 6 });
  }

  destroy(): void {
    this.chart.remove();
  }

  private axis(start: number): UTCTimestamp {
    return ((start + this.shift) / 1_000) as UTCTimestamp;
  }

  private startOf(at: Time): number {
    return (at as number) * 1_000 - this.shift;
  }

  private tick(at: Time, kind: number): string {
    const start = this.startOf(at);
    // 0 year, 1 month, 2 day, 3 and 4 time
    return time(start, (['year', 'month', 'day', 'minute', 'second'] as const)[kind] ?? 'minute');
  }

  private addMain(): ISeriesApi<SeriesType> {
    const kind = { candles: CandlestickSeries, bars: BarSeries, line: LineSeries }[this.look.style];
    const series = this.chart.addSeries(kind, mainOptions(this.look.style, this.colours, this.digits));
    series.attachPrimitive(this.shade);
    return series as ISeriesApi<SeriesType>;
  }

  private point(candle: Candle): object {
    const at = this.axis(candle.start);
    if (this.look.style === 'line') return { time: at, value: candle.close };
    const { open, high, low, close } = candle;
    const point = { time: at, open, high, low, close };
    if (!candle.partial || this.look.timeframe !== '1Min') return point;
    // Not all of its trades were heard: it is paler until its bar comes.
    const colour = fade(close >= open ? this.colours.up : this.colours.down, 0.45);
    return this.look.style === 'bars' ? { ...point, color: colour } : { ...point, color: colour, wickColor: colour, borderColor: colour };
  }

  private volumePoint(candle: Candle): object {
    const colour = candle.close >= candle.open ? this.colours.up : this.colours.down;
    return { time: this.axis(candle.start), value: candle.volume, color: fade(colour, candle.partial ? 0.2 : 0.38) };
  }

  private digitsOf(candle: Candle | undefined): number {
    // Pennies are fine enough an axis for anything above a dollar, even where trades are split finer.
    return candle === undefined || candle.close >= 1 ? 2 : decimals(candle.close);
  }

  private setDigits(last: Candle | undefined): void {
    const digits = this.digitsOf(last);
    if (digits === this.digits) return;
    this.digits = digits;
    this.main.applyOptions(mainOptions(this.look.style, this.colours, digits));
  }

  private toggleOverlay(overlay: Overlay, on: boolean): void {
    const line = this.lines.get(overlay);
    if (on && line === undefined) {
      const options = { color: overlayColour(overlay, this.colours), lineWidth: 1 as const, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
      this.lines.set(overlay, this.chart.addSeries(LineSeries, options));
    } else if (!on && line !== undefined) {
      this.chart.removeSeries(line);
      this.lines.delete(overlay);
    }
  }

  private overlayValues(overlay: Overlay): (number | null)[] {
    if (overlay === 'vwap') return vwap(this.candles);
    return ema(this.candles, overlay === 'ema20' ? 20 : 50);
  }

  private drawOverlays(): void {
    this.overlaysAt = performance.now();
    for (const [overlay, line] of this.lines) {
      const values = this.overlayValues(overlay);
      line.setData(
        this.candles.flatMap(({ start }, index) => {
          const value = values[index];
          return value === null || value === undefined ? [] : [{ time: this.axis(start), value }];
        }),
      );
    }
  }

  /** Moves the newest `count` points; the canvas takes none that is older than its last. */
  private updateOverlays(count: number): void {
    this.overlaysAt = performance.now();
    for (const [overlay, line] of this.lines) {
      const values = this.overlayValues(overlay);
      for (let index = Math.max(0, this.candles.length - count); index < this.candles.length; index += 1) {
        const [candle, value] = [this.candles[index], values[index]];
        if (candle !== undefined && value !== null && value !== undefined) line.update({ time: this.axis(candle.start), value });
      }
    }
  }
}

function mainOptions(style: Style, colours: Palette, digits: number): object {
  const shared = { priceFormat: { type: 'price', precision: digits, minMove: 10 ** -digits }, priceLineColor: colours.accent };
  if (style === 'line') return { ...shared, color: colours.accent, lineWidth: 2 };
  const both = { upColor: colours.up, downColor: colours.down };
  if (style === 'bars') return { ...shared, ...both, thinBars: false };
  return { ...shared, ...both, wickUpColor: colours.up, wickDownColor: colours.down, borderVisible: false };
}

function overlayColour(overlay: Overlay, colours: Palette): string {
  return { ema20: colours.emaFast, ema50: colours.emaSlow, vwap: colours.vwap }[overlay];
}
