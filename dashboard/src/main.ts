/** Puts the page together: the app, its frame, the page that the address names, and the keys that work everywhere. */
import './styles/base.css';
import './styles/frame.css';
import './styles/market.css';
import './styles/pages.css';
import { App } from './app';
import { readSymbol } from './core/symbols';
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
  let current = '';
  const show = async () => {
    const [, wanted = '', symbol] = location.hash.split('/');
    const id = PAGES.some((page) => page.id === wanted) ? wanted : 'market';
    current = id;
    top.mark(id);
    const asked = readSymbol(id === 'market' ? decode(symbol ?? '') : '');
    if (asked !== null) app.open(asked);
    title();
    const page = made.get(id) ?? (await make(id, app, frames));
    made.set(id, page);
    if (current === id && page.parentElement !== main) main.replaceChildren(page);
  };
  const title = () => (document.title = `${app.active} · Tapeline`);
  app.activeChanged.on(title);
  addEventListener('hashchange', () => void show());
  void show();

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

/** An address that somebody typed may be no valid encoding. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const root = document.getElementById('app');
if (root !== null) start(root);
