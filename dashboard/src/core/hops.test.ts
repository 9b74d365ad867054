/** The names of the page's figures against the sources of the services that are to report them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { quantileBetween, readBuckets } from './histogram';
import { FIGURES } from './hops';
import { readSample, sum } from './pipeline';

const root = new URL('../../../', import.meta.url).pathname;

function sourcesOf(folder: string): string {
  const files = readdirSync(join(root, folder, 'src'), { recursive: true }) as string[];
  return files.filter((name) => name.endsWith('.rs')).map((name) => readFileSync(join(root, folder, 'src', name), 'utf8')).join('\n');
}

test('every figure, and every number of the rehearsal, is registered by its service', () => {
  const folders: Record<string, string> = { gateway: 'realtime-gateway' };
  const rehearsed = readFileSync(join(root, 'dashboard/test/rehearsal/main.mjs'), 'utf8').match(/\b(?:gateway|producer|consumer_trades|consumer_bars)_[a-z_]+(?:_total|_records|_seconds|_bytes|unacknowledged|clients|connections)\b/g) ?? [];
  const wanted = [
    ...FIGURES.map(({ measure }) => [measure.service, measure.metric] as const),
    ...rehearsed.map((name) => [/^(gateway|producer|consumer_trades|consumer_bars)/.exec(name)?.[0].replace('_', '-') ?? '', name] as const),
  ];
  expect(wanted.length).toBeGreaterThan(FIGURES.length + 10);
  const texts = new Map<string, string>();
  for (const [service, metric] of wanted) {
    const folder = folders[service] ?? service;
    // The sink names its consumers' numbers: prefix and suffix.
    const sunk = service.startsWith('consumer-');
    const source = sunk ? 'sink' : folder;
    if (!texts.has(source)) texts.set(source, sourcesOf(source));
    const written = sunk ? metric.replace(`${service.replace('-', '_')}_`, '') : metric;
    expect(texts.get(source)?.includes(`"${written}"`), `${service} registers ${metric}`).toBe(true);
  }
});

test('a counter that has not counted yet is zero, a service that reports nothing is not', () => {
  const sample = readSample({ time: 1, services: { a: { health: {}, metrics: { x: 1, 'cut_total{reason="gone"}': 4, 'cut_total{reason="stalled"}': 2 } }, b: { health: {}, metrics: {} } } });
  const [a, b] = sample?.services ?? [];
  if (a === undefined || b === undefined) throw new Error('no services');
  expect([sum(a, 'gaps_total'), sum(a, 'gauge'), sum(b, 'gaps_total')]).toEqual([0, null, null]);
  expect([sum(a, 'cut_total'), sum(a, 'cut_total', ['reason="stalled"'])]).toEqual([6, 2]);
});

test('quantiles are of what was counted since the look before', () => {
  const text = (...counts: number[]) => ['0.001', '0.01', '+Inf'].map((bound, index) => `h_bucket{le="${bound}"} ${counts[index]}`).join('\n');
  const [before, after] = [readBuckets(text(100, 100, 100), 'h'), readBuckets(text(100, 200, 200), 'h')];
  expect(quantileBetween(before, after, 0.5)).toBeCloseTo(0.0055, 6);
  expect(quantileBetween(after, after, 0.5)).toBeNull();
  // A service that was started again.
  expect(quantileBetween(after, readBuckets(text(10, 10, 10), 'h'), 0.5)).toBeCloseTo(0.0005, 6);
});
