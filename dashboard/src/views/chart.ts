/** The chart panel: what to show (timeframe, horizon, style, overlays), the canvas, its legend, its table, its empty and error states. */
import type { App } from '../app';
import { ChartFeed } from '../core/chart-feed';
import { candleTime, compact, decimals, percent, price, shares, signed } from '../core/format';
import { describe as describeGap, explain, touches, type DeclaredGap } from '../core/gaps';
import { frameFor, HORIZONS, horizonStart, type Horizon } from '../core/horizons';
import type { Candle } from '../lib/candle';
import { isIntraday, nextStart, TIMEFRAMES, type Timeframe } from '../lib/timeframe';
import { ChartCanvas, OVERLAYS, STYLES, type Hover, type Look, type Overlay, type Style } from './chart-series';
import { h, setAttribute, setText, type Frames } from './dom';
import { tone } from './tabs';

const FRAME_NAMES: Record<Timeframe, string> = { '1Min': '1m', '5Min': '5m', '15Min': '15m', '1Hour': '1h', '1Day': '1d', '1Week': '1w' };
const OVERLAY_NAMES: Record<Overlay, string> = { ema20: 'EMA 20', ema50: 'EMA 50', vwap: 'VWAP' };
const PARTIAL = {
  candle: 'not all of its trades were heard; the bar will replace it',
  minute: 'the running minute is not complete; its bar will be',
};
const STYLE_NAMES: Record<Style, string> = { candles: 'Candles', bars: 'Bars', line: 'Line' };
/** Start loading more when this few candles are left of the window. */
const NEAR_START = 30;
const REST_MS = 120;
const TABLE_ROWS = 120;
const TABLE_MS = 500;
const PAGES_MAX = 40;
/** A day or week may have had many outages. */
const GAPS_SHOWN = 3;

