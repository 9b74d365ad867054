/** Which watchlist is shown, and what one can do with it: show another, create, rename, delete. */
import type { App } from '../app';
import { LIST_NAME_MAX, listNames, nameProblem, removed, renamed, switched } from '../core/watchlists';
import { h, setText } from './dom';
import { menu } from './menu';

export function listMenu(app: App): HTMLElement {
  const choose = h('select', { 'aria-label': 'Watchlist' });
  choose.addEventListener('change', () => show(choose.value));
  const input = h('input', { type: 'text', 'aria-label': 'Name of the watchlist', placeholder: 'Name', maxlength: LIST_NAME_MAX });
  const problem = h('p', { class: 'warn', role: 'alert' });
  const named = (run: (name: string) => void) => () => {
    const name = input.value.trim();
    const wrong = nameProblem(name, listNames(app.settings));
    setText(problem, wrong ?? '');
    if (wrong !== null) return input.focus();
    input.value = '';
    run(name);
    actions.close();
  };

  const show = (name: string) => {
    const { symbols, list, lists } = switched(app.settings, app.symbols, name);
    keep(list, lists);
    app.follow(symbols);
  };
  const keep = (list: string, lists: Readonly<Record<string, readonly string[]>>) => {
    app.settings.list = list;
    app.settings.lists = Object.fromEntries(Object.entries(lists).map(([name, symbols]) => [name, [...symbols]]));
    app.save();
    draw();
  };
  const rename = (name: string) => {
    const { list, lists } = renamed(app.settings, app.symbols, name);
    keep(list, lists);
  };
  const remove = () => {
    const rest = removed(app.settings);
    if (rest === null) return setText(problem, 'This is the only watchlist; it stays.');
    keep(rest.list, rest.lists);
    app.follow(rest.symbols);
    actions.close();
  };
  const draw = () => {
    const names = listNames(app.settings);
    choose.replaceChildren(...names.map((name) => h('option', { value: name }, name)));
    choose.value = app.settings.list;
  };

  const button = (text: string, run: () => void) => h('button', { type: 'button', class: 'action', onclick: run }, text);
  const panel = h(
    'div',
    {},
    h('p', { class: 'quiet' }, 'A new list begins with the symbols of this one. Rows: drag, or Alt and ↑ ↓.'),
    input,
    h('div', { class: 'menu-form' }, button('Create', named(show)), button('Rename', named(rename)), button('Delete', remove)),
    problem,
  );
  const actions = menu('Lists', 'Watchlists', panel, () => setText(problem, ''));
  draw();
  return h('div', { class: 'list-menu' }, choose, actions.element);
}
