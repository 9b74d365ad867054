/** What one can choose about the chart: above it candles, style, indicators and comparison; below it how far back, clock and scale. */
import type { App } from '../app';
import { COMPARED_MAX } from '../core/address';
import { price } from '../core/format';
import { HORIZONS, type Horizon } from '../core/horizons';
import { INDICATOR_NAMES, INDICATORS, type Indicator } from '../core/indicators';
import { readSymbol } from '../core/symbols';
import { zoneName, ZONES, type Zone } from '../core/zone';
import { askToNotify } from '../io/notify';
import { isIntraday, TIMEFRAMES, type Timeframe } from '../lib/timeframe';
import { isUsable, SCALES, STYLES, type Look, type Scale, type Style } from './chart-series';
import { h, icon, setAttribute, setText } from './dom';
import { menu } from './menu';

export const FRAME_NAMES: Record<Timeframe, string> = {
  '1Min': '1m', '5Min': '5m', '15Min': '15m', '30Min': '30m', '1Hour': '1h', '2Hour': '2h', '4Hour': '4h', '1Day': '1d', '1Week': '1w', '1Month': '1M',
};
const STYLE_NAMES: Record<Style, string> = { candles: 'Candles', bars: 'Bars', line: 'Line' };
const SCALE_NAMES: Record<Scale, string> = { auto: 'Auto', log: 'Log', percent: '%' };

export interface Choices {
  timeframe(timeframe: Timeframe): void;
  horizon(horizon: Horizon): void;
  style(style: Style): void;
  indicators(indicators: readonly Indicator[]): void;
  scale(scale: Scale): void;
  zone(zone: Zone): void;
  /** A day that somebody wants to see, as `2026-11-27`. */
  date(day: string): void;
  marks(on: boolean): void;
  table(open: boolean): void;
  fullScreen(): void;
}

export interface Controls {
  readonly above: HTMLElement;
  readonly below: HTMLElement;
  /** A sentence about the horizon, empty for none. */
  readonly note: HTMLElement;
  /** Shows what is chosen now. */
  mark(look: Look, horizon: Horizon | null): void;
}

export function chartControls(app: App, choices: Choices): Controls {
  const frames = choice('Timeframe', TIMEFRAMES, FRAME_NAMES, choices.timeframe);
  const styles = choice('Style', STYLES, STYLE_NAMES, choices.style);
  const horizons = choice('Horizon', HORIZONS, null, choices.horizon);
  const scales = choice('Price scale', SCALES, SCALE_NAMES, choices.scale);
  let look: Look | null = null;

  const boxes = new Map<Indicator, HTMLInputElement>();
  const marks = h('input', { type: 'checkbox', 'data-value': 'marks' });
  marks.addEventListener('change', () => choices.marks(marks.checked));
  const indicatorPanel = h('div');
  for (const indicator of INDICATORS) {
    const box = h('input', { type: 'checkbox', 'data-value': indicator });
    box.addEventListener('change', () => choices.indicators(INDICATORS.filter((one) => boxes.get(one)?.checked === true)));
    boxes.set(indicator, box);
    indicatorPanel.append(h('label', {}, box, INDICATOR_NAMES[indicator]));
  }
  indicatorPanel.append(h('label', { title: 'Of the trades heard since the page was opened, the largest' }, marks, 'Large trades'));
  const indicators = menu('Indicators', 'Indicators', indicatorPanel);

  const compare = compareMenu(app);
  const alerts = alertMenu(app);
  const table = h('button', { type: 'button', class: 'toggle', 'aria-pressed': 'false' }, 'Table');
  table.addEventListener('click', () => {
    const open = table.getAttribute('aria-pressed') !== 'true';
    setAttribute(table, 'aria-pressed', String(open));
    choices.table(open);
  });
  const full = h('button', { type: 'button', class: 'toggle', 'aria-label': 'Full screen', title: 'Full screen', onclick: choices.fullScreen }, icon('M2.5 6v-3.5h3.5M10 2.5h3.5v3.5M13.5 10v3.5h-3.5M6 13.5h-3.5v-3.5', 14));

  const day = h('input', { type: 'date' });
  day.addEventListener('change', () => day.value !== '' && choices.date(day.value));
  const zone = h('select', { 'aria-label': 'Time zone' }, ...ZONES.map((one) => h('option', { value: one })));
  zone.addEventListener('change', () => choices.zone(ZONES.find((one) => one === zone.value) ?? 'exchange'));
  const note = h('span', { class: 'quiet chart-note', role: 'status' });

  const mark = (shown: Look, horizon: Horizon | null) => {
    look = shown;
    press(frames, (value) => value === shown.timeframe);
    press(styles, (value) => value === shown.style);
    press(scales, (value) => value === shown.scale);
    press(horizons, (value) => value === horizon);
    for (const [indicator, box] of boxes) {
      box.checked = shown.indicators.includes(indicator);
      box.disabled = !isUsable(indicator, shown.timeframe);
      setAttribute(box.parentElement as HTMLElement, 'title', box.disabled ? 'Needs candles that are shorter than a day' : null);
    }
    marks.checked = app.settings.marks;
    const count = shown.indicators.filter((one) => isUsable(one, shown.timeframe)).length;
    indicators.label(count === 0 ? 'Indicators' : `Indicators ${count}`, count > 0);
    zone.value = app.settings.zone;
    const now = Date.now();
    for (const option of zone.options) setText(option, zoneName(now, option.value as Zone));
    zone.title = isIntraday(shown.timeframe) ? 'The clock in which times are shown' : 'Trading days are New York’s in every clock';
  };
  app.settingsChanged.on(() => look !== null && compare.draw());

  return {
    above: h('div', { class: 'chart-bar' }, frames, styles, h('div', { class: 'choice' }, indicators.element, compare.element, alerts), h('div', { class: 'choice chart-end' }, table, full)),
    below: h('div', { class: 'chart-bar chart-foot' }, horizons, h('label', { class: 'choice chart-date' }, 'Go to ', day), note, h('div', { class: 'choice chart-end' }, zone, scales)),
    note,
    mark,
  };
}

