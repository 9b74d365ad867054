// What a subscription promises, seen by the stock client.
import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { Gateway, Redis, ask, collect, connected, eventually, trade } from './harness.mjs';

let redis, gateway, socket;
before(async () => {
  redis = await Redis.start();
  gateway = await Gateway.start(redis, { MAX_SYMBOLS_PER_CLIENT: '50' });
});
after(async () => {
  await gateway.stop();
  await redis.stop();
});
const open = (options = {}) => io(gateway.url, { transports: ['websocket'], forceNew: true, reconnection: false, ...options });
beforeEach(async () => {
  socket = open();
  await connected(socket);
});
afterEach(() => socket.close());

test('payloads reach the client byte for byte', async () => {
  const payloads = [
    '{"symbol":"RAW"}',
    ' { "z" : 1.50 , "symbol":"RAW","big":123456789012345678901234567890,"e":1E+2,"u":"\\u00fc\\/ü\u2028","nested":{"symbol":"NO"} } ',
    '{"symbol":"NO","symbol":"RAW","__proto__":{"x":1}}',
  ];
  const raw = new WebSocket(`${gateway.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  const frames = [];
  raw.on('message', (data) => frames.push(String(data)));
  await eventually('the open packet', () => frames.some((frame) => frame.startsWith('0')));
  raw.send('40');
  raw.send('420["subscribe",{"symbols":["RAW"],"streams":["trades","bars","quotes"]}]');
  await eventually('the acknowledgement', () => frames.some((frame) => frame.startsWith('430')));
  for (const stream of ['trades', 'bars', 'quotes', 'status']) await redis.publish(stream, ...payloads);
  const events = ['trade', 'bar', 'quote', 'status'].flatMap((name) => payloads.map((payload) => `42["${name}",${payload},"`));
  await eventually('all of them', () => events.every((start) => frames.some((frame) => frame.startsWith(start) && /^\d+"\]$/.test(frame.slice(start.length)))));
  raw.close();
});

test('what is not valid JSON or has no symbol is never forwarded', async () => {
  const seen = collect(socket, 'trade');
  const errors = [];
  socket.io.engine.on('close', (reason) => errors.push(reason));
  await ask(socket, 'subscribe', ['BAD', 'GOOD']);
  const before = await gateway.metric('gateway_records_refused_total{reason="not_json"}');
  const bad = ['{"symbol":"BAD"', '{"symbol":"BAD"}]', '{"symbol":"BAD","x":NaN}', '{"symbol":"BAD","x":"\n"}', '"BAD"', '', 'BAD', '{"symbol":"BAD"},"x"', '{"nosymbol":1}', '{"symbol":7}'];
  await redis.publish('trades', ...bad, trade('GOOD', 1));
  await eventually('the good one', () => seen.trade.length > 0);
  assert.deepEqual(seen.trade, [trade('GOOD', 1)]);
  assert.deepEqual(errors, []);
  assert.equal(await gateway.metric('gateway_records_refused_total{reason="not_json"}'), before + 8);
});

test('the 51st symbol is refused and the rest keep flowing', async () => {
  const symbols = Array.from({ length: 51 }, (_, index) => `L${index}`);
  const seen = collect(socket, 'trade');
  const answer = await ask(socket, 'subscribe', symbols);
  assert.equal(answer.ok, false);
  assert.equal(answer.subscribed.length, 50);
  assert.deepEqual(answer.rejected.map((one) => one.symbol), ['L50']);
  assert.match(answer.rejected[0].reason, /50 symbols/);
  await redis.publish('trades', trade('L50', 1), trade('L0', 1), trade('L49', 1));
  await eventually('the two', () => seen.trade.length === 2);
  assert.deepEqual(seen.trade.map((one) => one.symbol), ['L0', 'L49']);
  await ask(socket, 'unsubscribe', 'L0');
  assert.equal((await ask(socket, 'subscribe', 'L50')).ok, true);
});

test('requests that make no sense are answered with a sentence', async () => {
  for (const wrong of [5, null, {}, { symbols: 'A', streams: ['news'] }, { symbols: 'A', maxRate: -1 }]) {
    const answer = await ask(socket, 'subscribe', wrong);
    assert.equal(answer.ok, false);
    assert.ok(answer.error.length > 10, JSON.stringify(answer));
  }
  const mixed = await ask(socket, 'subscribe', ['GOOD', '', 7]);
  assert.deepEqual([mixed.ok, mixed.subscribed, mixed.rejected.length], [false, ['GOOD'], 2]);
  assert.match((await ask(socket, 'dance', 1)).error, /unknown event/);
});

test('streams are chosen, and maxRate lets the newest win', async () => {
  const seen = collect(socket, 'trade', 'bar', 'quote');
  await ask(socket, 'subscribe', { symbols: ['Q'], streams: ['quotes'] });
  await ask(socket, 'subscribe', { symbols: 'SLOW', streams: ['trades', 'bars'], maxRate: 2 });
  await redis.publish('trades', trade('Q', 1));
  await redis.publish('bars', { symbol: 'Q' }, { symbol: 'SLOW', n: 1 }, { symbol: 'SLOW', n: 2 });
  await redis.publish('quotes', { symbol: 'Q', bid: 1 });
  await redis.publish('trades', ...Array.from({ length: 200 }, (_, index) => trade('SLOW', index + 1)));
  await eventually('the newest', () => seen.trade.some((one) => one.seq === 200));
  assert.deepEqual(seen.quote, [{ symbol: 'Q', bid: 1 }]);
  assert.deepEqual(seen.bar.map((bar) => bar.n), [1, 2], 'bars are not slowed');
  assert.ok(seen.trade.length <= 3 && seen.trade[0].seq === 1, `${seen.trade.map((one) => one.seq)}`);
});

test('a snapshot comes first, then the live stream, without hole or double', async () => {
  await redis.publish('quotes', { symbol: 'SNAP', bid: 9, epoch: 1, seq: 4 });
  const feeder = (async () => {
    for (let seq = 1; seq <= 3000; seq += 10) await redis.publish('trades', ...Array.from({ length: 10 }, (_, more) => trade('SNAP', seq + more)));
  })();
  const joined = [];
  for (let client = 0; client < 10; client += 1) {
    const one = open();
    const events = [];
    one.on('snapshot', (snapshot) => events.push(snapshot.position.trades?.seq ?? 0));
    one.on('trade', (record) => events.push(record.seq));
    one.emit('subscribe', 'SNAP');
    joined.push([one, events]);
    await connected(one);
  }
  await feeder;
  await eventually('the end', () => joined.every(([, events]) => events.at(-1) === 3000));
  for (const [one, events] of joined) {
    for (let index = 1; index < events.length; index += 1) assert.equal(events[index], events[index - 1] + 1);
    one.close();
  }
  const snapshot = await new Promise((resolve) => {
    socket.once('snapshot', resolve);
    socket.emit('subscribe', 'SNAP');
  });
  assert.equal(snapshot.symbol, 'SNAP');
  assert.deepEqual(snapshot.trade, trade('SNAP', 3000));
  assert.deepEqual(snapshot.quote, { symbol: 'SNAP', bid: 9, epoch: 1, seq: 4 });
  assert.deepEqual(snapshot.position, { trades: { epoch: 1, seq: 3000 }, quotes: { epoch: 1, seq: 4 } });
  assert.equal(snapshot.bar.close, 130);
});

test('since gives everything missed, once and in order, or says that it cannot', async () => {
  await redis.publish('trades', ...Array.from({ length: 100 }, (_, index) => trade('BACK', index + 1)));
  await eventually('they arrived', async () => (await gateway.metric('gateway_records_in_total{stream="trades"}')) > 0);
  const probe = await ask(socket, 'subscribe', { symbols: 'BACK' });
  assert.equal('recovered' in probe, false);
  const seen = collect(socket, 'trade');
  const answer = await ask(socket, 'subscribe', { symbols: ['BACK'], since: { epoch: 1, seq: 60 } });
  assert.deepEqual([answer.recovered, answer.recovery], [true, { BACK: true }]);
  await eventually('the missed ones', () => seen.trade.length === 40);
  assert.deepEqual(seen.trade.map((one) => one.seq), Array.from({ length: 40 }, (_, index) => 61 + index));
  for (const since of [{ epoch: 2, seq: 1 }, { epoch: 1, seq: 500 }]) {
    const refused = await ask(socket, 'subscribe', { symbols: ['BACK'], since });
    assert.deepEqual([refused.recovered, refused.ok], [false, true]);
  }
  await redis.publish('trades', trade('BACK', 103)); // 101 and 102 never came
  await eventually('the step', () => seen.trade.at(-1).seq === 103);
  assert.equal((await ask(socket, 'subscribe', { symbols: ['BACK'], since: { BACK: { epoch: 1, seq: 100 } } })).recovered, false);
  assert.equal((await ask(socket, 'subscribe', { symbols: ['BACK'], since: { BACK: { trades: { epoch: 1, seq: 103 } } } })).recovered, true);
});

test('each trade once and in order at 10,000 a second', async () => {
  const seqs = [];
  socket.on('trade', (record) => seqs.push(record.seq));
  await ask(socket, 'subscribe', 'FAST');
  const start = Date.now();
  for (let sent = 0; sent < 30_000; sent += 100) {
    await redis.publish('trades', ...Array.from({ length: 100 }, (_, more) => trade('FAST', sent + more + 1)));
    const ahead = sent / 10 - (Date.now() - start);
    if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead));
  }
  await eventually('all of them', () => seqs.length >= 30_000);
  assert.ok(seqs.every((seq, index) => seq === index + 1));
});

test('an outage is one `gap` event and one `healed` event, for all symbols or for one', async () => {
  const seen = collect(socket, 'gap', 'healed', 'status');
  await ask(socket, 'subscribe', 'HOLE');
  for (const symbol of ['*', 'HOLE', 'OTHER']) {
    const gap = { type: 'gap', source: 'alpaca', symbol, from: 1700000000000, cause: 'cut' };
    await redis.publish('status', gap, { ...gap, to: 1700000060000 }, { ...gap, to: 1700000060000, healed_at: 1700000090000 });
  }
  await eventually('both', () => seen.healed.length === 2);
  assert.deepEqual(seen.gap.map((gap) => gap.symbol).sort(), ['*', 'HOLE']);
  assert.deepEqual(seen.healed.map((gap) => [gap.symbol, gap.healed_at]).sort(), [['*', 1700000090000], ['HOLE', 1700000090000]]);
  assert.deepEqual(seen.status.filter((status) => status.type === 'gap').map((gap) => gap.to), [1700000060000, 1700000060000]);
});

test('a symbol that the feed cannot carry is told at once, and to whoever subscribes later', async () => {
  const seen = collect(socket, 'status');
  await ask(socket, 'subscribe', 'FULL');
  await redis.publish('status', { type: 'unavailable', symbol: 'FULL', source: 'alpaca', reason: 'the plan is full' });
  await eventually('told', () => seen.status.some((status) => status.type === 'unavailable' && status.symbol === 'FULL'));
  const later = open();
  const snapshots = collect(later, 'snapshot');
  await connected(later);
  await ask(later, 'subscribe', 'FULL');
  await eventually('the snapshot', () => snapshots.snapshot.length > 0);
  assert.equal(snapshots.snapshot[0].unavailable, 'the plan is full');
  await redis.publish('status', { type: 'available', symbol: 'FULL', source: 'alpaca' });
  await eventually('told', () => seen.status.some((status) => status.type === 'available'));
  await ask(later, 'subscribe', 'FULL');
  await eventually('the next snapshot', () => snapshots.snapshot.some((snapshot) => !snapshot.unavailable));
  later.close();
});

test('the producers hear which symbols clients want, and when nobody wants them any more', async () => {
  const lists = [];
  const listener = redis.client.duplicate();
  await listener.connect();
  await listener.subscribe('stock:demand:pubsub', (message) => lists.push(JSON.parse(message)));
  const other = open();
  await connected(other);
  await ask(socket, 'subscribe', ['WANTB', 'WANTA']);
  await ask(other, 'subscribe', ['WANTB', 'WANTC']);
  const wanted = (list) => list.symbols.filter((symbol) => symbol.startsWith('WANT'));
  await eventually('the union', () => lists.some((list) => wanted(list).join() === 'WANTA,WANTB,WANTC'));
  other.close();
  await ask(socket, 'unsubscribe', 'WANTA');
  await eventually('what is left', () => lists.length > 0 && wanted(lists.at(-1)).join() === 'WANTB');
  const told = lists.length;
  await eventually('the same again, for producers that start later', () => lists.length > told);
  assert.equal(new Set(lists.map((list) => list.gateway)).size, 1);
  const second = await Gateway.start(redis);
  const theirs = () => lists.filter((list) => list.gateway !== lists[0].gateway);
  await eventually('the second gateway', () => theirs().length > 0);
  await second.stop();
  assert.deepEqual(theirs().at(-1).symbols, [], 'a gateway that stops wants nothing');
  await listener.close();
});
