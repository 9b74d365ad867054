// Plays the gateway and the API for the page: a development aid, and the place where faults can be had on demand. It proves nothing
// about the real services; `npm run test:page` does that.
//
//   npm run build && npm run rehearsal          then open http://localhost:5050
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server } from 'socket.io';
import { Listing } from './market.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.map': 'application/json' };
const FRAMES = { '1Min': 1, '5Min': 5, '15Min': 15, '30Min': 30, '1Hour': 60, '2Hour': 120, '4Hour': 240, '1Day': 1_440, '1Week': 10_080, '1Month': 43_200 };
const COMPANIES = { AAPL: ['Apple Inc.', 'NASDAQ'], MSFT: ['Microsoft Corporation', 'NASDAQ'] };
const NEW_YORK = new Intl.DateTimeFormat('en-US', { timeZone: 'America/New_York', hourCycle: 'h23', hour: 'numeric', minute: 'numeric' });

/** Starts it; resolves to its address, a way to change its behaviour, and a way to end it. Port 0 takes a free one. */
export async function rehearse({ port = 0, symbols = ['AAPL', 'GOOGL', 'MSFT', 'NVDA', 'TSLA'], rate = 6, seed = 1 } = {}) {
  /** What can be made to go wrong. */
  const faults = { heartbeat: true, market: 'open', redis: 'up', pipeline: 'ok', data: 'live', mute: false, delay: 0, api: 'up', rate, key: '', life: 300 };
  /** What the feed missed, and tokens that were handed out. */
  let gaps = [];
  const tokens = new Map();
  const entitled = (token) => faults.key === '' || (tokens.get(token) ?? 0) > Date.now();
  let heardAt = Date.now();
  const started = Date.now();
  const published = { trade: 0, bar: 0, quote: 0 };
  const http = createServer((request, response) => void serve(request, response));
  const sockets = new Server(http, { transports: ['websocket', 'polling'] });

  const emit = (kind, record) => {
    if (faults.mute || faults.redis === 'down') return;
    heardAt = Date.now();
    published[kind] += 1;
    const late = faults.delay === 0 ? record : { ...record, timestamp: record.timestamp - faults.delay };
    sockets.to(record.symbol).emit(kind, late);
  };
  const listings = new Map(symbols.map((symbol, index) => [symbol, new Listing(symbol, seed * 1_000 + index, emit)]));

  sockets.use((socket, next) => next(entitled(socket.handshake.auth?.token) ? undefined : new Error('a token or key is needed')));
  sockets.on('connection', (socket) => {
    socket.on('token', () => {});
    const names = (ask) => [ask?.symbols ?? ask].flat().map((name) => String(name).toUpperCase());
    socket.on('subscribe', (ask, acknowledge) => {
      const wanted = names(ask);
      for (const symbol of wanted) socket.join(symbol);
      acknowledge?.({ ok: true, subscribed: wanted, rejected: [], symbols: [...socket.rooms].filter((room) => room !== socket.id) });
    });
    socket.on('unsubscribe', (ask, acknowledge) => {
      for (const symbol of names(ask)) socket.leave(symbol);
      acknowledge?.({ ok: true });
    });
  });

  const TICK = 20;
  let owed = 0;
  const ticker = setInterval(() => {
    owed += (faults.rate * TICK) / 1_000;
    for (; owed >= 1; owed -= 1) if (!faults.mute) for (const listing of listings.values()) listing.trade();
    for (const listing of listings.values()) listing.close();
  }, TICK);
  const heart = setInterval(() => {
    if (!faults.heartbeat) return;
    const { market, pipeline, redis, data } = faults;
    sockets.emit('heartbeat', { time: Date.now(), market, feed_age_ms: Date.now() - heardAt, pipeline, redis, data });
  }, 1_000);

  async function serve(request, response) {
    const { pathname, searchParams } = new URL(request.url, 'http://rehearsal');
    if (pathname.startsWith('/socket.io')) return;
    if (pathname === '/health') return answer(response, () => ({ status: faults.pipeline, service: 'rehearsal', version: '0', parts: { redis: { status: faults.redis === 'up' ? 'ok' : 'down' } } }));
    if (pathname === '/api/token') return answer(response, () => issue(request));
    if (pathname.startsWith('/api/') && !entitled(request.headers.authorization?.replace('Bearer ', ''))) {
      return answer(response, () => { throw problem(401, 'a token or key is needed: ask POST /api/token for one'); });
    }
    if (pathname === '/api/market/search') return answer(response, () => ({ query: '', results: symbols.map((symbol) => ({ symbol, name: COMPANIES[symbol]?.[0] ?? null, exchange: COMPANIES[symbol]?.[1] ?? null })) }));
    if (pathname === '/api/pipeline') return answer(response, pipeline);
    if (pathname === '/metrics') return response.writeHead(200).end(fanout(published.trade));
    if (pathname === '/control') return answer(response, () => control(searchParams));
    if (pathname.startsWith('/api/')) return answer(response, () => bars(pathname, searchParams));
    const path = normalize(pathname === '/' ? '/index.html' : pathname);
    try {
      const body = await readFile(join(DIST, path));
      response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end('not found');
    }
  }

  function answer(response, make) {
    try {
      if (faults.api === 'down') throw problem(503, 'the database does not answer');
      const text = JSON.stringify(make());
      response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    } catch (error) {
      response.writeHead(error.status ?? 500, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ title: 'Error', detail: error.message }));
    }
  }

  function issue(request) {
    if (request.headers['x-api-key'] !== faults.key) throw problem(401, 'this token or key is not valid here');
    const token = `token-${tokens.size}`;
    tokens.set(token, Date.now() + faults.life * 1_000);
    return { token, token_type: 'Bearer', expires_in: faults.life };
  }

  function bars(pathname, query) {
    const timeframe = query.get('timeframe') ?? '1Min';
    const limit = Number(query.get('limit') ?? 1_000);
    if (!(timeframe in FRAMES)) throw problem(400, `timeframe: ${timeframe} is not known`);
    if (pathname === '/api/bars/latest') {
      return { timeframe, bars: Object.fromEntries([...listings].map(([symbol, listing]) => [symbol, listing.bars().at(-1)])) };
    }
    const [, , , name = '', range] = pathname.split('/');
    const symbol = decodeURIComponent(name);
    const listing = listings.get(symbol);
    if (listing === undefined) throw problem(404, `no bars of ${symbol} are stored`);
    const all = aggregate(listing, timeframe);
    if (range === 'gaps') {
      const [start, end] = [Number(query.get('start') ?? 0), Number(query.get('end') ?? Infinity)];
      const told = (gap) => ['*', symbol].includes(gap.symbol) && gap.from < end && (gap.to ?? Infinity) > start;
      return { symbol, gaps: gaps.filter(told), next_page_token: null };
    }
    if (range === undefined) return { symbol, timeframe, bars: all.slice(-limit), next_page_token: null };
    const [start, end] = [Number(query.get('start')), Number(query.get('end'))];
    const from = Number(query.get('page_token') ?? start);
    const found = all.filter((bar) => bar.timestamp >= from && bar.timestamp < end);
    return { symbol, timeframe, bars: found.slice(0, limit), next_page_token: found.length > limit ? String(found[limit].timestamp) : null };
  }

  /** Some services, one of them ill, one that reports nothing. */
  function pipeline() {
    const since = new Date(started).toISOString();
    const health = (service, status, parts) => ({ status, service, version: '0.1.0', parts });
    const part = (status, detail) => ({ status, since, ...(detail === undefined ? {} : { detail }) });
    return {
      time: Date.now(),
      services: {
        gateway: {
          health: health('gateway', 'ok', { redis: part('ok') }),
          metrics: { 'gateway_records_in_total{stream="trades"}': published.trade, 'gateway_records_in_total{stream="quotes"}': published.quote, gateway_deliveries_total: published.trade, gateway_clients: sockets.engine.clientsCount, gateway_connections: sockets.engine.clientsCount, process_resident_memory_bytes: 14_200_000 },
        },
        producer: {
          health: health('producer', 'ok', { feed: part('ok'), kafka: part('ok'), redis: part('ok') }),
          metrics: { 'producer_records_total{stream="trades"}': published.trade, producer_hot_published_total: published.trade, producer_kafka_acknowledged_total: published.trade + published.bar, producer_kafka_unacknowledged: 3, producer_spool_bytes: 0, producer_gaps_total: 1, producer_hot_dropped_total: 0 },
        },
        'consumer-trades': {
          health: health('consumer-trades', 'degraded', { kafka: part('ok'), postgres: part('degraded', 'connection refused; retrying') }),
          metrics: { consumer_trades_rows_stored_total: published.trade, consumer_trades_lag_records: 17, consumer_trades_lag_seconds: 0.21, consumer_trades_dead_letters_total: 2 },
        },
        'bars-api': { health: { status: 'down', service: 'bars-api', detail: 'does not answer' }, metrics: {} },
      },
    };
  }

  function control(query) {
    for (const [name, value] of query) if (name in faults) faults[name] = /^-?\d+$/.test(value) ? Number(value) : value === 'true' ? true : value === 'false' ? false : value;
    if (faults.market === 'closed' || faults.mute) heardAt -= Number(query.get('silence') ?? 0);
    if (query.has('cut')) for (const socket of sockets.sockets.sockets.values()) socket.conn.close();
    if (query.has('status')) sockets.emit('status', JSON.parse(query.get('status')));
    for (const event of ['gap', 'healed']) if (query.has(event)) {
      const gap = JSON.parse(query.get(event));
      gaps = [...gaps.filter((one) => one.from !== gap.from), gap];
      sockets.emit(event, gap);
    }
    if (query.has('gaps')) gaps = JSON.parse(query.get('gaps'));
    return faults;
  }

  await new Promise((resolve) => http.listen(port, '127.0.0.1', resolve));
  const url = `http://localhost:${http.address().port}`;
  return {
    url,
    listings,
    control: (changes) => control(new URLSearchParams(changes)),
    stop: async () => {
      clearInterval(ticker);
      clearInterval(heart);
      const closed = sockets.close();
      // A page that keeps asking over a connection that it has would keep the server.
      http.closeAllConnections();
      await closed;
    },
  };
}

