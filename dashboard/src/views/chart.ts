/** The chart panel: what is shown of which symbol, the canvas, its legend, its empty and error states. */
import type { App } from '../app';
import { ChartFeed } from '../core/chart-feed';
import { tradingDate } from '../core/format';
import { describe as describeGap, explain, touches, type DeclaredGap } from '../core/gaps';
import { frameFor, horizonStart, type Horizon } from '../core/horizons';
import { readIndicators } from '../core/indicators';
import { frameForJump } from '../core/jump';
import { palette } from '../core/theme';
import { dayStart, nextStart, TIMEFRAMES, type Timeframe } from '../lib/timeframe';
import { chartControls, FRAME_NAMES } from './chart-controls';
import { Comparison, lineColours, TradeMarks } from './chart-extras';
import { describeChart, legendItems } from './chart-legend';
import { ChartCanvas, SCALES, STYLES, type Hover, type Look } from './chart-series';
import { chartState } from './chart-state';
import { chartTable } from './chart-table';
import { h, isTyping, paced, setAttribute, setText, type Frames } from './dom';

/** Start loading more when this few candles are left of the window. */
const NEAR_START = 60;
const REST_MS = 120;
const MARKS_MS = 500;
/** A candle that runs is drawn this often at most: each drawing paints the whole canvas. */
const DRAW_MS = 80;
const PAGES_MAX = 40;
/** How long after a touch of the chart a change of what it shows is the person's. */
const TOUCH_MS = 1_500;
/** A day or week may have had many outages. */
const GAPS_SHOWN = 3;

type Shown = { -readonly [K in keyof Look]: Look[K] };

