/** The pipeline page: what passes each hop, how far behind anything is, and what is in trouble. */
import type { App } from '../app';
import { compact, duration, time } from '../core/format';
import { outcome } from '../core/gaps';
import { quantileBetween, readBuckets, type Buckets } from '../core/histogram';
import { CLIENTS, COLD, FIGURES, HOT, LAG, TROUBLE, type Figure } from '../core/hops';
import { PipelineLog, readSample, type Service } from '../core/pipeline';
import { palette } from '../core/theme';
import { DAY_MS } from '../lib/timeframe';
import { h, setAttribute, setText } from './dom';
import { graph, type GraphColours } from './graph';

const POLL_MS = 2_000;
const GAPS_SHOWN = 100;
/** Outages of the last days are asked for when the page is opened. */
const GAPS_SINCE_MS = 7 * DAY_MS;

interface Tile {
  readonly element: HTMLElement;
  /** `series`: history over `times`, oldest first. */
  show(value: string | null, times: readonly number[], series: readonly (number | null)[], alarm: boolean, colours: GraphColours): void;
}

export function pipelinePage(app: App): HTMLElement {
  const log = new PipelineLog();
  const delayTimes: number[] = [];
  let buckets: Buckets = [];
  const delays: { p50: (number | null)[]; p99: (number | null)[]; fan50: (number | null)[]; fan99: (number | null)[] } = { p50: [], p99: [], fan50: [], fan99: [] };
  const figures = new Map<Figure, Tile>(FIGURES.map((figure) => [figure, tile(figure.title, figure.unit, figure.note, (value) => amount(value, figure.unit))]));
  const latency = {
    p50: tile('Trade to this page, p50', '', 'From the stamp of a trade to its arrival here, by the gateway’s clock; half of them were faster', fine),
    p99: tile('Trade to this page, p99', '', 'The slowest of a hundred recent trades', fine),
    fan50: tile('Fan-out, p50', '', 'Inside the gateway, over the last two seconds: from Redis to all buffers of its clients', fine),
    fan99: tile('Fan-out, p99', '', 'Inside the gateway, over the last two seconds: from Redis to all buffers of its clients', fine),
  };
  const state = h('p', { class: 'pipeline-state quiet', role: 'status' }, 'Asking …');
  const services = h('tbody');
  const gaps = h('tbody');
  const noGaps = h('p', { class: 'quiet padded' }, 'None is known of the last seven days.');
  const gapCounts = h('span', { class: 'quiet' }, 'newest first');
  const filter = h('input', { type: 'search', 'aria-label': 'Filter the numbers', placeholder: 'Filter, e.g. lag' });
  const numbers = h('tbody');

  const of = (list: readonly Figure[]) => list.map((figure) => (figures.get(figure) as Tile).element);
  const page = h(
    'div',
    { class: 'pipeline' },
    h('h1', { class: 'unseen' }, 'Pipeline'),
    state,
    section('Live way', 'feed → Redis → gateway → clients', h('div', { class: 'tiles chain steps' }, ...of(HOT))),
    section('Stored way', 'feed → Kafka → PostgreSQL → API', h('div', { class: 'tiles chain' }, ...of(COLD))),
    section('Latency', 'end to end, and inside the gateway', h('div', { class: 'tiles' }, ...Object.values(latency).map(({ element }) => element))),
    section('Lag', 'what is on its way', h('div', { class: 'tiles' }, ...of(LAG))),
    section('Trouble', 'since each service started', h('div', { class: 'tiles' }, ...of(TROUBLE), ...of(CLIENTS))),
    section('Services', '', table('Services', ['Service', 'State', 'Parts', 'Memory', 'Version'], services)),
    section('Gaps in the feed', gapCounts, noGaps, table('Gaps', ['From', 'To', 'Feed', 'Cause', 'State'], gaps)),
    section('All numbers', 'as the services report them', h('div', { class: 'padded' }, filter), table('All numbers', ['Service', 'Metric', 'Value'], numbers)),
  );

  const draw = () => {
    const { accent, text, grid } = palette(document.documentElement);
    const colours = { line: accent, text, grid };
    for (const [figure, { show }] of figures) {
      const series = log.series(figure.measure);
      const value = series[series.length - 1] ?? null;
      show(value === null ? null : amount(value, figure.unit), log.times(figure.measure), series, figure.alarm === true && (value ?? 0) > 0, colours);
    }
    for (const key of ['p50', 'p99', 'fan50', 'fan99'] as const) {
      const value = delays[key][delays[key].length - 1] ?? null;
      latency[key].show(value === null ? null : fine(value), delayTimes, delays[key], false, colours);
    }
    const sample = log.newest;
    services.replaceChildren(...(sample?.services ?? []).map(serviceRow));
    const declared = app.gaps.all.reverse().slice(0, GAPS_SHOWN);
    noGaps.hidden = declared.length > 0;
    const open = declared.filter((gap) => gap.to === null).length;
    const healed = declared.filter((gap) => gap.healedAt !== null).length;
    setText(gapCounts, declared.length === 0 ? 'newest first' : `${open} open, ${declared.length - open - healed} ended and not healed, ${healed} healed; newest first`);
    gaps.replaceChildren(
      ...declared.map((gap) =>
        row(
          `${time(gap.from, 'date')} ${time(gap.from, 'second')}`,
          gap.to === null ? 'still open' : time(gap.to, 'second'),
          `${gap.source} ${gap.symbol === '*' ? '' : gap.symbol}`,
          gap.cause,
          outcome(gap),
        ),
      ),
    );
    drawNumbers();
  };

  const drawNumbers = () => {
    const wanted = filter.value.trim().toLowerCase();
    const rows = (log.newest?.services ?? []).flatMap((service) =>
      [...service.metrics]
        .filter(([name]) => wanted === '' || `${service.name} ${name}`.toLowerCase().includes(wanted))
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([name, value]) => row(service.name, name, String(value))),
    );
    numbers.replaceChildren(...rows);
  };
  filter.addEventListener('input', drawNumbers);

  const poll = async () => {
    if (document.hidden) return;
    void app.learnGaps(app.active, Date.now() - GAPS_SINCE_MS);
    try {
      const [answer, metrics] = await Promise.all([app.api.raw('api/pipeline'), app.api.raw('metrics')]);
      const sample = answer.status === 200 ? readSample(JSON.parse(answer.text)) : null;
      const now = Date.now();
      const push = (list: (number | null)[], value: number | null) => list.push(value) > 150 && list.shift();
      delayTimes.push(now);
      if (delayTimes.length > 150) delayTimes.shift();
      push(delays.p50, app.delay(now, 0.5));
      push(delays.p99, app.delay(now, 0.99));
      const newest = metrics.status === 200 ? readBuckets(metrics.text, 'gateway_fanout_seconds') : [];
      const inMs = (seconds: number | null) => (seconds === null ? null : seconds * 1_000);
      push(delays.fan50, inMs(quantileBetween(buckets, newest, 0.5)));
      push(delays.fan99, inMs(quantileBetween(buckets, newest, 0.99)));
      buckets = newest;
      if (sample === null) setText(state, `This gateway does not report its pipeline (/api/pipeline answered ${answer.status}).`);
      else {
        log.add(sample);
        const ill = sample.services.filter((service) => service.status !== 'ok').map((service) => service.name);
        setText(state, ill.length === 0 ? `All ${sample.services.length} services are well. Every ${POLL_MS / 1_000} s.` : `Not well: ${ill.join(', ')}.`);
      }
    } catch (error) {
      setText(state, `The gateway does not answer: ${error instanceof Error ? error.message : String(error)}. Trying again.`);
    }
    if (page.isConnected) draw();
  };
  setInterval(() => void poll(), POLL_MS);
  void poll();
  return page;
}

