/** The words over the chart: the candle under the pointer, its session, its indicators, and what was the matter then. */
import { PHASE_NAMES } from '../core/bands';
import { candleTime, compact, percent, price, signed } from '../core/format';
import { INDICATOR_NAMES } from '../core/indicators';
import { zoneName } from '../core/zone';
import { phaseAt } from '../lib/calendar';
import type { Candle } from '../lib/candle';
import { isIntraday, type Timeframe } from '../lib/timeframe';
import { FRAME_NAMES } from './chart-controls';
import { isUsable, type ChartCanvas, type Look } from './chart-series';
import { h } from './dom';
import { tone } from './tabs';

const PARTIAL = {
  candle: 'not all of its trades were heard; the bar will replace it',
  minute: 'the running minute is not complete; its bar will be',
};

/** `before`: the candle that a change is measured against. */
export function legendItems(candle: Candle, before: Candle | null, look: Look, canvas: ChartCanvas, digits: number): HTMLElement[] {
  const pair = (name: string, value: string, kind = '') => h('span', {}, h('i', {}, name), h('b', { class: kind }, value));
  const change = before === null ? null : candle.close - before.close;
  const kind = tone(candle.close - candle.open);
  const intraday = isIntraday(look.timeframe);
  const items = [
    h('span', { class: 'quiet' }, candleTime(candle.start, !intraday)),
    pair('O', price(candle.open, digits), kind),
    pair('H', price(candle.high, digits), kind),
    pair('L', price(candle.low, digits), kind),
    pair('C', price(candle.close, digits), kind),
  ];
  if (change !== null && before !== null) items.push(h('span', { class: tone(change) }, `${signed(change, digits)} ${percent(change / before.close)}`));
  items.push(pair('V', compact(candle.volume)));
  if (candle.tradeCount !== null && candle.tradeCount > 0) items.push(pair('Trades', compact(candle.tradeCount)));
  const phase = phaseAt(candle.start);
  if (intraday && phase !== 'open') items.push(h('span', { class: 'quiet' }, PHASE_NAMES[phase]));
  for (const indicator of look.indicators) {
    if (!isUsable(indicator, look.timeframe)) continue;
    const values = canvas.valuesAt(indicator, candle.start);
    if (values.length > 0) items.push(h('span', { class: indicator.replaceAll(':', '-') }, h('i', {}, INDICATOR_NAMES[indicator]), h('b', {}, values.map((value) => price(value, digits)).join(' · '))));
  }
  if (candle.partial) items.push(h('span', { class: 'warn' }, PARTIAL[look.timeframe === '1Min' ? 'candle' : 'minute']));
  else if (!candle.final) items.push(h('span', { class: 'quiet' }, 'forming'));
  else if (candle.revision > 0 && look.timeframe === '1Min') items.push(h('span', { class: 'quiet' }, `revision ${candle.revision}`));
  return items;
}

/** What a person who does not see the chart should know of it. */
export function describeChart(candles: readonly Candle[], symbol: string, timeframe: Timeframe): string {
  const [first, last] = [candles[0], candles[candles.length - 1]];
  if (first === undefined || last === undefined) return `${symbol}: no candles`;
  const whole = !isIntraday(timeframe);
  const zone = whole ? '' : ` ${zoneName(last.start)} time`;
  return `${symbol}, ${candles.length} candles of ${FRAME_NAMES[timeframe]} from ${candleTime(first.start, whole)} to ${candleTime(last.start, whole)}${zone}, newest close ${price(last.close)}. The button Table shows them as a table.`;
}
