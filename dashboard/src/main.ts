/** Puts the page together: the app, its frame, the page that the address names, and the keys that work everywhere. */
import './styles/base.css';
import './styles/frame.css';
import './styles/market.css';
import { App } from './app';
import { Frames, h, isTyping } from './views/dom';
import { marketPage } from './views/market';
import { topView, type Page } from './views/top';

const PAGES: readonly Page[] = [{ id: 'market', name: 'Market' }];

function start(root: HTMLElement): void {
  const app = new App();
  const frames = new Frames();
  const top = topView(app, PAGES);
  const main = h('main', { id: 'main', tabindex: '-1' });
  const notices = h('div', { class: 'notices', role: 'status' });
  root.append(top.element, main, notices);
  app.notice.on((text) => {
    const note = h('p', {}, text);
    notices.append(note);
    setTimeout(() => note.remove(), 8_000);
  });

  const made = new Map<string, HTMLElement>();
  const show = () => {
    const [, wanted = '', symbol] = location.hash.split('/');
    const id = PAGES.some((page) => page.id === wanted) ? wanted : 'market';
    const page = made.get(id) ?? marketPage(app, frames);
    made.set(id, page);
    if (page.parentElement !== main) main.replaceChildren(page);
    top.mark(id);
    if (id === 'market' && symbol !== undefined && symbol !== '') app.open(decodeURIComponent(symbol).toUpperCase());
    title();
  };
  const title = () => (document.title = `${app.active} · Tapeline`);
  app.activeChanged.on(title);
  addEventListener('hashchange', show);
  show();

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

const root = document.getElementById('app');
if (root !== null) start(root);
