/** Indicators on the canvas: lines over the candles, and panes of their own under them. */
import { LineSeries, LineStyle, type IChartApi, type ISeriesApi, type UTCTimestamp } from 'lightweight-charts';
import { linesOf, PANED, type Indicator } from '../core/indicators';
import type { Palette } from '../core/theme';
import type { Candle } from '../lib/candle';

/** Height of a pane against that of the candles. */
const PANE_SHARE = 0.22;

type Axis = (start: number) => UTCTimestamp;

export class IndicatorLines {
  private readonly series = new Map<Indicator, ISeriesApi<'Line'>[]>();
  private drawnAt = 0;

  constructor(
    private readonly chart: IChartApi,
    private colours: Palette,
  ) {}

  /** Exactly these, from now on; their values come with the next {@link draw}. */
  want(indicators: readonly Indicator[]): void {
    for (const [indicator, lines] of this.series) {
      if (indicators.includes(indicator)) continue;
      for (const line of lines) this.chart.removeSeries(line);
      this.series.delete(indicator);
    }
    for (const indicator of indicators) if (!this.series.has(indicator)) this.series.set(indicator, this.add(indicator));
  }

  paint(colours: Palette): void {
    this.colours = colours;
    for (const [indicator, lines] of this.series) for (const line of lines) line.applyOptions({ color: colourOf(indicator, colours) });
  }

  /** Since when the newest values stand, by `performance.now()`. */
  get age(): number {
    return performance.now() - this.drawnAt;
  }

  draw(candles: readonly Candle[], axis: Axis): void {
    this.drawnAt = performance.now();
    for (const [indicator, lines] of this.series) {
      for (const [index, values] of linesOf(indicator, candles).entries()) {
        const points = candles.flatMap(({ start }, at) => {
          const value = values[at];
          return value === null || value === undefined ? [] : [{ time: axis(start), value }];
        });
        lines[index]?.setData(points);
      }
    }
  }

  /** Moves the newest `count` points; the canvas takes none that is older than its last. */
  update(candles: readonly Candle[], count: number, axis: Axis): void {
    this.drawnAt = performance.now();
    for (const [indicator, lines] of this.series) {
      for (const [index, values] of linesOf(indicator, candles).entries()) {
        for (let at = Math.max(0, candles.length - count); at < candles.length; at += 1) {
          const [candle, value] = [candles[at], values[at]];
          if (candle !== undefined && value !== null && value !== undefined) lines[index]?.update({ time: axis(candle.start), value });
        }
      }
    }
  }

  /** The values at a place on the axis, as they are drawn. */
  at(indicator: Indicator, time: UTCTimestamp): number[] {
    return (this.series.get(indicator) ?? []).flatMap((line) => {
      const data = line.data();
      for (let i = data.length - 1; i >= 0; i -= 1) {
        const point = data[i];
        if (point === undefined || (point.time as number) < time) break;
        if (point.time === time && 'value' in point) return [point.value];
      }
      return [];
    });
  }

  private add(indicator: Indicator): ISeriesApi<'Line'>[] {
    const paned = PANED.includes(indicator);
    const pane = paned ? this.chart.panes().length : 0;
    const band = indicator.startsWith('bollinger');
    const options = {
      color: colourOf(indicator, this.colours),
      lineWidth: 1 as const,
      priceLineVisible: false,
      lastValueVisible: paned,
      crosshairMarkerVisible: false,
      priceFormat: { type: 'price' as const, precision: 2, minMove: 0.01 },
    };
    const styles = band ? [LineStyle.Solid, LineStyle.Dashed, LineStyle.Solid] : [LineStyle.Solid];
    const lines = styles.map((lineStyle) => this.chart.addSeries(LineSeries, { ...options, lineStyle }, pane));
    if (paned) this.chart.panes()[pane]?.setStretchFactor(PANE_SHARE);
    return lines;
  }
}

export function colourOf(indicator: Indicator, colours: Palette): string {
  const [kind, period] = indicator.split(':');
  if (kind === 'vwap') return colours.vwap;
  if (kind === 'bollinger' || kind === 'atr') return colours.text;
  if (kind === 'sma') return period === '200' ? colours.down : period === '50' ? colours.emaSlow : colours.accent;
  return period === '20' || period === '14' ? colours.emaFast : colours.emaSlow;
}
