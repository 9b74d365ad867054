/** The candles that the canvas shows, as a table: for screen readers, and for whoever wants numbers. */
import { candleTime, price, shares } from '../core/format';
import { zoneName } from '../core/zone';
import { isIntraday, type Timeframe } from '../lib/timeframe';
import type { ChartCanvas } from './chart-series';
import { h } from './dom';

const ROWS = 120;
const DRAW_MS = 500;

export function chartTable(canvas: ChartCanvas, of: () => { symbol: string; timeframe: Timeframe }): { element: HTMLElement; show: (open: boolean) => void; draw: () => void } {
  const element = h('div', { class: 'chart-table', tabindex: '0', role: 'region', 'aria-label': 'Candles as a table', hidden: true });
  const draw = () => {
    if (element.hidden) return;
    const { symbol, timeframe } = of();
    const whole = !isIntraday(timeframe);
    const rows = canvas.drawn.slice(-ROWS).reverse();
    const time = whole ? 'Day' : `Time, ${zoneName(rows[0]?.start ?? Date.now())}`;
    const head = [time, 'Open', 'High', 'Low', 'Close', 'Volume'].map((name) => h('th', { scope: 'col' }, name));
    const body = rows.map((candle) =>
      h(
        'tr',
        { 'data-start': candle.start },
        h('th', { scope: 'row' }, candleTime(candle.start, whole)),
        ...[candle.open, candle.high, candle.low, candle.close].map((value) => h('td', {}, price(value))),
        h('td', {}, shares(candle.volume)),
      ),
    );
    element.replaceChildren(h('table', {}, h('caption', { class: 'unseen' }, `${symbol}, newest first`), h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...body)));
  };
  setInterval(draw, DRAW_MS);
  return {
    element,
    draw,
    show(open) {
      element.hidden = !open;
      draw();
    },
  };
}