export function chartView(app: App, frames: Frames): HTMLElement {
  const canvasBox = h('figure', { class: 'chart-canvas' });
  const legend = h('div', { class: 'chart-legend' });
  const overlayState = h('div', { class: 'chart-state message' });
  const progress = h('div', { class: 'chart-progress', role: 'status', hidden: true });
  const table = h('div', { class: 'chart-table', tabindex: '0', role: 'region', 'aria-label': 'Candles as a table', hidden: true });
  const look = keptLook(app);
  const canvas = new ChartCanvas(canvasBox, look);
  let horizon: Horizon | null = null;
  let hover: Hover = null;
  let feed: ChartFeed;
  let dueFrom: number | null = Infinity;
  let loadingEarlier = false;
  let gaps: readonly DeclaredGap[] = [];

  const draw = () => {
    const { candles } = feed;
    if (dueFrom === null) canvas.set(candles);
    else if (dueFrom !== Infinity) canvas.update(candles, dueFrom);
    dueFrom = Infinity;
    const first = candles[0];
    if (first !== undefined) void app.learnGaps(feed.symbol, first.start);
    drawLegend();
    drawState();
  };
  const drawGaps = () => {
    gaps = app.gaps.of(feed.symbol);
    canvas.setGaps(gaps);
    const first = feed.candles[0];
    if (first !== undefined) void app.learnGaps(feed.symbol, first.start);
    drawLegend();
  };
  const changed = (from: number | null) => {
    dueFrom = from === null || dueFrom === null ? null : Math.min(dueFrom, from);
    frames.soon(draw);
  };

  const open = () => {
    feed?.close();
    hover = null;
    feed = new ChartFeed(app.active, look.timeframe, app.api, app.stream, changed);
    canvas.set([]);
    drawGaps();
    canvas.chart.priceScale('right').applyOptions({ autoScale: true });
    const opened = feed;
    const fitOnce = () => {
      if (feed !== opened) return;
      if (opened.candles.length === 0) return void setTimeout(fitOnce, 30);
      dueFrom = null;
      draw();
      if (horizon === null) canvas.chart.timeScale().resetTimeScale();
      else void showHorizon(horizon);
    };
    fitOnce();
    changed(null);
  };

  const drawLegend = () => {
    const { candles } = feed;
    const last = candles[candles.length - 1];
    if (hover !== null && 'hole' in hover) {
      const { hole } = hover;
      legend.replaceChildren(h('span', { class: 'warn' }, explain(hole, gaps, app.gaps.knows(feed.symbol, hole.from))));
      return;
    }
    const candle = hover !== null ? hover.candle : last;
    if (candle === undefined) return legend.replaceChildren();
    const before = candles[candles.findIndex(({ start }) => start === candle.start) - 1];
    // Under the pointer whatever happened then; else only what is the matter now.
    const end = nextStart(look.timeframe, candle.start);
    const told = gaps.filter((gap) => (hover === null ? gap.to === null : touches(gap, candle.start, end)));
    const outages = told.slice(-GAPS_SHOWN).map((gap) => h('span', { class: gap.healedAt === null ? 'warn' : 'quiet' }, describeGap(gap)));
    legend.replaceChildren(...legendItems(candle, before ?? null, look, canvas), ...outages);
  };

  const drawState = () => {
    const { candles, state, error, symbol } = feed;
    const loading = state === 'loading' && error === null;
    overlayState.hidden = candles.length > 0;
    setAttribute(canvasBox, 'aria-busy', String(loading));
    setAttribute(canvasBox, 'aria-label', describe(candles, symbol, look.timeframe));
    box.dataset['state'] = candles.length > 0 ? state : loading ? 'loading' : error !== null ? 'error' : 'empty';
    box.dataset['symbol'] = symbol;
    if (candles.length > 0) {
      const text = error === null ? '' : `History is not available: ${error}. Live trades go on; trying again.`;
      if (!loadingEarlier) {
        progress.hidden = text === '';
        setText(progress, text);
      }
      return;
    }
    const kind = box.dataset['state'];
    if (overlayState.dataset['kind'] === `${kind} ${error}`) return;
    overlayState.dataset['kind'] = `${kind} ${error}`;
    if (kind === 'loading') overlayState.replaceChildren(h('div', { class: 'spinner' }), `Loading ${symbol} …`);
    else if (kind === 'error') {
      overlayState.replaceChildren(
        h('strong', {}, 'No history'),
        h('span', {}, `${error}. Trying again; live trades will show as they come.`),
        h('button', { type: 'button', class: 'action', onclick: open }, 'Try now'),
      );
    } else {
      overlayState.replaceChildren(
        h('strong', {}, `No bars of ${symbol} yet`),
        h('span', {}, 'The first candle appears with the first trade that sets a price.'),
      );
    }
  };

  const loadEarlier = async (): Promise<boolean> => {
    if (loadingEarlier) return true;
    loadingEarlier = true;
    progress.hidden = false;
    setText(progress, 'Loading earlier candles …');
    const more = await feed.loadEarlier();
    loadingEarlier = false;
    progress.hidden = true;
    return more;
  };

  const showHorizon = async (wanted: Horizon) => {
    const asked = feed;
    await asked.settled();
    const newest = asked.candles[asked.candles.length - 1];
    if (newest === undefined) return;
    const from = horizonStart(wanted, newest.start);
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const first = asked.candles[0];
      if (first === undefined || !asked.hasEarlier || (from !== null && first.start <= from)) break;
      if (!(await loadEarlier()) || asked !== feed) break;
    }
    if (asked !== feed || horizon !== wanted) return;
    dueFrom = null;
    draw();
    canvas.showFrom(from);
  };

  const setTimeframe = (timeframe: Timeframe) => {
    look.timeframe = timeframe;
    keep();
    dueFrom = null;
    feed.setTimeframe(timeframe);
    canvas.set([]);
    canvas.setLook({ ...look });
    draw();
    if (horizon === null) canvas.chart.timeScale().resetTimeScale();
  };

  const keep = () => {
    Object.assign(app.settings, { timeframe: look.timeframe, style: look.style, overlays: look.overlays });
    app.save();
    markChoices();
  };

  const frameButtons = choice('Timeframe', TIMEFRAMES, FRAME_NAMES, (timeframe) => {
    horizon = null;
    setTimeframe(timeframe);
  });
  const horizonButtons = choice('Horizon', HORIZONS, null, (wanted) => {
    horizon = wanted;
    if (frameFor(wanted) !== look.timeframe) setTimeframe(frameFor(wanted));
    markChoices();
    // The canvas first has to know the candles of the new timeframe.
    frames.soon(() => void showHorizon(wanted));
  });
  const styleButtons = choice('Style', STYLES, STYLE_NAMES, (style) => {
    look.style = style;
    keep();
    canvas.setLook({ ...look });
  });
  const overlayButtons = h('div', { class: 'choice', role: 'group', 'aria-label': 'Overlays' });
  for (const overlay of OVERLAYS) {
    const toggle = () => {
      look.overlays = look.overlays.includes(overlay) ? look.overlays.filter((one) => one !== overlay) : [...look.overlays, overlay];
      keep();
      canvas.setLook({ ...look });
      drawLegend();
    };
    overlayButtons.append(h('button', { type: 'button', 'data-value': overlay, onclick: toggle }, OVERLAY_NAMES[overlay]));
  }
  const tableButton = h('button', { type: 'button', class: 'toggle', 'aria-pressed': 'false', onclick: () => showTable(table.hidden === true) }, 'Table');

  const markChoices = () => {
    const mark = (group: HTMLElement, is: (value: string) => boolean) => {
      for (const button of group.children) setAttribute(button, 'aria-pressed', String(is((button as HTMLElement).dataset['value'] ?? '')));
    };
    mark(frameButtons, (value) => value === look.timeframe);
    mark(horizonButtons, (value) => value === horizon);
    mark(styleButtons, (value) => value === look.style);
    mark(overlayButtons, (value) => look.overlays.includes(value as Overlay));
  };

  const showTable = (open: boolean) => {
    table.hidden = !open;
    setAttribute(tableButton, 'aria-pressed', String(open));
    drawTable();
  };
  const drawTable = () => {
    if (table.hidden) return;
    const rows = canvas.drawn.slice(-TABLE_ROWS).reverse();
    const head = ['Time', 'Open', 'High', 'Low', 'Close', 'Volume'].map((name) => h('th', { scope: 'col' }, name));
    const body = rows.map((candle) =>
      h(
        'tr',
        { 'data-start': candle.start },
        h('th', { scope: 'row' }, candleTime(candle.start, !isIntraday(look.timeframe))),
        ...[candle.open, candle.high, candle.low, candle.close].map((value) => h('td', {}, price(value))),
        h('td', {}, shares(candle.volume)),
      ),
    );
    table.replaceChildren(h('table', {}, h('caption', { class: 'unseen' }, `${feed.symbol}, newest first`), h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...body)));
  };

  const box = h(
    'section',
    { class: 'panel chart', id: 'chart-panel', role: 'tabpanel', 'aria-label': 'Chart' },
    h('div', { class: 'chart-bar' }, horizonButtons, frameButtons, styleButtons, overlayButtons, tableButton),
    h('div', { class: 'chart-body' }, canvasBox, legend, overlayState, progress, table),
  );

  canvas.chart.subscribeCrosshairMove((event) => {
    hover = canvas.hover(event.time);
    frames.soon(drawLegend);
  });
  /** Looks once things are at rest: while a chart is being filled, its window passes by places where nobody wants to be. */
  let looking: ReturnType<typeof setTimeout> | null = null;
  const lookBack = () => {
    looking = null;
    const range = canvas.chart.timeScale().getVisibleLogicalRange();
    if (range === null || range.from >= NEAR_START || loadingEarlier) return;
    if (feed.state !== 'loading' && feed.candles.length > 0 && feed.hasEarlier) void loadEarlier();
  };
  canvas.chart.timeScale().subscribeVisibleLogicalRangeChange(() => {
    looking ??= setTimeout(() => void feed.settled().then(lookBack), REST_MS);
  });
  app.activeChanged.on(open);
  app.gapsChanged.on(() => frames.soon(drawGaps));
  new MutationObserver(() => canvas.paint()).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  setInterval(drawTable, TABLE_MS);
  feed = new ChartFeed(app.active, look.timeframe, app.api, app.stream, changed);
  markChoices();
  open();
  return box;
}

