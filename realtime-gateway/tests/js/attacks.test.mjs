// Clients that mean harm, bounded but real, with a healthy one beside them that must get everything.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { io } from 'socket.io-client';
import WebSocket from 'ws';
import { Gateway, Redis, ask, collect, connected, eventually, trade } from './harness.mjs';

const MEGABYTE = 1 << 20;
let redis, gateway;
const open = [];
before(async () => {
  redis = await Redis.start();
  gateway = await Gateway.start(redis, { MAX_SYMBOLS_PER_CLIENT: '2000', CONNECTIONS_PER_ADDRESS_MAX: '200', CONNECTS_PER_ADDRESS_RATE: '5000' });
});
after(async () => {
  await gateway.stop();
  await redis.stop();
});
afterEach(() => open.splice(0).forEach((close) => close()));

const memory = () => Number(readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) * 1024;

/** A masked WebSocket frame. */
function frame(first, text = '') {
  const body = Buffer.from(text);
  const head = body.length < 126 ? [first, 0x80 | body.length] : [first, 0xfe, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), body]);
}

/** A WebSocket on a bare TCP connection. Reads only until `pause()`. */
async function bare(path) {
  const socket = net.connect(gateway.port, '127.0.0.1');
  const client = { socket, text: '', closed: false };
  socket.on('data', (data) => (client.text += data.toString('latin1')));
  socket.on('close', () => (client.closed = true));
  socket.on('error', () => {});
  open.push(() => socket.destroy());
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.from('0123456789abcdef').toString('base64')}\r\n\r\n`);
  await eventually('the handshake', () => client.text.includes('\r\n\r\n'));
  return client;
}

/** A bare Socket.IO client that is in. */
async function bareSocketIo() {
  const client = await bare('/socket.io/?EIO=4&transport=websocket');
  client.socket.write(frame(0x81, '40'));
  await eventually('the connect', () => client.text.includes('40{"sid"'));
  return client;
}

/** A healthy client at 20 trades a second; `done` asserts that it got all of them in order. */
async function healthy(symbol) {
  const socket = io(gateway.url, { transports: ['websocket'], forceNew: true, reconnection: false });
  open.push(() => socket.close());
  await connected(socket);
  const seqs = [];
  socket.on('trade', (record) => seqs.push(record.seq));
  await ask(socket, 'subscribe', symbol);
  let published = 0;
  const timer = setInterval(() => redis.publish('trades', trade(symbol, ++published)).catch(() => {}), 50);
  open.push(() => clearInterval(timer));
  return {
    get count() { return seqs.length; },
    async done() {
      clearInterval(timer);
      await eventually('the healthy client has everything', () => seqs.length >= published, 20_000);
      assert.deepEqual(seqs, Array.from({ length: published }, (_, index) => index + 1));
      assert.equal(socket.connected, true);
    },
  };
}

test('replays are asked for again and again by a client that does not read', async () => {
  const records = Array.from({ length: 20_000 }, (_, index) => trade('BIG0', index + 1));
  for (let start = 0; start < records.length; start += 2_000) await redis.publish('trades', ...records.slice(start, start + 2_000));
  const other = await healthy('CALM1');
  const before = memory();
  const greedy = await bareSocketIo();
  greedy.socket.pause();
  for (let round = 0; round < 100; round += 1) {
    greedy.socket.write(frame(0x81, `42${round}["subscribe",{"symbols":["BIG0"],"since":{"BIG0":{"epoch":1,"seq":1}}}]`));
  }
  let most = 0;
  const from = other.count;
  await eventually('60 more trades for the healthy client', () => {
    most = Math.max(most, memory());
    return other.count > from + 60;
  }, 30_000);
  assert.ok(most - before < 60 * MEGABYTE, `grew by ${((most - before) / MEGABYTE).toFixed(1)} MB`);
  greedy.socket.resume();
  await eventually('the answers', () => greedy.text.includes('4399['), 30_000);
  const promised = [...greedy.text.matchAll(/43\d+\[\{[^[]*?"ok":true.*?"recovered":(true|false)/g)].map((match) => match[1]);
  assert.equal(promised.length, 100);
  assert.equal(promised[0], 'true');
  assert.ok(promised.filter((one) => one === 'false').length > 50, 'while one replay waits, a snapshot is what comes');
  await eventually('the end of the replay', () => greedy.text.includes('"seq":20000'), 30_000);
  await other.done();
});

test('sixty clients subscribe to a thousand symbols again and again', async () => {
  const other = await healthy('CALM2');
  const before = memory();
  const symbols = JSON.stringify(Array.from({ length: 1_000 }, (_, index) => `W${index}`));
  const clients = await Promise.all(Array.from({ length: 60 }, bareSocketIo));
  for (const client of clients) {
    client.answers = 0;
    client.socket.on('data', (data) => {
      client.answers += data.toString('latin1').split('"ok":true').length - 1;
      client.text = client.text.slice(-2_000);
    });
    for (let round = 0; round < 3; round += 1) client.socket.write(frame(0x81, `42${round}["subscribe",${symbols}]`));
  }
  await eventually('each has its answers', () => clients.every((client) => client.answers >= 3), 60_000);
  assert.ok(memory() - before < 100 * MEGABYTE, `grew by ${((memory() - before) / MEGABYTE).toFixed(1)} MB`);
  const [endless] = clients;
  for (let round = 0; round < 40; round += 1) endless.socket.write(frame(0x81, `42["subscribe",${symbols}]`));
  await eventually('one that goes on is cut', () => endless.closed, 30_000);
  assert.equal(await gateway.metric('gateway_cut_total{reason="message_rate"}'), 1);
  await other.done();
});

test('frames that say nothing are counted like any other', async () => {
  const other = await healthy('CALM3');
  for (const [first, rest] of [[0x01, 0x00], [0x8a, 0x8a], [0x89, 0x89]]) {
    for (const path of ['/ws', '/socket.io/?EIO=4&transport=websocket']) {
      const client = await bare(path);
      client.socket.write(frame(first));
      client.socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => frame(rest))));
      await eventually(`${path} with ${rest} is cut`, () => client.closed, 20_000);
      assert.ok(client.text.includes('\x03\xf0too many messages'), 'with 1008 and the reason');
    }
  }
  await other.done();
});

/** Engine.IO handshakes that poll, all on one connection from an address of its own; answers the status codes. */
async function handshakes(version, count) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  open.push(() => agent.destroy());
  const one = () => new Promise((resolve, reject) => {
    const path = `/socket.io/?EIO=${version}&transport=polling`;
    http.get({ host: '127.0.0.1', port: gateway.port, path, agent, localAddress: `127.0.0.${version}` }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    }).on('error', reject);
  });
  const codes = [];
  for (let round = 0; round < count; round += 1) codes.push(await one());
  return codes;
}

for (const version of [3, 4]) {
  test(`handshakes of Engine.IO ${version} on one connection need a place each`, async () => {
    const codes = await handshakes(version, 300);
    const taken = codes.filter((code) => code === 200).length;
    assert.ok(taken > 100 && taken <= 200, `${taken} sessions of one address`);
    assert.ok([503, 429].includes(codes.at(-1)), `${codes.at(-1)}`);
  });
}

test('idle subscriptions with a rate are not visited', async () => {
  const other = await healthy('CALM4');
  const clients = await Promise.all(Array.from({ length: 20 }, bareSocketIo));
  const symbols = JSON.stringify(Array.from({ length: 1_000 }, (_, index) => `G${index}`));
  for (const client of clients) {
    client.socket.write(frame(0x81, `421["subscribe",{"symbols":${symbols},"maxRate":1}]`));
    await eventually('the acknowledgement', () => client.text.includes('431['));
  }
  assert.equal(await gateway.metric('gateway_gates_waiting'), 0);
  await redis.publish('trades', trade('G7', 1), trade('G7', 2), trade('G7', 3));
  await eventually('the newest has its turn', () => clients.every((client) => client.text.includes('"symbol":"G7","price":100.03')));
  await other.done();
});

for (const path of ['/ws', '/socket.io/?EIO=4&transport=websocket']) {
  test(`a close on ${path} is answered`, async () => {
    for (const code of [1000, 4321]) {
      const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`);
      await new Promise((resolve) => socket.once('open', resolve));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.close(code);
      assert.equal(await closed, code);
    }
  });
}