const problem = (status, message) => Object.assign(new Error(message), { status });

function aggregate(listing, timeframe) {
  const minutes = listing.bars();
  if (timeframe === '1Min') return minutes;
  const length = Math.min(FRAMES[timeframe], FRAMES['1Day']) * 60_000;
  const frames = new Map();
  for (const bar of minutes) {
    const [hour, minute] = NEW_YORK.format(bar.timestamp).split(':').map(Number);
    const start = bar.timestamp - (((hour * 60 + minute) * 60_000) % length);
    const known = frames.get(start);
    if (known === undefined) frames.set(start, { ...bar, timestamp: start });
    else {
      known.vwap = (known.vwap * known.volume + bar.vwap * bar.volume) / (known.volume + bar.volume);
      known.high = Math.max(known.high, bar.high);
      known.low = Math.min(known.low, bar.low);
      known.close = bar.close;
      known.volume += bar.volume;
      known.trade_count += bar.trade_count;
    }
  }
  if (timeframe === '1Week') return weeks([...listing.days, ...frames.values()]);
  if (timeframe === '1Month') return months([...listing.days, ...frames.values()]);
  const first = frames.keys().next().value ?? Infinity;
  return timeframe === '1Day' ? [...listing.days.filter((bar) => bar.timestamp < first), ...frames.values()] : [...frames.values()];
}

