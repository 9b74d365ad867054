// Every version of the stock client over every transport.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { io as v4 } from 'socket.io-client';
import { createRequire } from 'node:module';
import parser from 'socket.io-msgpack-parser';
import { Gateway, Redis, ask, collect, connected, eventually, trade } from './harness.mjs';

const require = createRequire(import.meta.url);
const v3 = require('socket.io-client-v3').io;
const v2 = require('socket.io-client-v2');

const transports = {
  websocket: { transports: ['websocket'] },
  polling: { transports: ['polling'], upgrade: false },
  upgrade: {},
};
const clients = { v4: [v4, {}], 'v4 with msgpack': [v4, { parser }], v3: [v3, {}], v2: [v2, {}] };

let redis, gateway;
before(async () => {
  redis = await Redis.start();
  gateway = await Gateway.start(redis);
});
after(async () => {
  await gateway.stop();
  await redis.stop();
});

for (const [version, [io, more]] of Object.entries(clients)) {
  for (const [name, options] of Object.entries(transports)) {
    describe(`${version} over ${name}`, () => {
      const open = () => io(gateway.url, { ...options, ...more, forceNew: true, reconnection: false });

      test('subscribe, receive unchanged and in order, unsubscribe', async () => {
        const socket = open();
        await connected(socket);
        if (name === 'upgrade') {
          const engine = socket.io.engine;
          await eventually('the upgrade', () => engine.transport.name === 'websocket');
        }
        const symbol = `S${Math.random().toString(36).slice(2, 10).toUpperCase()}`;
        const seen = collect(socket, 'trade', 'bar', 'heartbeat');
        const answer = await ask(socket, 'subscribe', symbol);
        assert.deepEqual(answer, { ok: true, subscribed: [symbol], rejected: [], symbols: [symbol] });
        const trades = Array.from({ length: 300 }, (_, index) => trade(symbol, index + 1, { ['new "field"']: { deep: [1, null, 'ü'] } }));
        await redis.publish('trades', ...trades);
        await redis.publish('bars', { symbol, timeframe: '1Min', open: 1 });
        await redis.publish('trades', trade('OTHER', 1));
        await eventually('all trades', () => seen.trade.length >= 300 && seen.bar.length >= 1);
        assert.deepEqual(seen.trade, trades);
        assert.deepEqual(seen.bar, [{ symbol, timeframe: '1Min', open: 1 }]);
        const [beat] = await eventually('a heartbeat', () => seen.heartbeat.length && seen.heartbeat);
        assert.equal(beat.redis, 'up');
        assert.ok(['open', 'pre', 'post', 'closed'].includes(beat.market) && Math.abs(beat.time - Date.now()) < 5000);
        const gone = await ask(socket, 'unsubscribe', [symbol]);
        assert.deepEqual(gone, { ok: true, unsubscribed: [symbol], rejected: [], symbols: [] });
        const other = await ask(socket, 'subscribe', { symbols: ['MARK'] });
        assert.deepEqual(other.symbols, ['MARK']);
        await redis.publish('trades', trade(symbol, 301), trade('MARK', 1));
        await eventually('the mark', () => seen.trade.some((one) => one.symbol === 'MARK'));
        assert.equal(seen.trade.filter((one) => one.symbol === symbol).length, 300, 'nothing after the unsubscribe');
        socket.close();
      });

      test('a subscribe sent at once with the connect is never lost', async () => {
        const count = name === 'polling' ? 40 : 100;
        const symbol = `R${Math.random().toString(36).slice(2, 10).toUpperCase()}`;
        const sockets = [];
        let acknowledged = 0;
        for (let index = 0; index < count; index += 1) {
          const socket = open();
          socket.emit('subscribe', symbol, () => (acknowledged += 1)); // buffered until the connect
          sockets.push([socket, collect(socket, 'trade')]);
        }
        await eventually('all acknowledged', () => acknowledged === count, 30_000);
        await redis.publish('trades', trade(symbol, 1));
        await eventually('all got it', () => sockets.every(([, seen]) => seen.trade.length === 1));
        for (const [socket] of sockets) socket.close();
      });
    });
  }
}

test('subscribe and unsubscribe keep their order, however fast they come', async () => {
  for (const options of Object.values(transports)) {
    const socket = v4(gateway.url, { ...options, forceNew: true });
    await connected(socket);
    for (let round = 0; round < 60; round += 1) {
      socket.emit('subscribe', 'FLIP');
      socket.emit('unsubscribe', 'FLIP');
      socket.emit('subscribe', ['A', 'B']);
      socket.emit('unsubscribe', 'A');
      const { symbols } = await ask(socket, 'unsubscribe', 'NOTHING');
      assert.deepEqual(symbols, ['B']);
    }
    socket.close();
  }
});

test('across the move from polling to a WebSocket each trade comes once, in order', async () => {
  const symbol = 'MOVE';
  const sockets = Array.from({ length: 30 }, () => {
    const socket = v4(gateway.url, { forceNew: true, reconnection: false });
    socket.emit('subscribe', symbol);
    return [socket, collect(socket, 'trade')];
  });
  let seq = 0;
  const moved = () => sockets.every(([socket]) => socket.io.engine.transport?.name === 'websocket');
  while (!moved() || seq < 3_000) {
    await redis.publish('trades', ...Array.from({ length: 50 }, () => trade(symbol, (seq += 1), { padding: 'x'.repeat(300) })));
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.ok(seq < 100_000, 'every client moves');
  }
  await eventually('the newest', () => sockets.every(([, seen]) => seen.trade.at(-1)?.seq === seq));
  for (const [socket, { trade: trades }] of sockets) {
    const odd = trades.findIndex((one, index) => one.seq !== trades[0].seq + index);
    assert.equal(odd, -1, `a hole or a double: ${trades.slice(odd - 2, odd + 3).map((one) => one.seq)}`);
    socket.close();
  }
});

test('the clients of three versions hear of a wrong namespace', async () => {
  for (const [io, more] of [[v4, {}], [v3, {}], [v2, {}]]) {
    const socket = io(`${gateway.url}/other`, { transports: ['websocket'], forceNew: true, reconnection: false, ...more });
    const error = await new Promise((resolve) => {
      socket.on('connect_error', resolve);
      socket.on('error', resolve);
    });
    assert.match(String(error.message ?? error), /Invalid namespace/);
    socket.close();
  }
});
