/** Puts the page together: the app, its frame, the page that the address names, and the keys that work everywhere. */
import './styles/base.css';
import './styles/frame.css';
import './styles/market.css';
import './styles/pages.css';
import { App } from './app';
import { readAddress, writeAddress, type Address } from './core/address';
import { readIndicators } from './core/indicators';
import { SYMBOLS_MAX } from './core/symbols';
import { TIMEFRAMES } from './lib/timeframe';
import { Frames, h, isTyping } from './views/dom';
import { keyDialog } from './views/key';
import { marketPage } from './views/market';
import { topView, type Page } from './views/top';

const PAGES: readonly Page[] = [
  { id: 'market', name: 'Market' },
  { id: 'pipeline', name: 'Pipeline' },
  { id: 'try', name: 'Try it' },
];

/** Pages that a first visit does not show are loaded when somebody asks for them. */
async function make(id: string, app: App, frames: Frames): Promise<HTMLElement> {
  switch (id) {
    case 'pipeline':
      return (await import('./views/pipeline')).pipelinePage(app);
    case 'try':
      return (await import('./views/try-it')).tryItPage(app);
    default:
      // A new visitor's symbols depend on what there is; nobody should wait long for that.
      if (app.settings.symbols === null) await Promise.race([app.ready, new Promise((resolve) => setTimeout(resolve, 600))]);
      return marketPage(app, frames);
  }
}

function start(root: HTMLElement): void {
  const app = new App();
  const frames = new Frames();
  const top = topView(app, PAGES);
  const main = h('main', { id: 'main', tabindex: '-1' });
  const notices = h('div', { class: 'notices', role: 'status' });
  root.append(top.element, main, notices, keyDialog(app));
  app.notice.on((text) => {
    const note = h('p', {}, text);
    notices.append(note);
    setTimeout(() => note.remove(), 8_000);
  });

  const made = new Map<string, HTMLElement>();
  const ids = PAGES.map(({ id }) => id);
  let current = '';
  const show = async (id: string) => {
    current = id;
    top.mark(id);
    title();
    const page = made.get(id) ?? (await make(id, app, frames));
    made.set(id, page);
    if (current === id && page.parentElement !== main) main.replaceChildren(page);
  };
  const title = () => (document.title = current === 'market' || current === '' ? `${app.active} · Tapeline` : `${PAGES.find(({ id }) => id === current)?.name} · Tapeline`);

  /** Does what the address says. */
  const follow = () => {
    const address = readAddress(location.hash, ids, 'market');
    if (address.page === 'market') obey(app, address);
    void show(address.page);
    // What was obeyed is no step of its own.
    due = null;
    tell(false);
  };
  /** Whether the address is behind, and whether the change is worth a step in the browser's history: a choice is, scrolling is not. */
  let due: boolean | null = null;
  const tell = (step: boolean) => {
    if (due === null) queueMicrotask(write);
    due = due === true || step;
  };
  const write = () => {
    const step = due === true;
    due = null;
    const hash = writeAddress(stand(app));
    if (current !== 'market' || hash === location.hash) return;
    history[step ? 'pushState' : 'replaceState'](null, '', hash);
    title();
  };
  addEventListener('popstate', follow);
  app.viewChanged.on(tell);
  app.settingsChanged.on(() => tell(false));
  app.activeChanged.on(() => {
    tell(true);
    title();
  });
  follow();
  void app.ready.then(() => tell(false));

  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === '/') {
      event.preventDefault();
      top.search();
    } else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      event.preventDefault();
      app.step(event.key === 'ArrowRight' ? 1 : -1);
    }
  });
}

/** What the market page shows, as an address. */
function stand(app: App): Address {
  const { horizon, range } = app.view;
  const { timeframe, overlays } = app.settings;
  return {
    page: 'market',
    symbol: app.active,
    timeframe: TIMEFRAMES.find((one) => one === timeframe) ?? null,
    horizon,
    range,
    indicators: readIndicators(overlays),
    compared: app.compared,
  };
}

/** Shows what an address says; what it does not speak of stays. */
function obey(app: App, { symbol, timeframe, horizon, range, indicators, compared }: Address): void {
  if (symbol !== null && app.symbols.length < SYMBOLS_MAX) app.open(symbol);
  const says = timeframe !== null || horizon !== null || range !== null || indicators !== null || compared !== null;
  if (!says) return;
  Object.assign(app.view, { horizon, range });
  if (timeframe !== null) app.settings.timeframe = timeframe;
  app.settings.overlays = [...(indicators ?? [])];
  app.compare(compared ?? []);
  app.viewAsked.emit();
}

const root = document.getElementById('app');
if (root !== null) start(root);
