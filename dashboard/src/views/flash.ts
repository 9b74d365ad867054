/** A short glow on a price that changed. */

const GLOW_MS = 450;
/** Twenty changes a second are one glow, not a flicker. */
const PAUSE_MS = 220;
const quietUntil = new WeakMap<Element, number>();

export function flash(element: HTMLElement, direction: 'up' | 'down'): void {
  const now = performance.now();
  if ((quietUntil.get(element) ?? 0) > now) return;
  quietUntil.set(element, now + PAUSE_MS);
  const colour = `var(--${direction})`;
  element.animate(
    [{ backgroundColor: `color-mix(in srgb, ${colour} 34%, transparent)` }, { backgroundColor: 'transparent' }],
    // In steps: each is a repaint, and fifty rows may glow at once.
    { duration: GLOW_MS, easing: 'steps(4, end)' },
  );
  element.dataset['flash'] = direction;
}
