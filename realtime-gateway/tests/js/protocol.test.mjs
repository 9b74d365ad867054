// The cases of the official Engine.IO and Socket.IO protocol test suites that apply to this server, told packet by packet.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { Gateway, Redis, eventually } from './harness.mjs';

let redis, gateway, base;
before(async () => {
  redis = await Redis.start();
  gateway = await Gateway.start(redis, { PING_INTERVAL_S: '1', PING_TIMEOUT_S: '4', HANDSHAKE_MAX_S: '2' });
  base = `${gateway.url}/socket.io/`;
});
after(async () => {
  await gateway.stop();
  await redis.stop();
});

async function websocket(query = 'EIO=4&transport=websocket') {
  const socket = new WebSocket(`${base.replace('http', 'ws')}?${query}`);
  const seen = [];
  socket.on('message', (data) => seen.push(String(data)));
  await once(socket, 'open');
  const next = (start) => eventually(`a packet ${start}`, () => {
    const at = seen.findIndex((text) => text.startsWith(start));
    return at >= 0 && seen.splice(at, 1)[0];
  });
  return { socket, seen, next };
}

async function polling() {
  const answer = await fetch(`${base}?EIO=4&transport=polling`);
  const open = JSON.parse((await answer.text()).slice(1));
  const url = `${base}?EIO=4&transport=polling&sid=${open.sid}`;
  const post = async (body) => fetch(url, { method: 'POST', body });
  const poll = async () => (await fetch(url)).text();
  const seen = [];
  const pollFor = async (start) => {
    for (;;) {
      const at = seen.findIndex((packet) => packet.startsWith(start));
      if (at >= 0) return seen.splice(at, 1)[0];
      const answer = await fetch(url);
      assert.equal(answer.status, 200, 'the session is there');
      const packets = (await answer.text()).split('\x1e');
      if (packets.includes('2')) await post('3');
      seen.push(...packets);
    }
  };
  return { open, url, post, poll, pollFor };
}

test('handshakes', async () => {
  const { open } = await polling();
  assert.deepEqual([open.upgrades, open.pingInterval, open.pingTimeout, typeof open.sid, open.maxPayload], [['websocket'], 1000, 4000, 'string', 100000]);
  const { next, socket } = await websocket();
  const direct = JSON.parse((await next('0')).slice(1));
  assert.deepEqual([direct.upgrades, direct.pingInterval, direct.pingTimeout], [[], 1000, 4000]);
  socket.close();
  for (const query of ['', '?transport=websocket', '?EIO=abc&transport=polling', '?EIO=4', '?EIO=4&transport=abc', '?EIO=4&transport=polling&sid=abc']) {
    assert.equal((await fetch(base + query)).status, 400, query);
  }
});

test('polling: packets in both directions, pings, and the end of the session', async () => {
  const { post, pollFor, url, poll } = await polling();
  assert.equal(await (await post('40')).text(), 'ok');
  assert.match(await pollFor('40'), /^40\{"sid":"[^"]+","pid":"[^"]+"\}$/);
  await post('421["subscribe","AAPL"]\x1e422["unsubscribe","AAPL"]');
  assert.match(await pollFor('431'), /"subscribed":\["AAPL"\]/);
  assert.equal(await pollFor('2'), '2');
  await Promise.all([poll(), fetch(url)]); // two at once end the session
  await eventually('the session is over', async () => (await fetch(url)).status === 400);
});

test('a move to a WebSocket that fails leaves the polling as it was', async () => {
  const { open, post, pollFor } = await polling();
  await post('40');
  await pollFor('40');
  const query = `EIO=4&transport=websocket&sid=${open.sid}`;
  for (const packets of [['2wrong'], ['5'], ['2probe', '4'], ['2probe', 'x'.repeat(10_000)]]) {
    const { socket } = await websocket(query);
    const closed = once(socket, 'close');
    packets.forEach((packet) => socket.send(packet));
    await closed;
  }
  const left = await websocket(query);
  left.socket.send('2probe');
  await left.next('3probe');
  left.socket.terminate();
  await post('421["subscribe","STAYS"]');
  assert.match(await pollFor('431'), /"ok":true/);
  assert.equal((await fetch(`${base}?${query}x`)).status, 400);
});

test('two moves at once: one goes through, the other is turned away', async () => {
  const { open, post, pollFor } = await polling();
  await post('40');
  await pollFor('40');
  const query = `EIO=4&transport=websocket&sid=${open.sid}`;
  const both = await Promise.all([websocket(query), websocket(query)]);
  both.forEach(({ socket }) => socket.send('2probe'));
  await Promise.all(both.map(({ next }) => next('3probe')));
  const closed = Promise.race(both.map(({ socket }) => once(socket, 'close')));
  both.forEach(({ socket }) => socket.send('5'));
  await closed;
  const [winner] = both.filter(({ socket }) => socket.readyState === WebSocket.OPEN);
  winner.socket.send('421["subscribe","WON"]');
  await winner.next('431');
  winner.socket.close();
});