function compareMenu(app: App): { element: HTMLElement; draw: () => void } {
  const list = h('div', { class: 'menu-list' });
  const input = h('input', { type: 'text', 'aria-label': 'Symbol to compare with', placeholder: 'Symbol', maxlength: 32, autocapitalize: 'characters', spellcheck: 'false' });
  const form = h('form', { class: 'menu-form' }, input, h('button', { type: 'submit', class: 'action' }, 'Add'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const symbol = readSymbol(input.value);
    if (symbol === null || symbol === app.active || app.compared.includes(symbol)) return;
    input.value = '';
    app.compare([...app.compared, symbol]);
  });
  const draw = () => {
    const compared = app.compared;
    shown.label(compared.length === 0 ? 'Compare' : `Compare ${compared.length}`, compared.length > 0);
    const known = [...new Set([...compared, ...app.symbols])].filter((symbol) => symbol !== app.active);
    list.replaceChildren(
      ...known.map((symbol) => {
        const box = h('input', { type: 'checkbox', 'data-compare': symbol });
        box.checked = compared.includes(symbol);
        box.disabled = !box.checked && compared.length >= COMPARED_MAX;
        box.addEventListener('change', () => app.compare(box.checked ? [...app.compared, symbol] : app.compared.filter((one) => one !== symbol)));
        return h('label', {}, box, symbol);
      }),
    );
  };
  const panel = h('div', {}, h('p', { class: 'quiet' }, `Up to ${COMPARED_MAX} symbols, in percent`), form, list);
  const shown = menu('Compare', 'Compare with', panel, draw);
  app.activeChanged.on(draw);
  draw();
  return { element: shown.element, draw };
}

function alertMenu(app: App): HTMLElement {
  const list = h('ul', { class: 'menu-list' });
  const input = h('input', { type: 'number', step: 'any', min: '0', 'aria-label': 'Price of the alert', placeholder: 'Price' });
  const form = h('form', { class: 'menu-form' }, input, h('button', { type: 'submit', class: 'action' }, 'Set'));
  const about = h('p', { class: 'quiet' });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const level = Number(input.value);
    if (!(level > 0)) return;
    input.value = '';
    askToNotify();
    app.addAlert(level);
  });
  const draw = () => {
    const waiting = app.alerts.filter((alert) => alert.firedAt === null);
    shown.label(waiting.length === 0 ? 'Alerts' : `Alerts ${waiting.length}`, waiting.length > 0);
    const { last, digits } = app.board.row(app.active);
    setText(about, last === null ? `${app.active} has no price yet` : `${app.active} trades at ${price(last, digits)}`);
    list.replaceChildren(
      ...[...app.alerts].reverse().map((alert) => {
        const text = `${alert.symbol} ${alert.when} to ${price(alert.price)}`;
        const remove = h('button', { type: 'button', 'aria-label': `Remove the alert: ${text}`, onclick: () => app.removeAlert(alert.id) }, icon('M4.5 4.5l7 7M11.5 4.5l-7 7', 12));
        return h('li', { class: alert.firedAt === null ? '' : 'quiet' }, h('span', {}, alert.firedAt === null ? text : `${text}: done`), remove);
      }),
    );
  };
  const panel = h('div', {}, about, form, list);
  const shown = menu('Alerts', 'Price alerts', panel, draw);
  app.alertsChanged.on(draw);
  app.activeChanged.on(draw);
  draw();
  return shown.element;
}

function press(group: HTMLElement, is: (value: string) => boolean): void {
  for (const button of group.children) setAttribute(button, 'aria-pressed', String(is((button as HTMLElement).dataset['value'] ?? '')));
}

function choice<T extends string>(label: string, values: readonly T[], names: Record<T, string> | null, choose: (value: T) => void): HTMLElement {
  const buttons = values.map((value) =>
    h('button', { type: 'button', 'data-value': value, 'aria-pressed': 'false', onclick: () => choose(value) }, names === null ? value : names[value]),
  );
  return h('div', { class: 'choice', role: 'group', 'aria-label': label }, ...buttons);
}
