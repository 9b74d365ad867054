/** A short glow on a price that changed. */

const GLOW_MS = 400;
/** All that glow are ended together: fifty animations of their own would each cost a frame. */
const SWEEP_MS = 200;
const glowing = new Map<HTMLElement, number>();
let timer: ReturnType<typeof setInterval> | null = null;
const still = typeof matchMedia === 'function' ? matchMedia('(prefers-reduced-motion: reduce)') : null;

export function flash(element: HTMLElement, direction: 'up' | 'down'): void {
  if (still?.matches === true) return;
  if (element.dataset['flash'] !== direction) element.dataset['flash'] = direction;
  glowing.set(element, performance.now() + GLOW_MS);
  timer ??= setInterval(sweep, SWEEP_MS);
}

function sweep(): void {
  const now = performance.now();
  for (const [element, until] of glowing) {
    if (until > now) continue;
    delete element.dataset['flash'];
    glowing.delete(element);
  }
  if (glowing.size > 0 || timer === null) return;
  clearInterval(timer);
  timer = null;
}