test('what is not done is reported where nobody waits for an acknowledgement', async () => {
  const socket = io(gateway.url, { transports: ['websocket'], forceNew: true });
  open.push(() => socket.close());
  await connected(socket);
  const seen = collect(socket, 'error');
  const last = async (code) => (await eventually(code, () => seen.error.find((one) => one.code === code)));
  socket.emit('subscrbe', 'AAPL');
  assert.match((await last('unknown_event')).error, /`subscrbe`.*subscribe, unsubscribe and token/);
  socket.emit('subscribe', { symbols: 'AAPL', maxrate: 5 });
  assert.match((await last('bad_request')).error, /did you mean `maxRate`\?/);
  socket.emit('subscribe', ['AAPL', '$$$']);
  assert.deepEqual((await last('symbols_rejected')).rejected.map((one) => one.symbol), ['$$$']);
  const answer = await ask(socket, 'subscribe', 'aapl');
  assert.deepEqual([answer.subscribed, answer.normalized], [['AAPL'], { aapl: 'AAPL' }]);
  assert.equal((await ask(socket, 'subscribe', { symbols: 'A', maxrate: 1 })).code, 'bad_request');
});

test('a client that comes back before its break was noticed takes its session over', async () => {
  const proxy = net.createServer((near) => {
    const far = net.connect(gateway.port, '127.0.0.1');
    near.pipe(far).pipe(near);
    for (const end of [near, far]) end.on('error', () => {});
    // A network that is gone: neither end hears of it.
    proxy.cut = () => { near.unpipe(far); far.unpipe(near); near.pause(); far.pause(); near.destroy(); };
    open.push(() => far.destroy());
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  open.push(() => proxy.close());
  const socket = io(`http://127.0.0.1:${proxy.address().port}`, { transports: ['websocket'], forceNew: true, reconnectionDelay: 20, randomizationFactor: 0 });
  open.push(() => socket.close());
  await connected(socket);
  const seen = collect(socket, 'trade');
  await ask(socket, 'subscribe', 'HALF');
  for (let round = 1; round <= 3; round += 1) {
    await redis.publish('trades', trade('HALF', seen.trade.length + 1));
    await eventually('it', () => seen.trade.length % 2 === 1);
    const id = socket.id;
    const lost = new Promise((resolve) => socket.once('disconnect', resolve));
    proxy.cut();
    await lost;
    await redis.publish('trades', trade('HALF', seen.trade.length + 1));
    await connected(socket);
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
    await eventually('what was missed', () => seen.trade.length === round * 2);
  }
  assert.deepEqual(seen.trade.map((one) => one.seq), [1, 2, 3, 4, 5, 6]);
  await eventually('the old connections are ended', async () => (await gateway.metric('gateway_cut_total{reason="replaced"}')) >= 3);
});
