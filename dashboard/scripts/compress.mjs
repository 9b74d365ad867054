// Leaves a brotli and a gzip copy beside each built file; the gateway sends the one that the browser takes.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url).pathname;
const KINDS = new Set(['.html', '.js', '.css', '.svg']);

for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name);
  if (!KINDS.has(extname(path)) || !statSync(path).isFile()) continue;
  const file = readFileSync(path);
  writeFileSync(`${path}.br`, brotliCompressSync(file, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: file.length } }));
  writeFileSync(`${path}.gz`, gzipSync(file, { level: 9 }));
}
