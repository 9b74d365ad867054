// Breaks of every kind, and what a client may believe afterwards.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { Gateway, Redis, ask, collect, connected, eventually, trade } from './harness.mjs';

let redis, gateway;
const sockets = [];
before(async () => {
  redis = await Redis.start();
  gateway = await Gateway.start(redis);
});
after(async () => {
  await gateway.stop();
  await redis.stop();
});
afterEach(() => sockets.splice(0).forEach((socket) => socket.close()));
const open = (options) => {
  const socket = io(gateway.url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 50, randomizationFactor: 0, ...options });
  sockets.push(socket);
  return socket;
};

for (const [name, options] of Object.entries({ websocket: { transports: ['websocket'] }, upgrade: {}, polling: { transports: ['polling'] } })) {
  test(`connection state recovery over ${name}: everything missed, in order, once`, async () => {
    const symbol = `REC${name.toUpperCase()}`;
    const socket = open(options);
    await connected(socket);
    const seen = collect(socket, 'trade');
    await ask(socket, 'subscribe', [symbol, 'IDLE']);
    await redis.publish('trades', trade(symbol, 1), trade(symbol, 2));
    await eventually('two', () => seen.trade.length === 2);
    const first = socket.id;
    const gone = once(socket, 'disconnect');
    socket.io.engine.close();
    await gone;
    await redis.publish('trades', ...Array.from({ length: 50 }, (_, index) => trade(symbol, index + 3)));
    await connected(socket);
    assert.equal(socket.recovered, true);
    assert.ok(first && socket.id === first, 'the id stays');
    await redis.publish('trades', trade(symbol, 53));
    await eventually('all of them', () => seen.trade.length >= 53);
    assert.deepEqual(seen.trade.map((one) => one.seq), Array.from({ length: 53 }, (_, index) => index + 1));
  });
}

test('a gateway that was killed cannot recover and says so; the position of the records still tells the gap', async () => {
  const socket = open({ transports: ['websocket'] });
  await connected(socket);
  const seen = collect(socket, 'trade');
  await ask(socket, 'subscribe', 'KILL');
  await redis.publish('trades', trade('KILL', 1));
  await eventually('one', () => seen.trade.length === 1);
  const gone = once(socket, 'disconnect');
  await gateway.stop('SIGKILL');
  await gone;
  await redis.publish('trades', trade('KILL', 2));
  await gateway.up();
  await connected(socket);
  assert.equal(socket.recovered, false);
  const answer = await ask(socket, 'subscribe', { symbols: 'KILL', since: { epoch: 1, seq: 1 } });
  assert.equal(answer.recovered, false);
  await redis.publish('trades', trade('KILL', 3));
  await eventually('the next', () => seen.trade.length === 2);
  assert.deepEqual(seen.trade.map((one) => one.seq), [1, 3]);
});

test('Redis away: sockets stay, clients are told, everything resumes, and nobody claims completeness', async () => {
  const socket = open({ transports: ['websocket'] });
  await connected(socket);
  const drops = [];
  socket.on('disconnect', (reason) => drops.push(reason));
  const seen = collect(socket, 'trade', 'status', 'heartbeat', 'missed');
  await ask(socket, 'subscribe', 'AWAY');
  await redis.publish('trades', trade('AWAY', 1));
  await eventually('one', () => seen.trade.length === 1);
  await redis.down();
  await eventually('told so', () => seen.status.some((status) => status.redis === 'down'));
  await eventually('the heartbeat says so', () => seen.heartbeat.at(-1)?.redis === 'down' && seen.heartbeat.at(-1)?.pipeline === 'down');
  assert.equal((await fetch(`${gateway.url}/health`)).status, 503);
  await redis.up();
  await eventually('told so', () => seen.status.some((status) => status.redis === 'up'));
  assert.equal((await fetch(`${gateway.url}/health`)).status, 200);
  await redis.publish('trades', trade('AWAY', 3));
  await eventually('the next', () => seen.trade.length === 2);
  const [missed] = seen.missed;
  assert.deepEqual([seen.missed.length, missed.stream, missed.epoch, missed.from_seq, missed.to_seq], [1, 'trades', 1, 2, 2], 'the range is declared');
  assert.match(missed.history, /^\/api\/bars\/AWAY\/range\?start=\d+&end=\d+$/);
  assert.deepEqual(drops, []);
  assert.equal((await ask(socket, 'subscribe', { symbols: 'AWAY', since: { epoch: 1, seq: 1 } })).recovered, false);
  const gone = once(socket, 'disconnect');
  socket.io.engine.close();
  await gone;
  await connected(socket);
  assert.equal(socket.recovered, true, 'nothing was missed after the last record');
});

test('a stop tells clients to come back, ends with 0, and a second gateway takes them', async () => {
  const socket = open({ transports: ['websocket'] });
  await connected(socket);
  const seen = collect(socket, 'status');
  const gone = once(socket, 'disconnect');
  const code = await gateway.stop('SIGTERM');
  assert.equal(code, 0);
  const [reason] = await gone;
  assert.equal(reason, 'transport close', 'a reason for which the client connects again');
  assert.equal(seen.status.at(-1).type, 'drain');
  await gateway.up();
  await connected(socket);
});

test('gateways side by side: what one missed to give, the other gives', async () => {
  const second = await Gateway.start(redis);
  const symbol = 'BOTH';
  const one = open({ transports: ['websocket'] });
  await connected(one);
  const seen = collect(one, 'trade');
  await ask(one, 'subscribe', symbol);
  await redis.publish('trades', ...Array.from({ length: 10 }, (_, index) => trade(symbol, index + 1)));
  await eventually('ten', () => seen.trade.length === 10);
  one.close();
  await redis.publish('trades', trade(symbol, 11), trade(symbol, 12));
  const other = io(second.url, { transports: ['websocket'], forceNew: true });
  sockets.push(other);
  await connected(other);
  const more = collect(other, 'trade');
  const answer = await ask(other, 'subscribe', { symbols: [symbol], since: { epoch: 1, seq: 10 } });
  assert.equal(answer.recovered, true);
  await eventually('two', () => more.trade.length === 2);
  assert.deepEqual(more.trade.map((record) => record.seq), [11, 12]);
  await second.stop();
});
