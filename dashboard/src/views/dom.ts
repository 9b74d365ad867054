/** Making and changing elements, and doing so at most once a frame. */

type Child = Node | string | null;
type Props = Record<string, string | number | boolean | null | ((event: never) => void)>;

/** `h('button', { class: 'x', onclick: f }, 'text')`. A value of `null` or `false` leaves the attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== null && value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/** Changes the text only where it differs: writing the same text again costs a layout. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string | null): void {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A small picture from path data, drawn in the text's colour. */
export function icon(path: string, size = 16): SVGSVGElement {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  for (const [name, value] of Object.entries({ viewBox: '0 0 16 16', width: size, height: size, 'aria-hidden': 'true', class: 'icon' })) {
    svg.setAttribute(name, String(value));
  }
  const line = document.createElementNS(space, 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

/** Gathers work and does each piece once, before the next paint. */
export class Frames {
  private readonly due = new Set<() => void>();
  private asked = false;

  /** `work` is identified by itself: asked for twice, it runs once. */
  soon(work: () => void): void {
    this.due.add(work);
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const now = [...this.due];
      this.due.clear();
      for (const one of now) one();
    });
  }
}

/** Like `frames.soon(work)`, but `ms` apart at least: for what changes faster than it is worth drawing. */
export function paced(frames: Frames, ms: number, work: () => void): () => void {
  let doneAt = -Infinity;
  let waiting = false;
  const run = () => {
    waiting = false;
    doneAt = performance.now();
    work();
  };
  return () => {
    if (waiting) return;
    waiting = true;
    const wait = doneAt + ms - performance.now();
    if (wait <= 0) frames.soon(run);
    else setTimeout(() => frames.soon(run), wait);
  };
}

/** Whether a key belongs to the element that has it rather than to the page. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