export function chartView(app: App, frames: Frames): HTMLElement {
  const canvasBox = h('figure', { class: 'chart-canvas' });
  const legend = h('div', { class: 'chart-legend' });
  const look = keptLook(app);
  const canvas = new ChartCanvas(canvasBox, look);
  const comparison = new Comparison(app, canvas, lineColours(palette(document.documentElement)));
  const marks = new TradeMarks(app, canvas);
  let hover: Hover = null;
  let feed: ChartFeed;
  let dueFrom: number | null = Infinity;
  let loadingEarlier: Promise<boolean> | null = null;
  let gaps: readonly DeclaredGap[] = [];
  let touchedAt = -Infinity;

  const draw = () => {
    const { candles } = feed;
    canvas.setDigits(app.board.row(feed.symbol).digits);
    if (dueFrom === null) canvas.set(candles);
    else if (dueFrom !== Infinity) canvas.update(candles, dueFrom);
    const whole = dueFrom === null;
    dueFrom = Infinity;
    const first = candles[0];
    if (first !== undefined) {
      void app.learnGaps(feed.symbol, first.start);
      if (whole) void comparison.reach(first.start);
    }
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
    soon();
  };
  const soon = paced(frames, DRAW_MS, draw);

  const open = () => {
    feed?.close();
    hover = null;
    feed = new ChartFeed(app.active, look.timeframe, app.api, app.stream, changed);
    canvas.set([]);
    table.draw();
    drawGaps();
    drawLevels();
    canvas.chart.priceScale('right').applyOptions({ autoScale: true });
    const opened = feed;
    const fitOnce = () => {
      if (feed !== opened) return;
      if (opened.candles.length === 0) return void setTimeout(fitOnce, 30);
      dueFrom = null;
      draw();
      showView();
    };
    fitOnce();
    changed(null);
  };

  /** Brings the chart to where the view says. */
  const showView = () => {
    const { horizon, range } = app.view;
    if (horizon !== null) void showHorizon(horizon);
    else if (range !== null) void loadBack(range.from).then((there) => there && canvas.show(range));
    else canvas.chart.timeScale().resetTimeScale();
  };

  const drawLegend = () => {
    const { candles } = feed;
    if (hover !== null && 'hole' in hover) {
      const { hole } = hover;
      return legend.replaceChildren(h('span', { class: 'warn' }, explain(hole, gaps, app.gaps.knows(feed.symbol, hole.from))));
    }
    const candle = hover !== null ? hover.candle : candles[candles.length - 1];
    if (candle === undefined) return legend.replaceChildren();
    const at = hover === null ? candles.length - 1 : candles.findIndex(({ start }) => start === candle.start);
    // Under the pointer whatever happened then; else only what is the matter now.
    const end = nextStart(look.timeframe, candle.start);
    const concern = gaps.filter((gap) => (hover === null ? gap.to === null : touches(gap, candle.start, end)));
    const outages = concern.slice(-GAPS_SHOWN).map((gap) => h('span', { class: gap.healedAt === null ? 'warn' : 'quiet' }, describeGap(gap)));
    const others = comparison.names.map(({ symbol, colour }) => h('span', { style: `color: ${colour}` }, symbol));
    legend.replaceChildren(...legendItems(candle, candles[at - 1] ?? null, look, canvas, app.board.row(feed.symbol).digits), ...others, ...outages);
  };

  const drawState = () => {
    const { candles, state, error, symbol } = feed;
    const loading = state === 'loading' && error === null;
    const kind = candles.length > 0 ? state : loading ? 'loading' : error !== null ? 'error' : 'empty';
    setAttribute(canvasBox, 'aria-busy', String(loading));
    setAttribute(canvasBox, 'aria-label', describeChart(candles, symbol, look.timeframe));
    box.dataset['state'] = kind;
    box.dataset['symbol'] = symbol;
    words.show(kind, symbol, error, loadingEarlier !== null);
  };

  const loadEarlier = (): Promise<boolean> => {
    loadingEarlier ??= (async () => {
      words.progress('Loading earlier candles …');
      const more = await feed.loadEarlier();
      loadingEarlier = null;
      words.progress('');
      return more;
    })();
    return loadingEarlier;
  };

  /** Loads until candles reach back to `from`, or to the beginning for `null`; whether the chart is still the same one then. */
  const loadBack = async (from: number | null): Promise<boolean> => {
    const asked = feed;
    await asked.settled();
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const first = asked.candles[0];
      if (first === undefined || !asked.hasEarlier || (from !== null && first.start <= from)) break;
      if (!(await loadEarlier()) || asked !== feed) break;
    }
    if (asked !== feed) return false;
    dueFrom = null;
    draw();
    return true;
  };

  const showHorizon = async (wanted: Horizon) => {
    const asked = feed;
    const oldest = await app.oldest(asked.symbol);
    await asked.settled();
    const newest = asked.candles[asked.candles.length - 1];
    if (newest === undefined || asked !== feed || app.view.horizon !== wanted) return;
    const frame = frameFor(wanted, oldest, newest.start);
    if (frame !== look.timeframe) setTimeframe(frame);
    const from = horizonStart(wanted, newest.start);
    const short = oldest !== null && from !== null && oldest > from;
    setText(controls.note, short && wanted !== '1D' ? `History begins on ${tradingDate(oldest)}` : '');
    if ((await loadBack(from)) && app.view.horizon === wanted) canvas.showFrom(from);
  };

  const setTimeframe = (timeframe: Timeframe) => {
    look.timeframe = timeframe;
    keep();
    dueFrom = null;
    feed.setTimeframe(timeframe);
    canvas.set([]);
    canvas.setLook({ ...look });
    comparison.set(app.compared, timeframe);
    draw();
  };

  const keep = () => {
    Object.assign(app.settings, { timeframe: look.timeframe, style: look.style, overlays: look.indicators, scale: look.scale });
    app.save();
    mark();
  };
  const mark = () => controls.mark(shownLook(), app.view.horizon);

  /** The chart shows another stretch of time; `step`: by a choice, not by scrolling. */
  const setView = (view: Partial<App['view']>, step: boolean) => {
    Object.assign(app.view, view);
    if (app.view.horizon === null) setText(controls.note, '');
    mark();
    app.viewChanged.emit(step);
  };

  const controls = chartControls(app, {
    timeframe: (timeframe) => {
      setTimeframe(timeframe);
      setView({ horizon: null, range: null }, true);
      canvas.chart.timeScale().resetTimeScale();
    },
    horizon: (wanted) => {
      setView({ horizon: wanted, range: null }, true);
      void showHorizon(wanted);
    },
    style: (style) => restyle({ style }),
    indicators: (indicators) => {
      restyle({ indicators });
      app.viewChanged.emit(false);
    },
    scale: (scale) => restyle({ scale }),
    zone: (zone) => app.setZone(zone),
    date: (day) => void goTo(day),
    marks: (on) => {
      app.settings.marks = on;
      app.save();
      drawMarks();
    },
    table: (shown) => table.show(shown),
    fullScreen: () => void (document.fullscreenElement === null ? box.requestFullscreen() : document.exitFullscreen()),
  });
  const restyle = (change: Partial<Look>) => {
    Object.assign(look, change);
    keep();
    canvas.setLook(shownLook());
    drawLegend();
  };
  /** Several symbols have no scale in common but percent. */
  const shownLook = (): Look => ({ ...look, scale: comparison.isOn ? 'percent' : look.scale });

  const goTo = async (day: string) => {
    const newest = feed.candles[feed.candles.length - 1];
    if (newest === undefined) return;
    const from = dayStart(Date.parse(`${day}T17:00:00Z`));
    const frame = frameForJump(look.timeframe, newest.start - from);
    if (frame !== look.timeframe) {
      app.notice.emit(`${FRAME_NAMES[look.timeframe]} candles do not reach back that far in one step; showing ${FRAME_NAMES[frame]}.`);
      setTimeframe(frame);
    }
    const to = nextStart('1Day', from);
    setView({ horizon: null, range: { from, to } }, true);
    if (!(await loadBack(from))) return;
    const first = feed.candles[0];
    if (first !== undefined && first.start >= to) app.notice.emit(`History of ${feed.symbol} begins on ${tradingDate(first.start)}.`);
    canvas.show({ from, to });
  };

  const toNow = h('button', { type: 'button', class: 'action chart-now', hidden: true, title: 'End' }, 'Back to now');
  const goToNow = () => {
    setView({ range: null }, false);
    // At once: an animation is ended by history that arrives meanwhile, and the chart would stay half-way.
    canvas.chart.timeScale().scrollToPosition(canvas.chart.timeScale().options().rightOffset, false);
  };
  toNow.addEventListener('click', goToNow);

  const words = chartState(open);
  const table = chartTable(canvas, () => ({ symbol: feed.symbol, timeframe: look.timeframe }));
  const box = h(
    'section',
    { class: 'panel chart', id: 'chart-panel', role: 'tabpanel', 'aria-label': 'Chart' },
    controls.above,
    h('div', { class: 'chart-body' }, canvasBox, legend, words.element, words.progressElement, toNow, table.element),
    controls.below,
  );

  canvas.chart.subscribeCrosshairMove((event) => {
    hover = canvas.hover(event.time);
    frames.soon(drawLegend);
  });
  const touched = () => (touchedAt = performance.now());
  canvasBox.addEventListener('wheel', touched, { passive: true });
  canvasBox.addEventListener('touchmove', touched, { passive: true });
  canvasBox.addEventListener('pointermove', (event) => event.buttons > 0 && touched());
  /** Looks once things are at rest: while a chart is being filled, its window passes by places where nobody wants to be. */
  let looking: ReturnType<typeof setTimeout> | null = null;
  const atRest = () => {
    looking = null;
    if (performance.now() - touchedAt < TOUCH_MS) setView({ horizon: null, range: canvas.isBehind ? canvas.visible : null }, false);
    const range = canvas.chart.timeScale().getVisibleLogicalRange();
    if (range === null || range.from >= NEAR_START || loadingEarlier !== null) return;
    if (feed.state !== 'loading' && feed.candles.length > 0 && feed.hasEarlier) void loadEarlier();
  };
  canvas.chart.timeScale().subscribeVisibleLogicalRangeChange(() => {
    toNow.hidden = !canvas.isBehind;
    looking ??= setTimeout(() => void feed.settled().then(atRest), REST_MS);
  });
  addEventListener('keydown', (event) => {
    if (event.key === 'End' && box.isConnected && !isTyping(event.target) && !(event.target instanceof Element && event.target.closest('[role="tablist"]'))) goToNow();
  });

  const drawLevels = () => canvas.setLevels(app.alerts.filter((alert) => alert.symbol === app.active && alert.firedAt === null).map((alert) => alert.price));
  const drawMarks = () => marks.draw(look.timeframe, palette(document.documentElement));
  app.activeChanged.on(() => {
    open();
    drawMarks();
    comparison.set(app.compared, look.timeframe);
    canvas.setLook(shownLook());
    mark();
  });
  app.alertsChanged.on(drawLevels);
  app.gapsChanged.on(() => frames.soon(drawGaps));
  let shownWith = `${app.compared.join()} ${app.settings.zone}`;
  app.settingsChanged.on(() => {
    const now = `${app.compared.join()} ${app.settings.zone}`;
    if (now === shownWith) return;
    shownWith = now;
    comparison.set(app.compared, look.timeframe);
    canvas.setLook(shownLook());
    const first = feed.candles[0];
    if (first !== undefined) void comparison.reach(first.start);
    mark();
    drawLegend();
  });
  app.viewAsked.on(() => {
    Object.assign(look, keptLook(app));
    feed.setTimeframe(look.timeframe);
    canvas.setLook(shownLook());
    comparison.set(app.compared, look.timeframe);
    dueFrom = null;
    draw();
    mark();
    showView();
  });
  new MutationObserver(() => {
    canvas.paint();
    comparison.paint(lineColours(palette(document.documentElement)));
  }).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  setInterval(() => app.settings.marks && box.isConnected && drawMarks(), MARKS_MS);
  feed = new ChartFeed(app.active, look.timeframe, app.api, app.stream, changed);
  comparison.set(app.compared, look.timeframe);
  canvas.setLook(shownLook());
  mark();
  open();
  return box;
}

function keptLook(app: App): Shown {
  const { timeframe, style, overlays, scale } = app.settings;
  return {
    timeframe: TIMEFRAMES.find((one) => one === timeframe) ?? '1Min',
    style: STYLES.find((one) => one === style) ?? 'candles',
    indicators: readIndicators(overlays),
    scale: SCALES.find((one) => one === scale) ?? 'auto',
  };
}
