// A stock Socket.IO client that believes nothing: every step in a symbol's `seq` must have been declared before or at the step, and no
// record may come twice. Says on one line what it saw once its standard input ends.
//
// What counts as a declaration: an acknowledgement or session that says `recovered: false`, a `lagged` event, Redis away, and for a new
// run of the producer the `gap` that it admits.
const { io } = require(process.env.SOCKET_IO_CLIENT);
const [url, ...symbols] = process.argv.slice(2);

const REDIS_BACK_MS = 3_000; // the producer may find its way back to Redis a little later than the gateway
const socket = io(url, { reconnectionDelay: 50, reconnectionDelayMax: 200 });
const positions = new Map();
const excused = new Set(); // symbols whose next step is declared
const seen = { trades: 0, epochs: new Set(), resumed: 0, notResumed: 0, declaredSteps: 0, gaps: [], healed: [], faults: [] };
let redisAwayUntil = 0;
let lastGap = 0;

socket.on('connect', () => {
  if (socket.recovered) {
    seen.resumed += 1;
    return;
  }
  const since = Object.fromEntries([...positions].map(([symbol, position]) => [symbol, { trades: position }]));
  socket.emit('subscribe', { symbols, since }, (answer) => {
    for (const symbol of positions.keys()) {
      const recovered = answer.recovery?.[symbol] === true;
      seen[recovered ? 'resumed' : 'notResumed'] += 1;
      if (!recovered) excused.add(symbol);
    }
    console.log('subscribed');
  });
});
socket.on('status', (status) => {
  if (status.type !== 'redis') return;
  redisAwayUntil = status.redis === 'down' ? Infinity : Date.now() + REDIS_BACK_MS;
});
socket.on('lagged', (note) => Object.keys(note.symbols).forEach((symbol) => excused.add(symbol)));
socket.on('gap', (gap) => {
  lastGap = Date.now();
  seen.gaps.push(gap.cause);
});
socket.on('healed', (gap) => seen.healed.push(gap.cause));
socket.on('trade', ({ symbol, epoch, seq }) => {
  seen.trades += 1;
  seen.epochs.add(epoch);
  const last = positions.get(symbol);
  positions.set(symbol, { epoch, seq });
  if (last === undefined) return;
  if (epoch < last.epoch || (epoch === last.epoch && seq <= last.seq)) {
    seen.faults.push(`${symbol}: ${epoch}/${seq} after ${last.epoch}/${last.seq}: twice or backwards`);
  } else if (epoch > last.epoch ? seq !== 1 : seq !== last.seq + 1) {
    if (!excused.has(symbol) && Date.now() > redisAwayUntil) {
      seen.faults.push(`${symbol}: ${epoch}/${seq} after ${last.epoch}/${last.seq}: nobody declared that`);
    }
    seen.declaredSteps += 1;
  }
  excused.delete(symbol);
});

process.stdin.resume();
process.stdin.on('end', () => {
  const newest = Object.fromEntries([...positions].map(([symbol, { epoch, seq }]) => [symbol, [epoch, seq]]));
  console.log(JSON.stringify({ ...seen, epochs: [...seen.epochs].sort(), faults: seen.faults.slice(0, 10), newest }));
  process.exit(0);
});