function keptLook(app: App): { timeframe: Timeframe; style: Style; overlays: readonly Overlay[] } {
  const { timeframe, style, overlays } = app.settings;
  return {
    timeframe: TIMEFRAMES.find((one) => one === timeframe) ?? '1Min',
    style: STYLES.find((one) => one === style) ?? 'candles',
    overlays: OVERLAYS.filter((one) => overlays.includes(one)),
  };
}

function choice<T extends string>(label: string, values: readonly T[], names: Record<T, string> | null, choose: (value: T) => void): HTMLElement {
  const buttons = values.map((value) =>
    h('button', { type: 'button', 'data-value': value, 'aria-pressed': 'false', onclick: () => choose(value) }, names === null ? value : names[value]),
  );
  return h('div', { class: 'choice', role: 'group', 'aria-label': label }, ...buttons);
}

function legendItems(candle: Candle, before: Candle | null, look: Look, canvas: ChartCanvas): Node[] {
  const digits = decimals(candle.close);
  const pair = (name: string, value: string, kind = '') => h('span', {}, h('i', {}, name), h('b', { class: kind }, value));
  const change = before === null ? null : candle.close - before.close;
  const kind = tone(candle.close - candle.open);
  const items = [
    h('span', { class: 'quiet' }, candleTime(candle.start, !isIntraday(look.timeframe))),
    pair('O', price(candle.open, digits), kind),
    pair('H', price(candle.high, digits), kind),
    pair('L', price(candle.low, digits), kind),
    pair('C', price(candle.close, digits), kind),
  ];
  if (change !== null && before !== null) items.push(h('span', { class: tone(change) }, `${signed(change, digits)} ${percent(change / before.close)}`));
  items.push(pair('V', compact(candle.volume)));
  for (const overlay of look.overlays) {
    const value = canvas.overlayAt(overlay, candle.start);
    if (value !== null) items.push(h('span', { class: overlay }, h('i', {}, OVERLAY_NAMES[overlay]), h('b', {}, price(value, digits))));
  }
  if (candle.partial) items.push(h('span', { class: 'warn' }, PARTIAL[look.timeframe === '1Min' ? 'candle' : 'minute']));
  else if (candle.madeOf === 'trades') items.push(h('span', { class: 'quiet' }, 'forming'));
  else if (candle.revision > 0) items.push(h('span', { class: 'quiet' }, `revision ${candle.revision}`));
  return items;
}

function describe(candles: readonly Candle[], symbol: string, timeframe: Timeframe): string {
  const [first, last] = [candles[0], candles[candles.length - 1]];
  if (first === undefined || last === undefined) return `${symbol}: no candles`;
  const whole = !isIntraday(timeframe);
  return `${symbol}, ${candles.length} candles of ${FRAME_NAMES[timeframe]} from ${candleTime(first.start, whole)} to ${candleTime(last.start, whole)} New York time, newest close ${price(last.close)}. The button Table shows them as a table.`;
}
