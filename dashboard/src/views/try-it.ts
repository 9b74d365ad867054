/** The try-it page: each interface with code to copy, and a button that does the same here and shows the raw answer. */
import type { App } from '../app';
import { LANGUAGES, recipes, type Language, type Recipe } from '../core/snippets';
import { h, setAttribute, setText } from './dom';

const EVENTS_MAX = 40;
const ANSWER_MAX = 20_000;

export function tryItPage(app: App): HTMLElement {
  const page = h('div', { class: 'try-it' });
  let language: Language = 'JavaScript';
  let stop: (() => void)[] = [];

  const build = () => {
    for (const end of stop) end();
    stop = [];
    const today = new Date().toISOString().slice(0, 10);
    const all = recipes(location.origin, app.active, today);
    page.replaceChildren(
      h('div', { class: 'try-head' }, h('h1', {}, 'Try it'), h('p', { class: 'quiet' }, 'Everything on these pages comes from interfaces that any other program can use. Pick a language, copy, or run it right here.')),
      ...all.map((recipe) => card(recipe)),
    );
  };

  const card = (recipe: Recipe): HTMLElement => {
    const code = h('code');
    const languages = h('div', { class: 'choice', role: 'group', 'aria-label': `Language of ${recipe.title}` });
    for (const one of LANGUAGES) {
      if (recipe.code[one] === undefined) continue;
      const pick = () => {
        language = one;
        for (const refresh of refreshers) refresh();
      };
      languages.append(h('button', { type: 'button', 'data-value': one, onclick: pick }, one));
    }
    const refresh = () => {
      const shown = recipe.code[language] ?? recipe.code.JavaScript ?? '';
      setText(code, shown);
      for (const button of languages.children) setAttribute(button, 'aria-pressed', String((button as HTMLElement).dataset['value'] === language));
    };
    refreshers.add(refresh);
    stop.push(() => refreshers.delete(refresh));
    refresh();

    const copy = h('button', { type: 'button', class: 'action' }, 'Copy');
    copy.addEventListener('click', () => void copyText(code.textContent ?? '').then((done) => told(copy, done ? 'Copied' : 'Select and copy by hand')));
    const note = h('span', { class: 'quiet', role: 'status' });
    const answer = h('pre', { class: 'answer', tabindex: '0', 'aria-label': `Answer of ${recipe.title}`, hidden: true });
    const run = h('button', { type: 'button', class: 'action primary' }, 'Run');
    run.addEventListener('click', () => {
      answer.hidden = false;
      if (recipe.run.kind === 'fetch') void runFetch(app, recipe.run.path, answer, note);
      else stop.push(runEvents(app, answer, note, run));
    });
    return h(
      'section',
      { class: 'panel recipe', 'aria-label': recipe.title, 'data-recipe': recipe.id },
      h('div', { class: 'panel-head' }, h('h2', {}, recipe.title), h('span', { class: 'space' }), languages),
      h('p', { class: 'quiet padded' }, recipe.about),
      h('pre', { class: 'code', tabindex: '0', 'aria-label': `Code of ${recipe.title}` }, code),
      h('div', { class: 'recipe-bar' }, run, copy, note),
      answer,
    );
  };

  const refreshers = new Set<() => void>();
  app.activeChanged.on(build);
  build();
  return page;
}

async function runFetch(app: App, path: string, answer: HTMLElement, note: HTMLElement): Promise<void> {
  setText(note, 'Asking …');
  try {
    const { status, text, ms } = await app.api.raw(path);
    setText(note, `${status} in ${ms.toFixed(0)} ms, ${text.length.toLocaleString('en-US')} characters`);
    setText(answer, pretty(text).slice(0, ANSWER_MAX));
  } catch (error) {
    setText(note, 'No answer');
    setText(answer, error instanceof Error ? error.message : String(error));
  }
}

/** Shows raw events of the page's own subscription; returns what ends it. */
function runEvents(app: App, answer: HTMLElement, note: HTMLElement, button: HTMLElement): () => void {
  const { socket } = app.stream;
  const lines: string[] = [];
  let count = 0;
  const hear = (event: string, payload: unknown) => {
    const { symbol } = (payload ?? {}) as { symbol?: unknown };
    if (symbol !== undefined && symbol !== app.active) return;
    count += 1;
    lines.unshift(`${event} ${JSON.stringify(payload)}`);
    lines.length = Math.min(lines.length, EVENTS_MAX);
  };
  const timer = setInterval(() => {
    setText(note, `${count} events of ${app.active}, newest first`);
    setText(answer, lines.join('\n'));
  }, 200);
  const end = () => {
    socket.offAny(hear);
    clearInterval(timer);
    setText(button, 'Run');
  };
  socket.onAny(hear);
  setText(button, 'Stop');
  button.addEventListener('click', (event) => {
    event.stopImmediatePropagation();
    end();
  }, { once: true, capture: true });
  return end;
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Whether it worked: a page that came over plain HTTP from another machine has no clipboard. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function told(button: HTMLElement, text: string): void {
  const before = button.textContent ?? '';
  setText(button, text);
  setTimeout(() => setText(button, before), 2_000);
}
