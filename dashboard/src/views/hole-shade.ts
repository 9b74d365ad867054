/** Shades the stretches of the chart that have no candle, so that a hole is seen and not jumped over. */
import type { IPrimitivePaneRenderer, IPrimitivePaneView, ISeriesPrimitive, SeriesAttachedParameter, Time, UTCTimestamp } from 'lightweight-charts';
import { fade } from '../core/theme';

type Target = Parameters<IPrimitivePaneRenderer['draw']>[0];

export class HoleShade implements ISeriesPrimitive<Time> {
  colour = '#888888';
  private stretches: readonly (readonly [UTCTimestamp, UTCTimestamp])[] = [];
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

  /** First and last empty interval of each stretch. */
  set(stretches: readonly (readonly [UTCTimestamp, UTCTimestamp])[]): void {
    this.stretches = stretches;
    this.attachedTo?.requestUpdate();
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return [this.view];
  }

  private draw(target: Target): void {
    const scale = this.attachedTo?.chart.timeScale();
    if (scale === undefined) return;
    const half = scale.options().barSpacing / 2;
    target.useBitmapCoordinateSpace(({ context, horizontalPixelRatio: ratio, bitmapSize }) => {
      context.fillStyle = fade(this.colour, 0.1);
      for (const [from, to] of this.stretches) {
        const [left, right] = [scale.timeToCoordinate(from), scale.timeToCoordinate(to)];
        if (left === null || right === null) continue;
        const start = Math.round((left - half) * ratio);
        context.fillRect(start, 0, Math.round((right + half) * ratio) - start, bitmapSize.height);
      }
    });
  }
}
