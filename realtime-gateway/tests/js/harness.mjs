// Starts a real Redis and a real gateway on free ports, and stops them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createClient } from 'redis';
import { freePort } from './port.mjs';

export { freePort };

const GATEWAY = process.env.GATEWAY_BIN;
if (!GATEWAY) throw new Error('GATEWAY_BIN is not set: run these tests with `cargo test -p realtime-gateway`');

/** Polls until `look` gives something truthy; fails with a sentence otherwise. */
export async function eventually(what, look, limit = 10_000) {
  const end = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// However a test file ends, by a time limit too, what it started ends with it.
const children = new Set();
function start(program, options, settings) {
  const child = spawn(program, options, settings);
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}
for (const signal of ['exit', 'SIGTERM', 'SIGINT', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of children) child.kill('SIGKILL');
    if (signal !== 'exit') process.exit(1);
  });
}

async function stop(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

export class Redis {
  static async start(port) {
    const redis = new Redis();
    redis.port = port ?? (await freePort());
    redis.folder = mkdtempSync(path.join(os.tmpdir(), 'gateway-redis-'));
    await redis.up();
    return redis;
  }

  async up() {
    const options = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.folder];
    this.child = start('redis-server', options, { stdio: 'ignore' });
    this.client = createClient({ socket: { host: '127.0.0.1', port: this.port, reconnectStrategy: 20 } });
    this.client.on('error', () => {});
    await this.client.connect();
  }

  async down() {
    this.client.destroy();
    await stop(this.child);
  }

  async stop() {
    await this.down();
    rmSync(this.folder, { recursive: true });
  }

  /** Publishes many payloads in one go; answers how many gateways got the last one. */
  async publish(stream, ...payloads) {
    const texts = payloads.map((payload) => (typeof payload === 'string' ? payload : JSON.stringify(payload)));
    const counts = await Promise.all(texts.map((text) => this.client.publish(`stock:${stream}:pubsub`, text)));
    return counts.at(-1);
  }
}

export class Gateway {
  /** `files`: how many files the gateway may have open. */
  static async start(redis, settings = {}, { files } = {}) {
    const gateway = new Gateway();
    gateway.files = files;
    gateway.port = settings.GATEWAY_PORT ?? (await freePort());
    gateway.url = `http://127.0.0.1:${gateway.port}`;
    gateway.settings = {
      PATH: process.env.PATH,
      GATEWAY_PORT: `${gateway.port}`,
      REDIS_HOST: '127.0.0.1',
      REDIS_PORT: `${redis.port}`,
      DRAIN_S: '0',
      RUST_LOG: 'warn',
      ...settings,
    };
    await gateway.up();
    return gateway;
  }

  async up() {
    const options = { env: this.settings, cwd: os.tmpdir(), stdio: ['ignore', 'ignore', 'pipe'] };
    const limited = ['-c', `ulimit -n ${this.files}; exec "$0"`, GATEWAY];
    this.child = this.files ? start('bash', limited, options) : start(GATEWAY, [], options);
    this.log = '';
    this.child.stderr.on('data', (text) => (this.log += text));
    await eventually('the gateway is healthy', async () => {
      if (this.child.exitCode !== null) throw new Error(`the gateway ended with ${this.child.exitCode}:\n${this.log}`);
      return (await fetch(`${this.url}/health`).catch(() => null))?.ok;
    });
  }

  async stop(signal) {
    await stop(this.child, signal);
    return this.child.exitCode;
  }

  /** One number of `/metrics`, 0 where it is not there yet. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((sample) => sample.startsWith(`${name} `));
    return line ? Number(line.split(' ').at(-1)) : 0;
  }
}

/** Collects the events of a socket.io client by name, raw arguments. */
export function collect(socket, ...names) {
  const seen = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) socket.on(name, (payload) => seen[name].push(payload));
  return seen;
}

export const connected = (socket) => (socket.connected ? Promise.resolve() : once(socket, 'connect'));

/** Emits and waits for the acknowledgement, with every version of the client; fails when the connection ends first. */
export function ask(socket, event, argument, limit = 30_000) {
  return new Promise((resolve, reject) => {
    const lost = (reason) => done(reject, new Error(`no acknowledgement of ${event}: ${reason}`));
    const timer = setTimeout(() => lost(`not within ${limit} ms`), limit);
    const done = (settle, value) => {
      clearTimeout(timer);
      socket.off('disconnect', lost);
      settle(value);
    };
    socket.on('disconnect', lost);
    socket.emit(event, argument, (answer) => done(resolve, answer));
  });
}

export const trade = (symbol, seq, more = {}) => ({
  symbol, price: 100 + seq / 100, size: 10, timestamp: 1700000000000 + seq, source: 'alpaca', epoch: 1, seq, ...more,
});
