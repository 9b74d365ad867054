/** The themes, and the few colours that the canvas needs by value. All others live in the style sheet. */

export const THEMES = ['system', 'dark', 'light', 'amber'] as const;
export type Theme = (typeof THEMES)[number];

/** What the page uses now: `system` is one of the others. */
export function resolve(theme: Theme, systemIsDark: boolean): 'dark' | 'light' | 'amber' {
  return theme === 'system' ? (systemIsDark ? 'dark' : 'light') : theme;
}

export interface Palette {
  readonly panel: string;
  readonly text: string;
  readonly grid: string;
  readonly line: string;
  readonly up: string;
  readonly down: string;
  readonly accent: string;
  readonly emaFast: string;
  readonly emaSlow: string;
  readonly vwap: string;
  readonly gap: string;
  /** Sessions outside of regular hours. */
  readonly pre: string;
  readonly post: string;
  readonly closed: string;
}

/** Reads the palette of the theme that `root` shows now. */
export function palette(root: Element): Palette {
  const style = getComputedStyle(root);
  const get = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    panel: get('panel'),
    text: get('muted'),
    grid: get('grid'),
    line: get('line'),
    up: get('up'),
    down: get('down'),
    accent: get('accent'),
    emaFast: get('ema-fast'),
    emaSlow: get('ema-slow'),
    vwap: get('vwap'),
    gap: get('gap'),
    pre: get('pre'),
    post: get('post'),
    closed: get('closed'),
  };
}

/** `#rrggbb` with an alpha from 0 to 1. */
export function fade(colour: string, alpha: number): string {
  return colour + Math.round(alpha * 255).toString(16).padStart(2, '0');
}