/** `mark` writes a value without its unit. */
function tile(title: string, unit: string, note: string, mark: (value: number) => string): Tile {
  const number = h('b', {}, '…');
  const unitText = h('span', { class: 'quiet' }, '');
  const { element: picture, draw } = graph(title, (value) => `${mark(value)}${unit === '' ? '' : ` ${unit}`}`, mark);
  const element = h('div', { class: 'tile', title: note }, h('h3', {}, title), h('p', {}, number, ' ', unitText), picture);
  return {
    element,
    show(value, times, series, alarm, colours) {
      setText(number, value ?? 'not reported');
      setText(unitText, value === null ? '' : unit);
      element.classList.toggle('absent', value === null);
      element.classList.toggle('alarm', alarm);
      draw(times, series, colours);
    },
  };
}

function amount(value: number, unit: string): string {
  if (unit === 's') return value < 10 ? value.toFixed(2) : compact(value);
  if (unit === 'bytes') return compact(value);
  return value > 0 && value < 10 && !Number.isInteger(value) ? value.toFixed(1) : compact(value);
}

function fine(ms: number): string {
  const span = Math.max(0, ms);
  return span < 1 ? `${Math.round(span * 1_000)} µs` : span < 10 ? `${span.toFixed(1)} ms` : duration(span);
}

function section(title: string, note: string | HTMLElement, ...content: HTMLElement[]): HTMLElement {
  return h('section', { class: 'panel', 'aria-label': title }, h('div', { class: 'panel-head' }, h('h2', {}, title), typeof note === 'string' ? h('span', { class: 'quiet' }, note) : note), ...content);
}

function table(label: string, heads: readonly string[], body: HTMLElement): HTMLElement {
  const head = h('tr', {}, ...heads.map((name) => h('th', { scope: 'col' }, name)));
  return h('div', { class: 'scroll wide', tabindex: '0', role: 'region', 'aria-label': label }, h('table', { class: 'plain' }, h('thead', {}, head), body));
}

function row(...cells: string[]): HTMLElement {
  return h('tr', {}, ...cells.map((cell) => h('td', {}, cell)));
}

function serviceRow(service: Service): HTMLElement {
  const parts = h('td', { class: 'parts' });
  for (const part of service.parts) {
    const about = [part.status, part.since === null ? null : `since ${part.since}`, part.detail].filter((one) => one !== null).join(', ');
    parts.append(h('span', { class: `part ${part.status}`, title: about }, part.name, part.status === 'ok' ? null : h('em', {}, ` ${part.detail ?? part.status}`)));
  }
  if (service.detail !== null) parts.append(h('em', {}, service.detail));
  const memory = service.metrics.get('process_resident_memory_bytes');
  const cell = h('td', {}, h('span', { class: `part ${service.status}` }, service.status));
  const element = h('tr', {}, h('td', {}, service.name), cell, parts, h('td', {}, memory === undefined ? '–' : `${compact(memory)}B`), h('td', {}, service.version ?? '–'));
  setAttribute(element, 'data-service', service.name);
  return element;
}
