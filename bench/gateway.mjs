// The gateway section of `make bench`: ours, socketioxide as it comes, and an Express + socket.io
// gateway, in turn, on the same machine, Redis and load.
//
//   node bench/gateway.mjs [--quick] [--only <part of a row's name>]
//
// Needs `cargo build --release --workspace --bins --examples` and `npm ci` in bench/peers/node-gateway. Every row starts its
// gateway anew. Clients are direct WebSocket connections; latencies are from before the PUBLISH to the client's read.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '../realtime-gateway/tests/js/port.mjs';

const root = path.join(import.meta.dirname, '..');
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target');
const ours = path.join(target, 'release/realtime-gateway');
const load = path.join(target, 'release/examples/gateway_load');
const stock = path.join(target, 'release/examples/socketioxide_gateway');
const peer = path.join(root, 'bench/peers/node-gateway');
for (const [file, how] of [[ours, 'cargo build --release -p realtime-gateway'], [load, 'cargo build --release -p realtime-gateway --examples'], [stock, 'cargo build --release -p bench --examples'], [path.join(peer, 'node_modules'), 'npm ci in bench/peers/node-gateway']]) {
  if (!existsSync(file)) throw new Error(`${file} is missing: ${how}`);
}

const quick = process.argv.includes('--quick');
const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : '';
const seconds = quick ? '2' : '6';
const rows = [
  ['latency 1 × 1 k/s', ['latency', '--clients', '1', '--rate', '1000']],
  ['latency 100 × 1 k/s', ['latency', '--clients', '100', '--rate', '1000']],
  ['latency 1,000 × 100/s', ['latency', '--clients', '1000', '--rate', '100']],
  ['most deliveries, 100 clients', ['throughput', '--clients', '100']],
  ['most deliveries, 1,000 clients', ['throughput', '--clients', '1000']],
  ['10 stalled among 20, 5 k/s', ['latency', '--clients', '20', '--stalled', '10', '--rate', '5000']],
  ['1 stalled among 1,000, 100/s', ['latency', '--clients', '1000', '--stalled', '1', '--rate', '100']],
  ['memory, 1,000 idle', ['idle', '--clients', '1000']],
  ['memory, 5,000 idle', ['idle', '--clients', '5000']],
].filter(([name]) => name.includes(only));

async function healthy(url) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await fetch(`${url}/health`).catch(() => null))?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} did not come up`);
}

async function stop(child) {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'bench-gateway-'));
const redisPort = `${await freePort()}`;
const redis = spawn('redis-server', ['--port', redisPort, '--bind', '127.0.0.1', '--save', '', '--dir', folder], { stdio: 'ignore' });
const common = { PATH: process.env.PATH, REDIS_HOST: '127.0.0.1', REDIS_PORT: redisPort, RUST_LOG: 'warn' };
const gateways = {
  tapeline: (port) => spawn(ours, { env: { ...common, GATEWAY_PORT: port, DRAIN_S: '0' }, cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] }),
  socketioxide: (port) => spawn(stock, { env: { ...common, PORT: port }, cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] }),
  'express + socket.io': (port) => spawn('node', ['server.mjs'], { env: { ...common, PORT: port }, cwd: peer, stdio: ['ignore', 'ignore', 'inherit'] }),
};

console.log(`${os.cpus().length} × ${os.cpus()[0].model}, ${os.release()}, Node ${process.version}, every part on this machine\n`);
const results = [];
try {
  for (const [name, options] of rows) {
    for (const [gateway, start] of Object.entries(gateways)) {
      const port = `${await freePort()}`;
      const child = start(port);
      try {
        await healthy(`http://127.0.0.1:${port}`);
        const more = ['--gateway', `127.0.0.1:${port}`, '--redis', `127.0.0.1:${redisPort}`, '--pid', `${child.pid}`, '--seconds', seconds];
        const result = JSON.parse(execFileSync(load, [...options, ...more], { encoding: 'utf8', timeout: 180_000 }));
        results.push({ row: name, gateway, ...result });
        console.log(JSON.stringify({ row: name, gateway, ...result }));
      } catch (error) {
        console.log(JSON.stringify({ row: name, gateway, failed: String(error.message).split('\n')[0] }));
      } finally {
        await stop(child);
      }
    }
  }
} finally {
  await stop(redis);
  rmSync(folder, { recursive: true });
}

const columns = ['p50_us', 'p99_us', 'deliveries_per_second', 'cpu_us_per_delivery', 'kib_per_client', 'memory_mib'];
console.log(`\n| row | gateway | ${columns.join(' | ')} |\n|${' --- |'.repeat(columns.length + 2)}`);
for (const result of results) {
  console.log(`| ${result.row} | ${result.gateway} | ${columns.map((column) => result[column] ?? '').join(' | ')} |`);
}
