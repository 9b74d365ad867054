/** What is written on the canvas, where no tool for accessibility looks. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const css = readFileSync(new URL('../styles/base.css', import.meta.url), 'utf8');

function colours(theme: string): Map<string, string> {
  const block = new RegExp(`\\[data-theme='${theme}'\\] \\{([^}]*)\\}`).exec(css)?.[1] ?? '';
  return new Map([...block.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name = '', value = '']) => [name, value]));
}

const parts = (colour: string) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = parts(colour).map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

/** What lightweight-charts writes on a label of this colour. */
function written(colour: string): string {
  const [red = 0, green = 0, blue = 0] = parts(colour);
  return 0.199 * red + 0.687 * green + 0.114 * blue > 160 ? '#000000' : '#ffffff';
}

test.each(['dark', 'light', 'amber'])('labels on the axes of the theme %s can be read', (theme) => {
  const palette = colours(theme);
  const of = (name: string) => palette.get(name) ?? `no --${name}`;
  expect(contrast(of('muted'), of('panel')), 'axis').toBeGreaterThanOrEqual(4.5);
  for (const name of ['up', 'down', 'accent']) expect(contrast(of('panel'), of(name)), name).toBeGreaterThanOrEqual(4.5);
  for (const name of ['vwap', 'ema-fast', 'ema-slow', 'muted', 'line']) expect(contrast(written(of(name)), of(name)), name).toBeGreaterThanOrEqual(4.5);
});
