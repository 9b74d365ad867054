// Reads bars with TradingView's UDF datafeed as a chart does, in the copy that Orderly's charts ship with; nothing of it is changed.
//
// Usage: node udf_chart_reads.mjs http://127.0.0.1:8000
// The server holds 25 minute bars of AAPL from 2024-06-03T13:30Z.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Datafeed } from '@orderly.network/trading-view';

const api = process.argv[2];
const OPEN_MS = Date.UTC(2024, 5, 3, 13, 30);
const SYMBOL = { name: 'AAPL', ticker: 'AAPL' };

// This datafeed looks for UDF under /tv, so a proxy maps that to /udf, as whoever puts it in front of a server would.
const asked = [];
const proxy = createServer(async ({ url }, response) => {
  assert(url.startsWith('/tv/'), url);
  asked.push(url);
  const answer = await fetch(api + url.replace('/tv/', '/udf/'));
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') }).end(await answer.text());
}).listen(0, '127.0.0.1');
await once(proxy, 'listening');

// Its live prices come from another socket, which is none of UDF's business.
const socket = { on() {}, subscribe: () => () => {} };
const datafeed = new Datafeed(`http://127.0.0.1:${proxy.address().port}`, socket);

const configuration = await new Promise((resolve) => datafeed.onReady(resolve));
assert.equal(configuration.supports_search, true);
assert.equal(configuration.supports_time, true);

/** One request of the chart: `count` bars that began before `to` (seconds). */
function read(resolution, to, count, symbol = SYMBOL) {
  const period = { from: to - 600, to, countBack: count, firstDataRequest: false };
  return new Promise((resolve, reject) => {
    datafeed.getBars(symbol, resolution, period, (bars, meta) => resolve({ bars, meta }), reject);
  });
}

for (const [resolution, timeframe] of [['1', '1Min'], ['5', '5Min'], ['60', '1Hour'], ['1D', '1Day'], ['1W', '1Week'], ['1M', '1Month']]) {
  assert(configuration.supported_resolutions.includes(resolution), resolution);
  const chart = [];
  let to = OPEN_MS / 1000 + 7 * 86_400;
  for (;;) {
    const { bars, meta } = await read(resolution, to, 10);
    if (meta.noData) break;
    assert(bars.length <= 10);
    chart.unshift(...bars);
    to = bars[0].time / 1000;
  }
  const stored = await (await fetch(`${api}/bars/AAPL?timeframe=${timeframe}&limit=1000`)).json();
  const expected = stored.bars.map(({ timestamp, open, high, low, close, volume }) => ({ time: timestamp, open, high, low, close, volume }));
  // A day or more is named by its date at midnight UTC, as the charting library wants it.
  const times = (bars) => bars.map(({ time }) => (/[DWM]/.test(resolution) ? new Date(time).toISOString().slice(0, 10) : time));
  assert.deepEqual(times(chart), times(expected), resolution);
  assert.deepEqual(chart.map(({ time, ...prices }) => prices), expected.map(({ time, ...prices }) => prices), resolution);
}
const minutes = asked.filter((url) => url.includes('resolution=1&')).length;
assert.equal(minutes, 4, '25 bars by tens, and then that there are no more');

// What is wrong reaches whoever looks at the chart.
const refusal = (reading) => reading.then(() => assert.fail('not refused'), String);
assert.match(await refusal(read('7x', OPEN_MS / 1000, 10)), /resolution: `7x` is not minutes such as 5 or 60/);
assert.match(await refusal(read('1', OPEN_MS / 1000, 10, { ticker: 'NOSUCH' })), /no bars of `NOSUCH` are stored/);

proxy.close();
proxy.closeAllConnections();
console.log('a UDF chart reads everything');
process.exit(0); // its hooks keep timers
