// Reports what a first visit loads over the wire, in the copies that compress.mjs leaves, and fails above the limit.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const LIMIT = 130_000;
const dist = new URL('../dist/', import.meta.url).pathname;
const html = readFileSync(join(dist, 'index.html'), 'utf8');
const assets = readdirSync(join(dist, 'assets')).filter((name) => html.includes(`"./assets/${name}"`));
const files = ['index.html', 'icon.svg', ...assets.map((name) => join('assets', name))];
const total = (copy) => files.reduce((sum, file) => sum + statSync(`${join(dist, file)}.${copy}`).size, 0);

const [brotli, gzip] = [total('br'), total('gz')];
console.log(`first visit: ${(brotli / 1_000).toFixed(1)} kB (brotli), ${(gzip / 1_000).toFixed(1)} kB (gzip); limit ${LIMIT / 1_000} kB`);
if (gzip > LIMIT) {
  console.error('That is too much. See which import brought it: npx vite build --sourcemap');
  process.exit(1);
}
