// Says what a first visit loads, compressed, and fails above the limit.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const LIMIT = 200_000;
const dist = new URL('../dist/', import.meta.url).pathname;
const html = readFileSync(join(dist, 'index.html'), 'utf8');
const size = (path) => gzipSync(readFileSync(path), { level: 6 }).length;

const first = readdirSync(join(dist, 'assets')).filter((name) => html.includes(name));
const total = [join(dist, 'index.html'), join(dist, 'icon.svg'), ...first.map((name) => join(dist, 'assets', name))]
  .map(size)
  .reduce((sum, bytes) => sum + bytes, 0);

console.log(`first load: ${(total / 1_000).toFixed(1)} kB gzipped (limit ${LIMIT / 1_000} kB)`);
if (total > LIMIT) {
  console.error('That is too much. See which import brought it: npx vite build --sourcemap');
  process.exit(1);
}
