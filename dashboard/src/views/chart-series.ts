/** Candles on a lightweight-charts canvas. Knows how to draw; knows nothing about where candles come from. */
import {
  BarSeries,
  CandlestickSeries,
  ColorType,
  createChart,
  CrosshairMode,
  HistogramSeries,
  LineSeries,
  LineStyle,
  PriceScaleMode,
  type IChartApi,
  type IPriceLine,
  type ISeriesApi,
  type SeriesType,
  type Time,
  type UTCTimestamp,
} from 'lightweight-charts';
import type { Range } from '../core/address';
import { bands } from '../core/bands';
import { candleTime, time, tradingDate } from '../core/format';
import { between, stretches, type DeclaredGap, type Hole } from '../core/gaps';
import type { Indicator } from '../core/indicators';
import { fade, palette, type Palette } from '../core/theme';
import type { Candle } from '../lib/candle';
import { zoneOffset } from '../core/zone';
import { isIntraday, nextStart, type Timeframe } from '../lib/timeframe';
import { IndicatorLines } from './chart-lines';
import { Shade } from './shade';

export const STYLES = ['candles', 'bars', 'line'] as const;
export type Style = (typeof STYLES)[number];
export const SCALES = ['auto', 'log', 'percent'] as const;
export type Scale = (typeof SCALES)[number];

export interface Look {
  readonly timeframe: Timeframe;
  readonly style: Style;
  readonly indicators: readonly Indicator[];
  readonly scale: Scale;
}

/** What the pointer is on: a candle, a hole between candles, or nothing. */
export type Hover = { readonly candle: Candle } | { readonly hole: Hole } | null;

const MODES: Record<Scale, PriceScaleMode> = { auto: PriceScaleMode.Normal, log: PriceScaleMode.Logarithmic, percent: PriceScaleMode.Percentage };
const VOLUME_SHARE = 0.18;
/** A handful of candles is no reason to draw giants; CSS pixels. */
const SPACING_MAX = 32;
/** While a candle runs, its indicators follow this often: their move within it is finer than a pixel. */
const OVERLAY_MS = 250;

export class ChartCanvas {
  readonly chart: IChartApi;
  private main: ISeriesApi<SeriesType>;
  private readonly volume: ISeriesApi<'Histogram'>;
  private readonly lines: IndicatorLines;
  /** The newest close, wherever the chart was scrolled to. */
  private lastLine: IPriceLine | null = null;
  private levels: IPriceLine[] = [];
  private levelPrices: readonly number[] = [];
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
   * The library lays out its axis in UTC. Times are shifted by the chosen clock's offset, so that its days begin where that clock's do;
   * one offset for all, so that they stay ascending when clocks change.
   */
  private shift = 0;
  private digits = 2;

