/** Asks for an API key where the gateway wants one. */
import type { App } from '../app';
import { h, setText } from './dom';

export function keyDialog(app: App): HTMLElement {
  const input = h('input', { type: 'password', id: 'key', autocomplete: 'off', spellcheck: 'false', required: true });
  const problem = h('p', { class: 'warn', role: 'alert' });
  const enter = h('button', { type: 'submit', class: 'action primary' }, 'Enter');
  const form = h(
    'form',
    {},
    h('h2', { id: 'key-title' }, 'This gateway asks for an API key'),
    h('p', { class: 'quiet' }, 'One of those in its API_KEYS. It is changed for a token that soon runs out: only the token is kept, until this tab is closed. The key itself is forgotten with the page.'),
    h('label', { for: 'key' }, 'API key'),
    input,
    problem,
    enter,
  );
  const dialog = h('dialog', { class: 'key-dialog', 'aria-labelledby': 'key-title' }, form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    enter.disabled = true;
    setText(problem, '');
    void app.access.give(input.value.trim()).then((wrong) => {
      enter.disabled = false;
      input.value = '';
      if (wrong === null) return dialog.close();
      setText(problem, wrong);
      input.focus();
    });
  });
  // There is nothing behind it to go back to.
  dialog.addEventListener('cancel', (event) => event.preventDefault());
  app.access.onNeeded = () => {
    if (!dialog.open) dialog.showModal();
    input.focus();
  };
  return dialog;
}
