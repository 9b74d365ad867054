// What a token does not cover is never delivered: on no dialect, after no refresh or resume, through no spelling of an address.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { Gateway, Redis, ask, collect, connected, eventually, trade } from './harness.mjs';

const KEY = 'a-key-for-this-test-only';
let redis, gateway, api, asked;
/** What the API was asked on behalf of clients: the gateway's own questions have no request id. */
const passedOn = () => asked.filter(({ headers }) => headers['x-request-id']);
before(async () => {
  redis = await Redis.start();
  asked = [];
  // Stands in for the history API: it answers everything, so whatever must not be read has to be stopped before it.
  api = createServer((request, response) => {
    asked.push({ url: request.url, headers: request.headers });
    response.writeHead(200, { 'content-type': 'application/json', 'x-ratelimit-remaining': '41' });
    response.end(JSON.stringify({ url: request.url, bars: [{ symbol: 'FROM-API', close: 1, timestamp: 1, volume: 1 }] }));
  }).listen(0, '127.0.0.1');
  await once(api, 'listening');
  gateway = await Gateway.start(redis, {
    BARS_API_URL: `http://127.0.0.1:${api.address().port}`, PIPELINE_TARGETS: '', AUTH_REQUIRED: 'on', API_KEYS: KEY, RUST_LOG: 'info',
  });
});
after(async () => {
  await gateway.stop();
  await redis.stop();
  api.close();
});

async function issue(wish) {
  const answer = await fetch(`${gateway.url}/api/token`, { method: 'POST', headers: { 'x-api-key': KEY }, body: JSON.stringify(wish) });
  assert.equal(answer.status, 200);
  return (await answer.json()).token;
}

const open = (token, more = {}) => io(gateway.url, { transports: ['websocket'], forceNew: true, reconnection: false, auth: { token }, ...more });

/** A client that lives as long as the test, with everything that it was ever sent. */
function listen(token, more) {
  const socket = open(token, more);
  return { socket, seen: collect(socket, 'trade', 'bar', 'quote', 'snapshot', 'status') };
}

test('a narrower token ends at once what it does not cover, and says so, on Socket.IO and on polling', async () => {
  for (const transports of [['websocket'], ['polling']]) {
    const name = `N${transports[0][0]}`.toUpperCase();
    const { socket, seen } = listen(await issue({}), { transports });
    await connected(socket);
    await ask(socket, 'subscribe', { symbols: [`${name}A`, `${name}B`], streams: ['trades', 'bars', 'quotes'] });
    const answer = await ask(socket, 'token', await issue({ symbols: [`${name}A`], streams: ['trades'] }));
    assert.deepEqual([answer.ok, answer.ended], [true, [`${name}B`]]);
    await eventually('the notice', () => seen.status.some((status) => status.type === 'scope' && status.symbols[0] === `${name}B`));
    await redis.publish('quotes', { symbol: `${name}A`, bid: 1 });
    await redis.publish('bars', { symbol: `${name}A` });
    await redis.publish('trades', trade(`${name}B`, 1), trade(`${name}A`, 1));
    await eventually('what is covered', () => seen.trade.length === 1);
    assert.deepEqual([seen.trade[0].symbol, seen.bar.length, seen.quote.length], [`${name}A`, 0, 0]);
    const again = await ask(socket, 'subscribe', [`${name}A`, `${name}B`]);
    assert.deepEqual(again.rejected.map((one) => [one.symbol, one.code]), [[`${name}B`, 'not_in_scope']]);
    const other = await ask(socket, 'subscribe', { symbols: [`${name}A`], streams: ['quotes'] });
    assert.deepEqual([other.ok, other.rejected[0].code], [false, 'not_in_scope'], 'never acknowledged and then silent');
    socket.close();
  }
});

test('a narrower token ends what it does not cover in the plain dialects', async () => {
  for (const verb of ['action', 'type']) {
    const name = `P${verb}`.toUpperCase();
    const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/ws?token=${await issue({})}`);
    const seen = [];
    socket.on('message', (data) => seen.push(String(data)));
    await once(socket, 'open');
    const say = (message) => socket.send(JSON.stringify(message));
    say({ [verb]: 'subscribe', symbols: [`${name}1`, `${name}2`] });
    say({ [verb]: 'token', token: await issue({ symbols: [`${name}1`] }) });
    await eventually('the answer', () => seen.some((text) => text.includes('"accepted"') && text.includes(`"ended":["${name}2"]`)));
    await redis.publish('trades', trade(`${name}2`, 1), trade(`${name}1`, 1));
    await eventually('what is covered', () => seen.some((text) => text.includes(`${name}1"`) && text.includes('data')));
    assert.ok(!seen.some((text) => text.includes(`${name}2"`) && text.includes('"data"')), `${seen}`);
    socket.close();
  }
});

