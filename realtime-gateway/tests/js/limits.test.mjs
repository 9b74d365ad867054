// What one client can cost: connections, sessions, bodies and readers all have an end, and an honest one.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { Gateway, Redis, ask, collect, connected, eventually, freePort, trade } from './harness.mjs';

const KEY = 'a-key-for-this-test-only';
const POLLING = '/socket.io/?EIO=4&transport=polling';
let redis;
before(async () => (redis = await Redis.start()));
after(() => redis.stop());

/** Gets `address` over `agent`; the status, headers and body. */
function get(url, agent, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent, headers }, (response) => {
      let body = '';
      response.on('data', (data) => (body += data));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    request.on('error', reject);
  });
}

function assertRefused(answer, status) {
  assert.equal(answer.status, status, answer.body);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  assert.ok(Number(answer.headers['retry-after']) >= 1);
  const body = JSON.parse(answer.body);
  assert.deepEqual([body.status, body.request_id], [status, answer.headers['x-request-id']]);
}

test('sessions are counted whatever carries them: many over one connection, and none over many', async () => {
  const gateway = await Gateway.start(redis, { CONNECTIONS_PER_ADDRESS_MAX: '40' });
  const one = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (const version of ['3', '4']) {
    const place = `/socket.io/?EIO=${version}&transport=polling`;
    let taken = 0;
    let answer;
    while ((answer = await get(`${gateway.url}${place}`, one)).status === 200) taken += 1;
    assert.ok(version === '3' ? taken === 40 : taken === 0, `${taken} sessions of Engine.IO ${version}`);
    assertRefused(answer, 429);
  }
  await eventually('the count', async () => (await gateway.metric('gateway_sessions')) === 40);
  const [, refused] = await once(new WebSocket(`${gateway.url.replace('http', 'ws')}/ws`), 'unexpected-response');
  assert.equal(refused.statusCode, 429);
  for (const address of ['/stream?symbols=A', '/stream?symbols=A&sid=x', `${POLLING}&sid=`]) {
    const { status } = await get(`${gateway.url}${address}`, one);
    assert.ok(status === 429 || status === 400, `${address}: ${status}`);
  }
  for (let index = 0; index < 200; index += 1) assert.equal((await get(`${gateway.url}/health`, one)).status, 200);
  one.destroy();
  await gateway.stop();
});

test('a session that moves from polling to a WebSocket keeps its place and gives it back', async () => {
  const gateway = await Gateway.start(redis, { CONNECTIONS_PER_ADDRESS_MAX: '5' });
  const socket = io(gateway.url, { forceNew: true, reconnection: false });
  await connected(socket);
  await eventually('the WebSocket', () => socket.io.engine.transport.name === 'websocket');
  await eventually('one session', async () => (await gateway.metric('gateway_sessions')) === 1);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(await gateway.metric('gateway_sessions'), 1);
  socket.close();
  await eventually('none', async () => (await gateway.metric('gateway_sessions')) === 0);
  await gateway.stop();
});

test('without a key no body is read, with one only a small body that comes in time', async () => {
  const gateway = await Gateway.start(redis, { AUTH_REQUIRED: 'on', API_KEYS: KEY, HANDSHAKE_MAX_S: '2' });
  const before = await gateway.metric('process_resident_memory_bytes');
  const head = (length, more = '') => `POST /api/token HTTP/1.1\r\nHost: x\r\n${more}Content-Length: ${length}\r\n\r\n`;
  const status = (text) => new Promise((resolve) => {
    const socket = net.connect(gateway.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => (answer += data));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Number(answer.split(' ')[1])));
    socket.on('connect', () => socket.write(text));
  });
  const flood = await Promise.all(Array.from({ length: 150 }, () => status(head(2 << 20) + 'x'.repeat(64 << 10))));
  assert.ok(flood.every((code) => code === 401), `${new Set(flood)}`);
  assert.ok((await gateway.metric('process_resident_memory_bytes')) - before < 50 << 20, 'little memory');
  const keyed = `X-API-Key: ${KEY}\r\n`;
  assert.equal(await status(head(2 << 20, keyed)), 413);
  const opened = await (await fetch(gateway.url + POLLING)).text();
  const { sid } = JSON.parse(opened.slice(1));
  const slow = await Promise.all([
    status(head(100, keyed) + '{'), // one byte, and then nothing
    status(`POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n1`),
    status('GET /health HTTP/1.1\r\nHost: x\r\n'), // a head without end
    status(''), // nothing at all
  ]);
  assert.deepEqual(slow.slice(0, 2), [408, 408], 'the bodies did not come in time');
  await gateway.stop();
});

