/** The top bar: pages, search, badge, theme. */
import type { App } from '../app';
import { resolve, THEMES, type Theme } from '../core/theme';
import { badgeView } from './badge';
import { h, icon, setAttribute } from './dom';
import { searchView } from './search';

export interface Page {
  readonly id: string;
  readonly name: string;
}

const THEME_NAMES: Record<Theme, string> = { system: 'as the system', dark: 'dark', light: 'light', amber: 'amber' };

export function topView(app: App, pages: readonly Page[]): { element: HTMLElement; mark: (id: string) => void; search: () => void } {
  const links = pages.map(({ id, name }) => h('a', { href: `#/${id}` }, name));
  const search = searchView(app);
  const element = h(
    'header',
    { class: 'top' },
    h('a', { class: 'brand', href: '#/market', 'aria-label': 'Tapeline' }, h('img', { src: './icon.svg', alt: '' }), h('span', {}, 'Tapeline')),
    h('nav', { class: 'pages', 'aria-label': 'Pages' }, ...links),
    h('div', { class: 'space' }),
    search.element,
    badgeView(app),
    themeButton(app),
  );
  const mark = (id: string) => {
    for (const [index, link] of links.entries()) setAttribute(link, 'aria-current', pages[index]?.id === id ? 'page' : null);
  };
  return { element, mark, search: search.focus };
}

function themeButton(app: App): HTMLElement {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const button = h('button', { type: 'button', class: 'theme', onclick: () => next() }, icon('M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11'));
  const apply = () => {
    const { theme } = app.settings;
    document.documentElement.dataset['theme'] = resolve(theme, system.matches);
    const label = `Theme: ${THEME_NAMES[theme]}. Change`;
    setAttribute(button, 'aria-label', label);
    setAttribute(button, 'title', label);
  };
  const next = () => {
    app.settings.theme = THEMES[(THEMES.indexOf(app.settings.theme) + 1) % THEMES.length] ?? 'system';
    app.save();
    apply();
  };
  system.addEventListener('change', apply);
  apply();
  return button;
}