  constructor(
    private readonly container: HTMLElement,
    private look: Look,
  ) {
    this.colours = palette(document.documentElement);
    this.chart = createChart(container, {
      autoSize: true,
      // A finger that moves up or down scrolls the page.
      handleScroll: { vertTouchDrag: false },
      timeScale: { rightOffset: 6, barSpacing: 8, minBarSpacing: 0.4, maxBarSpacing: SPACING_MAX, rightBarStaysOnScroll: true },
      localization: { locale: 'en-US' },
    });
    this.lines = new IndicatorLines(this.chart, this.colours);
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

  /** The series that marks of trades belong to. */
  get series(): ISeriesApi<SeriesType> {
    return this.main;
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
    this.lines.want(look.indicators.filter((indicator) => isUsable(indicator, look.timeframe)));
    this.chart.timeScale().applyOptions({ timeVisible: isIntraday(look.timeframe) });
    this.chart.priceScale('right').applyOptions({ mode: MODES[look.scale], autoScale: true });
    if (restyled || reframed) this.paint();
    this.set(this.candles);
  }

  /** Takes the colours of the page's theme. */
  paint(): void {
    const colours = (this.colours = palette(document.documentElement));
    const font = getComputedStyle(document.body).fontFamily;
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colours.panel }, textColor: colours.text, fontFamily: font, fontSize: 11, panes: { separatorColor: colours.line } },
      grid: { vertLines: { color: colours.grid }, horzLines: { color: colours.grid } },
      crosshair: { mode: CrosshairMode.Normal, vertLine: { color: colours.text, labelBackgroundColor: colours.line }, horzLine: { color: colours.text, labelBackgroundColor: colours.line } },
      rightPriceScale: { borderColor: colours.line, scaleMargins: { top: 0.12, bottom: VOLUME_SHARE + 0.04 } },
      timeScale: { borderColor: colours.line, tickMarkFormatter: (at: Time, kind: number) => this.tick(at, kind) },
      localization: { timeFormatter: (at: Time) => candleTime(this.startOf(at), !isIntraday(this.look.timeframe)) },
    });
    this.main.applyOptions(mainOptions(this.look.style, colours, this.digits));
    this.lines.paint(colours);
    this.shade.colour = colours.gap;
    this.shade.sessions = { pre: colours.pre, post: colours.post, closed: colours.closed };
    this.setLevels(this.levelPrices);
    this.set(this.candles);
  }

  /** Draws all candles. */
  set(candles: readonly Candle[]): void {
    this.candles = candles;
    this.byStart = new Map(candles.map((candle) => [candle.start, candle]));
    const last = candles[candles.length - 1];
    this.drawnLength = candles.length;
    this.drawnLast = last?.start ?? null;
    this.shift = last === undefined ? 0 : this.offset(last.start);
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
    this.drawLast(last);
    this.lines.draw(candles, (start) => this.axis(start));
  }

  /** Draws what changed, given that nothing before `from` did. */
  update(candles: readonly Candle[], from: number): void {
    const { drawnLast } = this;
    const last = candles[candles.length - 1];
    const fresh = candles.length - this.drawnLength;
    if (drawnLast === null || last === undefined || from < drawnLast || fresh < 0 || fresh > 1) return this.set(candles);
    // A hole before the new candle changes the axis.
    if (fresh === 1 && between(drawnLast, last.start, this.look.timeframe) !== null) return this.set(candles);
    if (this.offset(last.start) !== this.shift) return this.set(candles);
    if (fresh === 1) {
      this.starts.push(last.start);
      this.drawShade();
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
    this.drawLast(last);
    if (fresh === 1 || this.lines.age > OVERLAY_MS) this.lines.update(candles, fresh + 1, (start) => this.axis(start));
  }

  /** The outages that concern what is drawn. */
  setGaps(gaps: readonly DeclaredGap[]): void {
    this.gaps = gaps;
    this.drawShade();
  }

  private drawShade(): void {
    const shades = stretches(this.starts, this.found, this.gaps, this.look.timeframe);
    const sessions = bands(this.starts, this.look.timeframe).map(({ from, to, phase }) => ({ from: this.axis(from), to: this.axis(to), phase }));
    this.shade.set(shades.map(({ from, to, kind }) => ({ from: this.axis(from), to: this.axis(to), kind })), sessions);
  }

  hover(at: Time | undefined): Hover {
    if (at === undefined) return null;
    const start = this.startOf(at);
    const candle = this.byStart.get(start);
    if (candle !== undefined) return { candle };
    const hole = this.found.find((one) => one.from <= start && start < one.to);
    return hole === undefined ? null : { hole };
  }

  /** The values of an indicator at a candle. */
  valuesAt(indicator: Indicator, start: number): number[] {
    return this.lines.at(indicator, this.axis(start));
  }

  /** Digits of the prices on the axis: those of the symbol's tick. */
  setDigits(digits: number): void {
    if (digits === this.digits) return;
    this.digits = digits;
    this.main.applyOptions(mainOptions(this.look.style, this.colours, digits));
  }

  /** Prices that somebody waits for. */
  setLevels(prices: readonly number[]): void {
    this.levelPrices = prices;
    for (const line of this.levels) this.main.removePriceLine(line);
    const options = { color: this.colours.accent, lineWidth: 1 as const, lineStyle: LineStyle.LargeDashed, axisLabelVisible: true, axisLabelColor: this.colours.accent, axisLabelTextColor: this.colours.panel, title: 'alert' };
    this.levels = prices.map((price) => this.main.createPriceLine({ ...options, price }));
  }

  /** Shows the candles from `from` to the end; all of them for `null`. */
  showFrom(from: number | null): void {
    const index = from === null ? 0 : this.candles.findIndex((candle) => candle.start >= from);
    const first = Math.max(0, this.placeOf(this.candles[Math.max(0, index)]?.start ?? 0));
    const width = this.chart.timeScale().width() || 1;
    const count = this.starts.length - first;
    if (count <= 0) return;
    // As wide as the chart, yet no candle wider than it should be: the library would else keep its own idea of the place.
    const shown = Math.max(count + 2, width / SPACING_MAX);
    this.chart.timeScale().setVisibleLogicalRange({ from: this.starts.length + 1 - shown, to: this.starts.length + 1 });
  }

  /** Shows a stretch of time that has been loaded. */
  show({ from, to }: Range): void {
    const [first, last] = [this.placeOf(from), this.placeOf(to)];
    if (this.starts.length > 0) this.chart.timeScale().setVisibleLogicalRange({ from: first - 0.5, to: Math.max(last, first + 1) + 0.5 });
  }

  /** The stretch of time that is on screen; `null` while there is nothing. */
  get visible(): Range | null {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const at = (index: number) => this.starts[Math.min(Math.max(Math.round(index), 0), this.starts.length - 1)];
    const [from, to] = range === null ? [undefined, undefined] : [at(range.from), at(range.to)];
    return from === undefined || to === undefined || from >= to ? null : { from, to };
  }

  /** Whether the newest candle is off the right edge. */
  get isBehind(): boolean {
    return this.candles.length > 0 && this.chart.timeScale().scrollPosition() < -0.5;
  }

  /** Index on the axis of the first interval at or after `start`. */
  private placeOf(start: number): number {
    const index = this.starts.findIndex((one) => one >= start);
    return index < 0 ? this.starts.length - 1 : index;
  }

  destroy(): void {
    this.chart.remove();
  }

  /** Where a candle stands on the axis. */
  axis(start: number): UTCTimestamp {
    return ((start + this.shift) / 1_000) as UTCTimestamp;
  }

  /** A trading day is New York's in every clock. */
  private offset(start: number): number {
    return zoneOffset(start, isIntraday(this.look.timeframe) ? undefined : 'exchange');
  }

  /** The tag on the price axis. The library's own would show the last candle on screen. */
  private drawLast(last: Candle | undefined): void {
    if (last === undefined) {
      if (this.lastLine !== null) this.main.removePriceLine(this.lastLine);
      this.lastLine = null;
      return;
    }
    const color = last.close >= last.open ? this.colours.up : this.colours.down;
    const options = { price: last.close, color, lineWidth: 1 as const, lineStyle: LineStyle.Dotted, axisLabelVisible: true, axisLabelColor: color, axisLabelTextColor: this.colours.panel, title: '' };
    if (this.lastLine === null) this.lastLine = this.main.createPriceLine(options);
    else this.lastLine.applyOptions(options);
    this.container.dataset['tag'] = String(this.lastLine.options().price);
  }

  private startOf(at: Time): number {
    return (at as number) * 1_000 - this.shift;
  }

  private tick(at: Time, kind: number): string {
    const start = this.startOf(at);
    // 0 year, 1 month, 2 day, 3 and 4 time
    const style = (['year', 'month', 'day', 'minute', 'second'] as const)[kind] ?? 'minute';
    return isIntraday(this.look.timeframe) ? time(start, style) : tradingDate(start, style);
  }

  private addMain(): ISeriesApi<SeriesType> {
    const kind = { candles: CandlestickSeries, bars: BarSeries, line: LineSeries }[this.look.style];
    const series = this.chart.addSeries(kind, mainOptions(this.look.style, this.colours, this.digits));
    series.attachPrimitive(this.shade);
    this.lastLine = null;
    this.levels = [];
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
}

/** A session's average price needs candles that are shorter than a session. */
export function isUsable(indicator: Indicator, timeframe: Timeframe): boolean {
  return indicator !== 'vwap' || isIntraday(timeframe);
}

function mainOptions(style: Style, colours: Palette, digits: number): object {
  const shared = { priceFormat: { type: 'price', precision: digits, minMove: 10 ** -digits }, priceLineVisible: false, lastValueVisible: false };
  if (style === 'line') return { ...shared, color: colours.accent, lineWidth: 2 };
  const both = { upColor: colours.up, downColor: colours.down };
  if (style === 'bars') return { ...shared, ...both, thinBars: false };
  return { ...shared, ...both, wickUpColor: colours.up, wickDownColor: colours.down, borderVisible: false };
}