test('a session of a wide token is not resumed with a narrow one', async () => {
  const wide = listen(await issue({}));
  await connected(wide.socket);
  await ask(wide.socket, 'subscribe', ['WIDE', 'MINE']);
  await redis.publish('trades', trade('WIDE', 1), trade('MINE', 1));
  await eventually('both', () => wide.seen.trade.length === 2);
  const { _pid: pid, _lastOffset: offset } = wide.socket;
  assert.ok(pid && offset, 'the client could resume');
  wide.socket.io.engine.transport.ws.terminate?.();
  wide.socket.io.engine.close();
  await redis.publish('trades', trade('WIDE', 2), trade('MINE', 2));
  const narrow = await issue({ symbols: ['MINE'] });
  const back = listen(narrow, { auth: { token: narrow, pid, offset } });
  await connected(back.socket);
  assert.equal(back.socket.recovered, false);
  assert.deepEqual((await ask(back.socket, 'subscribe', ['WIDE', 'MINE'])).subscribed, ['MINE']);
  await redis.publish('trades', trade('WIDE', 3), trade('MINE', 3));
  await eventually('mine', () => back.seen.trade.some((one) => one.seq === 3));
  assert.ok(back.seen.trade.every((one) => one.symbol === 'MINE'));
  back.socket.close();
});

test('a snapshot holds nothing of a stream that the token does not cover', async () => {
  const full = listen(await issue({}));
  await connected(full.socket);
  await ask(full.socket, 'subscribe', { symbols: 'SNAP', streams: ['trades', 'bars', 'quotes'] });
  await redis.publish('quotes', { symbol: 'SNAP', bid: 1, epoch: 1, seq: 1 });
  await redis.publish('bars', { symbol: 'SNAP', close: 1, epoch: 1, seq: 1 });
  await redis.publish('trades', trade('SNAP', 1));
  await eventually('all three', () => full.seen.trade.length && full.seen.bar.length && full.seen.quote.length);
  const { socket, seen } = listen(await issue({ symbols: ['SNAP'], streams: ['trades'] }));
  await connected(socket);
  await ask(socket, 'subscribe', { symbols: 'SNAP', streams: ['trades', 'bars', 'quotes'] });
  await eventually('a snapshot', () => seen.snapshot.length > 0);
  for (const snapshot of seen.snapshot) {
    assert.deepEqual(Object.keys(snapshot).sort(), ['position', 'symbol', 'trade']);
    assert.deepEqual(Object.keys(snapshot.position), ['trades']);
  }
  const stop = new AbortController();
  const stream = await fetch(`${gateway.url}/stream?symbols=SNAP&streams=trades,quotes,bars&token=${await issue({ streams: ['trades'] })}`, { signal: stop.signal });
  let text = '';
  (async () => {
    for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) text += chunk;
  })().catch(() => {});
  await eventually('the snapshot', () => text.includes('event: snapshot'));
  assert.ok(!text.includes('"quote"') && !text.includes('"bar"'), text);
  stop.abort();
  for (const client of [full.socket, socket]) client.close();
});

test('history follows the same scope', async () => {
  const token = await issue({ symbols: ['AAPL'] });
  const read = (path, headers = {}) => fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${token}`, ...headers } });
  for (const path of ['/api/bars/AAPL', '/api/bars/aapl', '/api/bars/AAPL/range?start=1', '/api/market/quote/AAPL', '/api/market/status', '/api/bars/latest?symbols=AAPL']) {
    assert.equal((await read(path)).status, 200, path);
  }
  const latest = await (await read('/api/bars/latest?timeframe=1Day')).json();
  assert.equal(latest.url, '/bars/latest?timeframe=1Day&symbols=AAPL', 'narrowed to what is covered');
  const before = passedOn().length;
  for (const path of [
    '/api/bars/MSFT', '/api/bars/msft', '/api/bars/%4dSFT', '/api/bars/MSFT/range', '/api/bars/MSFT/gaps', '/api/bars/latest?symbols=AAPL,MSFT',
    '/api/bars/latest?symbols=AAPL%2CMSFT', '/api/bars/latest?symbols=AAPL&symbols=MSFT', '/api/bars/latest?symbols=AAPL&%73ymbols=MSFT',
    '/api/market/quote/MSFT', '/api/market/historical/MSFT', '/api/market/search?q=a', '/api/pipeline',
  ]) {
    const answer = await read(path);
    assert.equal(answer.status, 403, path);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json', path);
  }
  assert.equal(passedOn().length, before, 'the API was not even asked');
  const trades = await issue({ streams: ['trades'] });
  assert.equal((await fetch(`${gateway.url}/api/bars/AAPL?token=${trades}`)).status, 403);
  const live = await issue({ history: false });
  assert.equal((await fetch(`${gateway.url}/api/bars/AAPL?token=${live}`)).status, 403);
});

/** One request, byte by byte as given; the status of the answer. */
async function raw(target) {
  const socket = net.connect(gateway.port, '127.0.0.1');
  socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\nConnection: close\r\n\r\n`);
  let text = '';
  socket.on('data', (data) => (text += data));
  socket.on('error', () => {});
  await once(socket, 'close');
  return Number(text.split(' ')[1]);
}