test('a connection that asks nothing more, and a reader that does not read, are cut', async () => {
  const gateway = await Gateway.start(redis, { HANDSHAKE_MAX_S: '1', SLOW_CLIENT_CUT_S: '2', CLIENT_BUFFER_KB: '64' });
  const idle = net.connect(gateway.port, '127.0.0.1');
  idle.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
  idle.resume();
  await once(idle, 'close');
  const deaf = Array.from({ length: 20 }, () => {
    const socket = net.connect(gateway.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET /stream?symbols=DEAF HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.pause();
    return socket;
  });
  const calm = io(gateway.url, { transports: ['websocket'], forceNew: true, reconnection: false });
  await connected(calm);
  const seen = collect(calm, 'trade');
  await ask(calm, 'subscribe', 'CALM');
  await eventually('all of them', async () => (await gateway.metric('gateway_sessions')) === 21);
  const pad = 'x'.repeat(2_000);
  let seq = 0;
  await eventually('only the one that reads is left', async () => {
    for (let burst = 0; burst < 50; burst += 1) await redis.publish('trades', trade('DEAF', (seq += 1), { pad }));
    await redis.publish('trades', trade('CALM', seq));
    return (await gateway.metric('gateway_sessions')) === 1;
  }, 60_000);
  assert.equal(seen.trade.at(-1).seq <= seq && seen.trade.length > 0, true);
  deaf.forEach((socket) => socket.destroy());
  calm.close();
  await gateway.stop();
});

test('more connections than files: those that fit are served, the others are told so', async () => {
  const gateway = await Gateway.start(redis, {}, { files: 400 });
  assert.match(gateway.log, /CONNECTIONS_MAX is above what the limit on open files allows/);
  const sockets = [];
  const answers = [];
  for (let index = 0; index < 300; index += 1) {
    const socket = net.connect(gateway.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    sockets.push(socket);
  }
  for (const socket of sockets.slice(235, 240)) { // beyond those that are served, among those that are told so
    let text = '';
    socket.on('data', (data) => (text += data));
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    answers.push(new Promise((resolve) => socket.on('close', () => resolve(text))));
  }
  const refused = (await Promise.all(answers)).filter((text) => text.startsWith('HTTP/1.1 503') && /retry-after/i.test(text) && text.includes('request_id'));
  assert.ok(refused.length > 0, 'an answer, not a reset');
  sockets.forEach((socket) => socket.destroy());
  await eventually('served again', async () => (await fetch(`${gateway.url}/health`).catch(() => null))?.ok);
  await gateway.stop();
  const none = spawn('bash', ['-c', `ulimit -n 100; exec ${process.env.GATEWAY_BIN}`], { env: { ...gateway.settings }, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  none.stderr.on('data', (text) => (log += text));
  const [code] = await once(none, 'exit');
  assert.ok(code !== 0 && /may open only 100 files/.test(log), log);
});

test("a developer's page on any port of localhost is let in where that is allowed", async () => {
  const gateway = await Gateway.start(redis, { FRONTEND_URL: 'http://localhost:*' });
  for (const [origin, status] of [['http://localhost:4209', 101], ['http://localhost.evil.net', 403], ['http://127.0.0.1:4209', 403]]) {
    const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/ws`, { origin });
    const answered = await Promise.race([once(socket, 'open').then(() => 101), once(socket, 'unexpected-response').then(([, answer]) => answer.statusCode)]);
    assert.equal(answered, status, origin);
    if (status === 101) socket.close();
  }
  await gateway.stop();
});

test('the gateway listens on the address that it is given', async () => {
  const gateway = await Gateway.start(redis, { GATEWAY_HOST: '127.0.0.1' });
  const other = net.connect(gateway.port, '127.0.0.2');
  const [error] = await once(other, 'error');
  assert.equal(error.code, 'ECONNREFUSED');
  await gateway.stop();
  const all = await Gateway.start(redis, {});
  const inside = os.networkInterfaces().lo?.some((address) => address.family === 'IPv6');
  if (inside) assert.equal((await fetch(`http://[::1]:${all.port}/health`)).status, 200);
  await all.stop();
});

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((file) => existsSync(file));

test('behind nginx, under a path prefix, each client counts for itself and nobody chooses its address', { skip: NGINX ? false : 'nginx is not installed (local-stack/scripts/deps.sh --test)' }, async () => {
  const gateway = await Gateway.start(redis, { TRUSTED_PROXIES: '127.0.0.1', CONNECTIONS_PER_ADDRESS_MAX: '3' });
  const folder = mkdtempSync(path.join(os.tmpdir(), 'gateway-nginx-'));
  const port = await freePort();
  const names = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join('\n');
  writeFileSync(path.join(folder, 'nginx.conf'), `
    daemon off; pid ${folder}/pid; error_log stderr error; worker_processes 1;
    events { worker_connections 512; }
    http {
      access_log off; ${names}
      map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
      # Two clients of this test, told apart by a header, in place of two machines.
      map $http_x_test_client $claimed { default $http_x_test_client; '' $remote_addr; }
      server {
        listen 127.0.0.1:${port};
        location /tape/ {
          proxy_pass http://127.0.0.1:${gateway.port}/;
          proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h;
          proxy_set_header Host $host:$server_port;
          proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
          proxy_set_header X-Forwarded-For "$http_x_forwarded_for, $claimed";
        }
      }
    }`);
  try {
    execFileSync(NGINX, ['-t', '-c', path.join(folder, 'nginx.conf'), '-p', folder], { stdio: 'pipe' });
  } catch (error) {
    throw new Error(`nginx does not take its configuration: ${error.stderr}`);
  }
  const nginx = spawn(NGINX, ['-c', path.join(folder, 'nginx.conf'), '-p', folder], { stdio: 'ignore' });
  const outside = `http://127.0.0.1:${port}`;
  try {
    await eventually('nginx answers', async () => (await fetch(`${outside}/tape/health`).catch(() => null))?.ok);
    const from = (client, more = {}) => ({ 'x-test-client': client, ...more });
    const agent = new http.Agent({ keepAlive: true });
    const statuses = async (client, claim) => {
      const all = [];
      for (let index = 0; index < 4; index += 1) {
        const answer = await get(`${outside}/tape${POLLING}`, agent, from(client, claim ? { 'x-forwarded-for': `203.0.113.${index}` } : {}));
        all.push(answer.status);
        if (answer.status !== 200) assertRefused(answer, 429);
      }
      return all;
    };
    assert.deepEqual(await statuses('198.51.100.1'), [200, 200, 200, 429]);
    assert.deepEqual(await statuses('198.51.100.2', true), [200, 200, 200, 429], 'a claimed address does not help');
    const socket = io(outside, { path: '/tape/socket.io/', forceNew: true, reconnection: false, extraHeaders: from('198.51.100.3') });
    await connected(socket);
    await eventually('the WebSocket through nginx', () => socket.io.engine.transport.name === 'websocket');
    const seen = collect(socket, 'trade');
    await ask(socket, 'subscribe', 'PROXY');
    await redis.publish('trades', trade('PROXY', 1));
    await eventually('the trade', () => seen.trade.length === 1);
    const page = new WebSocket(`ws://127.0.0.1:${port}/tape/ws`, { origin: outside, headers: from('198.51.100.4') });
    await once(page, 'open');
    page.close();
    socket.close();
    agent.destroy();
  } finally {
    nginx.kill();
    await once(nginx, 'exit');
    await gateway.stop();
    rmSync(folder, { recursive: true });
  }
});