test('a client may say much at once; one that floods is cut and told why, on both transports', async () => {
  const { socket, next } = await websocket();
  const closed = once(socket, 'close');
  socket.send('40');
  for (let count = 0; count < 900; count += 1) socket.send('42["unsubscribe","X"]');
  socket.send('427["unsubscribe","X"]');
  await next('437'); // all within ten seconds' worth of messages
  for (let count = 0; count < 1_000; count += 1) socket.send('42["unsubscribe","X"]');
  const [code, reason] = await closed;
  assert.deepEqual([code, String(reason)], [1008, 'too many messages; subscribe with a list of symbols']);
  const { post, url } = await polling();
  await post(['40', ...Array(1_100).fill('42["unsubscribe","X"]')].join('\x1e'));
  await eventually('the session is over', async () => (await fetch(url)).status === 400);
  assert.ok((await gateway.metric('gateway_cut_total{reason="message_rate"}')) >= 2);
});

test('a client that does not answer pings is dropped, on both transports', async () => {
  const { next, socket } = await websocket();
  socket.send('40');
  await next('40');
  await next('2');
  await once(socket, 'close');
  const { url, post } = await polling();
  await post('40');
  await eventually('the session is over', async () => (await fetch(url)).status === 400);
});

test('a client that answers pings stays', async () => {
  const { next, socket } = await websocket();
  socket.send('40');
  for (let ping = 0; ping < 4; ping += 1) {
    await next('2');
    socket.send('3');
  }
  assert.equal(socket.readyState, WebSocket.OPEN);
  socket.send('1');
  await once(socket, 'close');
});

test('an upgrade keeps the session and ends the poll', async () => {
  const { open, post, pollFor, url } = await polling();
  await post('40');
  await pollFor('40');
  const { socket, next } = await websocket(`EIO=4&transport=websocket&sid=${open.sid}`);
  const waiting = fetch(url);
  socket.send('2probe');
  assert.equal(await next('3probe'), '3probe');
  const last = (await (await waiting).text()).split('\x1e');
  assert.ok(last.some((packet) => packet === '6' || packet.startsWith('4')), `${last}`);
  socket.send('5');
  socket.send('423["subscribe","UP"]');
  assert.match(await next('433'), /"subscribed":\["UP"\]/);
  assert.equal((await fetch(url)).status, 400);
  socket.close();
});

test('namespaces: only the main one, and only once connected', async () => {
  const { socket, next } = await websocket();
  socket.send('40/nothing,');
  assert.equal(await next('44'), '44/nothing,{"message":"Invalid namespace"}');
  socket.send('40{"token":5}');
  await next('40');
  socket.send('429["subscribe",["A"]]');
  await next('439');
  socket.send('41');
  socket.send('40');
  await next('40');
  socket.send('4210["unsubscribe","B"]');
  assert.match(await next('4310'), /"symbols":\[\]/, 'a goodbye forgets the subscriptions');
  socket.close();
});

test('clients of other languages get no marks, which their handlers would choke on, unless they ask', async () => {
  const received = async (query, connect, options) => {
    const socket = new WebSocket(`${base.replace('http', 'ws')}?EIO=4&transport=websocket${query}`, options);
    const seen = [];
    socket.on('message', (data) => seen.push(String(data)));
    await once(socket, 'open');
    socket.send(connect);
    socket.send('421["subscribe","MARK"]');
    await eventually('the answer', () => seen.some((text) => text.startsWith('431')));
    await redis.publish('trades', '{"symbol":"MARK"}');
    const event = await eventually('the event', () => seen.find((text) => text.startsWith('42["trade"')));
    socket.close();
    return [seen.some((text) => text.includes('"pid"')), event.replace(/"\d+"/, 'N')];
  };
  const marked = [true, '42["trade",{"symbol":"MARK"},N]'];
  const bare = [false, '42["trade",{"symbol":"MARK"}]'];
  assert.deepEqual(await received('', '40'), marked, 'the JavaScript client');
  assert.deepEqual(await received('', '40{}'), bare, 'python-socketio');
  assert.deepEqual(await received('', '40', { perMessageDeflate: false }), bare, 'a bare WebSocket');
  assert.deepEqual(await received('', '40', { headers: { 'user-agent': 'Dart/3.5 (dart:io)' } }), bare);
  assert.deepEqual(await received('&recovery=0', '40'), bare);
  assert.deepEqual(await received('&recovery=1', '40{}'), marked);
});

test('binary attachments are swallowed together with their event', async () => {
  const { socket, next } = await websocket();
  socket.send('40');
  await next('40');
  socket.send('452-7["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
  socket.send(Buffer.from([1, 2, 3]));
  socket.send(Buffer.from([4, 5, 6]));
  assert.match(await next('437'), /unknown event/);
  socket.send('428["subscribe","A"]');
  await next('438');
  socket.close();
});

test('a breach ends the connection', async () => {
  const breaches = [['4abc'], ['42["x"'], ['42{}'], ['40', '42abc'], ['42["subscribe","A"]'], ['40', Buffer.from([1])], ['40', '451-["x",{"_placeholder":true,"num":0}]', '42["x"]'], ['8'], ['2probe']];
  for (const packets of breaches) {
    const { socket } = await websocket();
    for (const packet of packets) socket.send(packet);
    await once(socket, 'close');
    const { post, url } = await polling();
    if (packets.every((packet) => typeof packet === 'string')) {
      await post(packets.join('\x1e'));
      await eventually(`the session is over after ${packets}`, async () => (await fetch(url)).status === 400);
    }
  }
});

test('a client that never enters is shown the door', async () => {
  const { socket } = await websocket();
  const start = Date.now();
  await once(socket, 'close');
  assert.ok(Date.now() - start < 6000);
});
