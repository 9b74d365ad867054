/** Find a symbol and open it: a combobox over what the system has, and over whatever else is typed. */
import type { App } from '../app';
import { price } from '../core/format';
import { matches, readSymbol } from '../core/symbols';
import { h, icon, setAttribute } from './dom';

interface Suggestion {
  readonly symbol: string;
  readonly name: string;
  readonly note: string;
}

const SHOWN_MAX = 8;

export function searchView(app: App): { element: HTMLElement; focus: () => void } {
  const list = h('div', { role: 'listbox', id: 'search-list', 'aria-label': 'Symbols', hidden: true });
  const input = h('input', {
    type: 'text',
    role: 'combobox',
    'aria-label': 'Search or add a symbol',
    'aria-expanded': 'false',
    'aria-controls': 'search-list',
    'aria-autocomplete': 'list',
    placeholder: 'Search or add a symbol',
    autocomplete: 'off',
    autocapitalize: 'characters',
    spellcheck: 'false',
    maxlength: 32,
  });
  let shown: Suggestion[] = [];
  let chosen = 0;

  const suggest = (): Suggestion[] => {
    const known = [...new Set([...app.symbols, ...app.available])];
    const found = matches(known, input.value, SHOWN_MAX, (symbol) => app.companies.get(symbol)?.name ?? '').map((symbol) => ({ symbol, name: app.companies.get(symbol)?.name ?? '', note: describe(app, symbol) }));
    const typed = readSymbol(input.value);
    if (typed === null || known.includes(typed)) return found;
    return [...found, { symbol: typed, name: '', note: 'not in the history; follow it anyway' }];
  };

  const draw = (open: boolean) => {
    shown = open ? suggest() : [];
    chosen = Math.min(chosen, Math.max(0, shown.length - 1));
    list.hidden = shown.length === 0;
    setAttribute(input, 'aria-expanded', String(shown.length > 0));
    setAttribute(input, 'aria-activedescendant', shown.length > 0 ? `search-${chosen}` : null);
    list.replaceChildren(
      ...shown.map(({ symbol, name, note }, index) =>
        h(
          'div',
          {
            role: 'option',
            id: `search-${index}`,
            'aria-selected': String(index === chosen),
            // before the input loses its focus, which closes the list
            onpointerdown: (event: Event) => {
              event.preventDefault();
              take(symbol);
            },
          },
          h('span', {}, symbol),
          h('span', { class: 'option-name' }, name),
          h('span', {}, note),
        ),
      ),
    );
  };

  const take = (symbol: string | undefined) => {
    if (symbol === undefined) return;
    input.value = '';
    draw(false);
    input.blur();
    app.open(symbol);
  };

  input.addEventListener('input', () => {
    chosen = 0;
    draw(true);
  });
  input.addEventListener('focus', () => draw(true));
  input.addEventListener('blur', () => draw(false));
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      chosen = (chosen + (event.key === 'ArrowDown' ? 1 : -1) + shown.length) % Math.max(1, shown.length);
      draw(true);
    } else if (event.key === 'Enter') {
      take(shown[chosen]?.symbol);
    } else if (event.key === 'Escape') {
      input.value = '';
      input.blur();
    }
  });

  const glass = icon('M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9M10.5 10.5 14 14');
  const element = h('div', { class: 'search', role: 'search' }, glass, input, h('kbd', { 'aria-hidden': 'true' }, '/'), list);
  return { element, focus: () => input.focus() };
}

function describe(app: App, symbol: string): string {
  const { last, digits } = app.board.row(symbol);
  const followed = app.symbols.includes(symbol) ? 'followed' : 'add';
  return [last === null ? null : price(last, digits), followed].filter((part) => part !== null).join(' · ');
}
