// A client that does not read: conflated, told, cut, and nobody else notices.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { Gateway, Redis, ask, connected, eventually, trade } from './harness.mjs';

let redis, gateway, patient;
before(async () => {
  redis = await Redis.start();
  gateway = await Gateway.start(redis, { SLOW_CLIENT_CUT_S: '2', CLIENT_BUFFER_KB: '64' });
  // However slow this machine is: a client that is to come back is not cut before.
  patient = await Gateway.start(redis, { SLOW_CLIENT_CUT_S: '120', CLIENT_BUFFER_KB: '64' });
});
after(async () => {
  await gateway.stop();
  await patient.stop();
  await redis.stop();
});

/** A Socket.IO client on a bare TCP connection, which reads only when told to. */
function stalled(subscription, to = gateway) {
  const socket = net.connect(to.port, '127.0.0.1');
  const frame = (text) => {
    const body = Buffer.from(text);
    const head = body.length < 126 ? Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]) : Buffer.from([0x81, 0xfe, body.length >> 8, body.length & 255, 0, 0, 0, 0]);
    return Buffer.concat([head, body]);
  };
  socket.write(`GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.from('0123456789abcdef').toString('base64')}\r\n\r\n`);
  const client = { socket, text: '', closed: false };
  socket.on('data', (data) => (client.text += data.toString('latin1')));
  socket.on('close', () => (client.closed = true));
  socket.on('error', () => {});
  client.subscribe = async () => {
    await eventually('the handshake', () => client.text.includes('pingInterval'));
    socket.write(Buffer.concat([frame('40'), frame(`420["subscribe",${JSON.stringify(subscription)}]`)]));
    await eventually('the acknowledgement', () => client.text.includes('430['));
  };
  return client;
}

/** Publishes trades of half a kilobyte, some at a time, and waits for `taken` in between. */
async function flood(symbol, count, taken = async () => {}) {
  for (let seq = 1; seq <= count; seq += 100) {
    await redis.publish('trades', ...Array.from({ length: 100 }, (_, more) => trade(symbol, seq + more, { padding: 'x'.repeat(400) })));
    await taken(seq + 99);
  }
}

test('a client that stalls and comes back is told what it missed and has the newest', async () => {
  const slow = stalled(['SLOW', 'CALM'], patient);
  const fast = io(patient.url, { transports: ['websocket'], forceNew: true });
  await connected(fast);
  const seqs = [];
  fast.on('trade', (record) => seqs.push(record.seq));
  await ask(fast, 'subscribe', 'SLOW');
  await slow.subscribe();
  slow.socket.pause();
  await redis.publish('trades', trade('CALM', 1));
  await flood('SLOW', 10_000, (seq) => eventually(`the fast client has ${seq}`, () => seqs.length >= seq));
  await redis.publish('bars', { symbol: 'SLOW', kept: 1 }, { symbol: 'SLOW', kept: 2 });
  assert.ok(seqs.every((seq, index) => seq === index + 1), 'the fast client noticed nothing');
  slow.socket.resume();
  await eventually('the end', () => slow.text.includes('"seq":10000'));
  const [, missed] = slow.text.match(/42\["lagged",\{"missed":(\d+)/);
  const got = new Set([...slow.text.matchAll(/"symbol":"SLOW","price":[^}]*"seq":(\d+)/g)].map((match) => Number(match[1])));
  assert.equal(got.size + Number(missed), 10_000, 'what did not come was counted');
  assert.ok(slow.text.includes('"kept":1') && slow.text.includes('"kept":2'), 'bars are never left out');
  assert.ok(slow.text.includes('"symbol":"CALM"'));
  assert.equal(slow.closed, false);
  slow.socket.destroy();
  fast.close();
});

test('a client without progress is cut, one that wants all or nothing is cut at once', async () => {
  const before = await gateway.metric('gateway_cut_total{reason="stalled"}');
  const dead = stalled('DEAD');
  const strict = stalled({ symbols: ['DEAD'], lossless: true });
  await Promise.all([dead.subscribe(), strict.subscribe()]);
  dead.socket.pause();
  strict.socket.pause();
  await flood('DEAD', 10_000);
  await eventually('the strict one is cut', async () => (await gateway.metric('gateway_cut_total{reason="lossless"}')) >= 1);
  await eventually('the dead one is cut', async () => (await gateway.metric('gateway_cut_total{reason="stalled"}')) > before, 8_000);
  await eventually('both are gone', async () => (await gateway.metric('gateway_clients')) === 0);
  dead.socket.destroy();
  strict.socket.destroy();
});

test('a slow poller is conflated by the same rules', async () => {
  const socket = io(gateway.url, { transports: ['polling'], forceNew: true, reconnection: false });
  await connected(socket);
  const seqs = [];
  let missed = 0;
  socket.on('trade', (record) => seqs.push(record.seq));
  socket.on('lagged', (lag) => (missed += lag.missed));
  await ask(socket, 'subscribe', 'POLL');
  await flood('POLL', 10_000);
  await eventually('the newest', () => seqs.at(-1) === 10_000);
  assert.equal(seqs.length + missed, 10_000);
  assert.ok(seqs.every((seq, index) => index === 0 || seq > seqs[index - 1]));
  socket.close();
});
