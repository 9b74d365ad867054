/** A button that opens a panel: closed by Escape, by a click elsewhere, and by opening another one. */
import { h, setAttribute, setText } from './dom';

export interface Menu {
  readonly element: HTMLElement;
  /** Changes what the button says, and whether something behind it is on. */
  label(text: string, on: boolean): void;
  close(): void;
}

let opened: (() => void) | null = null;

/** `name` is what a screen reader calls the panel; `onOpen` runs before it is shown. */
export function menu(text: string, name: string, panel: HTMLElement, onOpen: () => void = () => undefined): Menu {
  const button = h('button', { type: 'button', class: 'toggle', 'aria-expanded': 'false', onclick: () => show(panel.hidden === true) }, text);
  panel.hidden = true;
  panel.classList.add('menu-panel');
  setAttribute(panel, 'role', 'group');
  setAttribute(panel, 'aria-label', name);
  const element = h('div', { class: 'menu' }, button, panel);
  const close = () => show(false);
  const show = (open: boolean) => {
    if (open) {
      opened?.();
      onOpen();
      opened = close;
    } else if (opened === close) opened = null;
    panel.hidden = !open;
    setAttribute(button, 'aria-expanded', String(open));
    if (open) place(panel);
  };
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || panel.hidden) return;
    event.stopPropagation();
    close();
    button.focus();
  });
  document.addEventListener('pointerdown', (event) => {
    if (!panel.hidden && event.target instanceof Node && !element.contains(event.target)) close();
  });
  return {
    element,
    label(changed, on) {
      setText(button, changed);
      setAttribute(button, 'aria-pressed', String(on));
    },
    close,
  };
}

/** Keeps a panel inside of the window. */
function place(panel: HTMLElement): void {
  panel.style.translate = '';
  const { left, right } = panel.getBoundingClientRect();
  const over = Math.max(0, right + 8 - document.documentElement.clientWidth);
  panel.style.translate = `${-Math.min(over, left - 8)}px 0`;
}