test("the gateway's key opens the listed routes of the API and nothing else, in any spelling", async () => {
  const before = passedOn().length;
  for (const target of [
    '/api/bars/../metrics', '/api/bars/%2e%2e/metrics', '/api/bars/%2E%2e/metrics', '/api/bars/.%2e/metrics', '/api/bars/%252e%252e/metrics',
    '/api/bars/..%2fmetrics', '/api/bars/%2e%2e%2fmetrics', '/api/bars/..\\metrics', '/api/bars/..%5cmetrics', '/api/bars/..;/metrics',
    '/api/bars/AAPL/../../metrics', '/api/bars/AAPL/%2e%2e/%2e%2e/metrics', '/api/bars/AAPL%2f..%2f..%2fmetrics', '/api/bars//metrics',
    '/api/bars/AAPL/./range', '/api/bars/AAPL%00', '/api/bars/AAPL%0d%0aX-Evil:1', '/api/bars/AAPL;x', '/api/bars/AAPL/else',
    '/api/bars/AAPL%3fx', '/api/bars/AAPL%23x', '/api/market/../../metrics', '/api/market/%2e%2e/%2e%2e/metrics', '/api/market/else', '//api/bars/../metrics',
    'http://elsewhere/api/bars/../metrics', 'http://elsewhere/api/bars/%2e%2e/metrics', '/api/%62ars/../metrics',
  ]) {
    const status = await raw(target);
    assert.ok(status >= 400 && status < 500, `${target}: ${status}`);
  }
  assert.deepEqual(passedOn().slice(before).map(({ url }) => url), [], 'nothing reached the API');
  assert.equal(await raw('/api/bars/BTC%2fUSD'), 200);
  assert.equal(passedOn().at(-1).url, '/bars/BTC%2FUSD', 'in one spelling');
});

test('symbols are normalised and said so, or rejected with a code', async () => {
  const { socket, seen } = listen(await issue({}));
  await connected(socket);
  const answer = await ask(socket, 'subscribe', ['aapl', ' AAPL ', 'AAPL,MSFT', '*', '$$$', 'X,T.*']);
  assert.deepEqual(answer.subscribed, ['AAPL']);
  assert.deepEqual(answer.normalized, { aapl: 'AAPL', ' AAPL ': 'AAPL' });
  assert.deepEqual(answer.rejected.map(({ symbol, code }) => [symbol, code]), ['AAPL,MSFT', '*', '$$$', 'X,T.*'].map((symbol) => [symbol, 'invalid_symbol']));
  await redis.publish('trades', trade('AAPL', 1));
  await eventually('the trade', () => seen.trade.length === 1);
  socket.close();
});

test('a request has one id, in the answer, at the API and in the log, and every error the same shape', async () => {
  const headers = { 'x-api-key': KEY, 'x-request-id': 'my-id-1' };
  const good = await fetch(`${gateway.url}/api/bars/AAPL`, { headers });
  assert.deepEqual([good.headers.get('x-request-id'), good.headers.get('x-ratelimit-remaining')], ['my-id-1', '41']);
  assert.equal(passedOn().at(-1).headers['x-request-id'], 'my-id-1');
  for (const [path, more, status] of [
    ['/api/bars/AAPL/else', {}, 404], ['/api/nothing', {}, 404], ['/stream', {}, 400], ['/api/bars/AAPL', { method: 'POST' }, 405],
    ['/api/token', { method: 'POST', body: '[]' }, 400], ['/api/token', {}, 405], ['/ws', {}, 400], ['/nothing.txt', {}, 404],
  ]) {
    const id = `id-${status}-${path.length}-${more.method}`;
    const answer = await fetch(`${gateway.url}${path}`, { headers: { 'x-api-key': KEY, 'x-request-id': id }, ...more });
    assert.equal(answer.status, status, path);
    if (path === '/nothing.txt' && answer.headers.get('content-type').startsWith('text/html')) continue; // the page is not built here
    const body = await answer.json();
    assert.deepEqual(Object.keys(body).filter((key) => key !== 'parameter'), ['type', 'title', 'status', 'detail', 'request_id'], path);
    assert.deepEqual([body.status, body.request_id, answer.headers.get('x-request-id')], [status, id, id], path);
    await eventually('the line in the log', () => gateway.log.includes(id));
  }
  const made = await fetch(`${gateway.url}/api/nothing`, { headers: { 'x-request-id': 'not harmless\t!' } }).catch(() => null);
  assert.match((await made.json()).request_id, /^[0-9a-f]{16}-/);
});