/** New York's clock changes are none of this market's concern: its days are taken as they come. */
function weeks(days) {
  const found = new Map();
  for (const day of days.sort((a, b) => a.timestamp - b.timestamp)) {
    const weekday = (new Date(day.timestamp).getUTCDay() + 6) % 7;
    const start = day.timestamp - weekday * 86_400_000;
    const known = [...found.keys()].find((one) => Math.abs(one - start) < 7_200_000) ?? start;
    const { high, low, volume } = found.get(known) ?? { high: 0, low: Infinity, volume: 0 };
    const open = found.get(known)?.open ?? day.open;
    found.set(known, { ...day, timestamp: known, open, high: Math.max(high, day.high), low: Math.min(low, day.low), volume: volume + day.volume });
  }
  return [...found.values()];
}

/** A histogram that grows by one for each trade: nine of ten below 50 µs. */
function fanout(count) {
  const below = [[0.00005, Math.floor(count * 0.9)], [0.0005, count], ['+Inf', count]];
  return below.map(([bound, number]) => `gateway_fanout_seconds_bucket{le="${bound}"} ${number}\n`).join('');
}

function months(days) {
  const found = new Map();
  for (const day of days.sort((a, b) => a.timestamp - b.timestamp)) {
    const name = new Date(day.timestamp).toISOString().slice(0, 7);
    const month = found.get(name) ?? day;
    found.set(name, { ...day, timestamp: month.timestamp, open: month.open, high: Math.max(month.high, day.high), low: Math.min(month.low, day.low), volume: month.volume + (month === day ? 0 : day.volume) });
  }
  return [...found.values()];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stage = await rehearse({ port: Number(process.env.PORT ?? 5050) });
  console.log(`rehearsal at ${stage.url}`);
}
