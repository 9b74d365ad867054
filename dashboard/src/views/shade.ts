/**
 * Shades stretches of the chart: sessions outside of regular hours, outages of the feed, and holes without one, so that each is seen and
 * none is jumped over.
 */
import type { IPrimitivePaneRenderer, IPrimitivePaneView, ISeriesPrimitive, SeriesAttachedParameter, Time, UTCTimestamp } from 'lightweight-charts';
import type { ShadeKind } from '../core/gaps';
import type { Band } from '../core/bands';
import { fade } from '../core/theme';

type Target = Parameters<IPrimitivePaneRenderer['draw']>[0];

/** First and last interval of a stretch on the axis, and what it is. */
export interface Shaded {
  readonly from: UTCTimestamp;
  readonly to: UTCTimestamp;
  readonly kind: ShadeKind;
}

/** A session outside of regular hours. */
export interface ShadedBand {
  readonly from: UTCTimestamp;
  readonly to: UTCTimestamp;
  readonly phase: Band['phase'];
}

const FILL: Record<ShadeKind, number> = { quiet: 0.07, outage: 0.2, healed: 0.05 };
/** A band along the lower edge says that something happened here, whatever else is drawn; in CSS pixels. */
const BAND = { quiet: 0, outage: 4, healed: 3 } as const;
const HATCH = 7;
const BAND_FILL: Record<Band['phase'], number> = { pre: 0.1, post: 0.1, closed: 0.08 };

export class Shade implements ISeriesPrimitive<Time> {
  colour = '#888888';
  /** Of each session. */
  sessions: Record<Band['phase'], string> = { pre: '#888888', post: '#888888', closed: '#888888' };
  private bands: readonly ShadedBand[] = [];
  private stretches: readonly Shaded[] = [];
  private attachedTo: SeriesAttachedParameter<Time> | null = null;
  private readonly view: IPrimitivePaneView = {
    zOrder: () => 'bottom',
    renderer: () => ({ draw: (target) => this.draw(target) }),
  };

  attached(to: SeriesAttachedParameter<Time>): void {
    this.attachedTo = to;
  }

  detached(): void {
    this.attachedTo = null;
  }

  set(stretches: readonly Shaded[], bands: readonly ShadedBand[]): void {
    this.stretches = stretches;
    this.bands = bands;
    this.attachedTo?.requestUpdate();
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return [this.view];
  }

  private draw(target: Target): void {
    const scale = this.attachedTo?.chart.timeScale();
    if (scale === undefined) return;
    const half = scale.options().barSpacing / 2;
    target.useBitmapCoordinateSpace(({ context, horizontalPixelRatio: ratio, bitmapSize: { width, height } }) => {
      const place = (from: UTCTimestamp, to: UTCTimestamp): [number, number] | null => {
        const [left, right] = [scale.timeToCoordinate(from), scale.timeToCoordinate(to)];
        if (left === null || right === null) return null;
        const start = Math.round((left - half) * ratio);
        const end = Math.max(Math.round((right + half) * ratio), start + 1);
        return end < 0 || start > width ? null : [start, end];
      };
      for (const { from, to, phase } of this.bands) {
        const [start, end] = place(from, to) ?? [0, 0];
        if (end <= start) continue;
        context.fillStyle = fade(this.sessions[phase], BAND_FILL[phase]);
        context.fillRect(start, 0, end - start, height);
      }
      for (const { from, to, kind } of this.stretches) {
        const [start, end] = place(from, to) ?? [0, 0];
        if (end <= start) continue;
        context.fillStyle = fade(this.colour, FILL[kind]);
        context.fillRect(start, 0, end - start, height);
        context.fillStyle = fade(this.colour, kind === 'outage' ? 0.95 : 0.55);
        context.fillRect(start, height - BAND[kind] * ratio, end - start, BAND[kind] * ratio);
        // Colour alone would tell nothing to whoever does not see it.
        if (kind === 'outage') this.hatch(context, Math.max(start, 0), Math.min(end, width), height, HATCH * ratio);
      }
    });
  }

  private hatch(context: CanvasRenderingContext2D, start: number, end: number, height: number, step: number): void {
    context.save();
    context.beginPath();
    context.rect(start, 0, end - start, height);
    context.clip();
    context.strokeStyle = fade(this.colour, 0.28);
    context.beginPath();
    for (let x = start - (start % step) - height; x < end; x += step) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.stroke();
    context.restore();
  }
}
