/**
 * The page against the running system: what it shows, compared with the API and with the events that a client of our own receives.
 * The address comes from TAPELINE_URL; the stack must be running with the simulated market.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, keep, visitor, type Visit, type Visitor } from '../../support/browser';
import { listen, type Ear } from '../../support/ear';
import { asShown, badgeBecomes, barsOf, candleCount, chartReady, layoutShift, shownCandles, shownTape } from '../../support/looks';
import { tapeTime } from '../../../src/core/format';
import { FIGURES } from '../../../src/core/hops';
import { sessionOf } from '../../../src/lib/calendar';

const URL_OF_STACK = (process.env['TAPELINE_URL'] ?? 'http://localhost:5000').replace(/\/$/, '');
let symbol: string;
let ear: Ear;
let guest: Visitor;
let visit: Visit;

beforeAll(async () => {
  const answer = await fetch(`${URL_OF_STACK}/api/bars/latest`).catch(() => null);
  if (answer === null) throw new Error(`nothing answers at ${URL_OF_STACK}: start the stack (make demo), or set TAPELINE_URL`);
  symbol = await eventually('a stored bar of any symbol', async () => {
    const latest = (await (await fetch(`${URL_OF_STACK}/api/bars/latest`)).json()) as { bars: Record<string, unknown> };
    const symbols = Object.keys(latest.bars);
    return symbols.includes('AAPL') ? 'AAPL' : symbols[0];
  }, 110_000);
  ear = await listen(URL_OF_STACK, [symbol]);
  guest = await visitor();
  visit = await guest.visit(`${URL_OF_STACK}/#/market/${symbol}`);
}, 120_000);
afterAll(async () => {
  await guest?.close();
  ear?.close();
});

test('the page shows a live candle and says that it is live', async () => {
  const { page } = visit;
  await chartReady(page, symbol);
  await badgeBecomes(page, 'live', 30_000);
  await keep(page, 'stack-market');
});

test('every trade on the tape is one that was published, in its order, none left out', async () => {
  const { page } = visit;
  await eventually('twenty trades', async () => (await shownTape(page)).length >= 20, 60_000);
  const shown = (await shownTape(page)).reverse();
  const heard = new Map(ear.trades.map((trade) => [String(trade.seq), trade]));
  // Our own client listened first, so whatever the page shows it must have heard.
  for (const row of shown) {
    const trade = heard.get(row.seq);
    expect(trade, `trade ${row.seq} was shown but not published`).toBeDefined();
    if (trade === undefined) continue;
    expect(row.time).toBe(tapeTime(trade.timestamp));
    expect(Number(row.price.replaceAll(',', ''))).toBeCloseTo(trade.price, 4);
    expect(Number(row.size.replaceAll(',', ''))).toBeCloseTo(trade.size, 4);
  }
  const numbers = shown.map(({ seq }) => Number(seq));
  expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
});

test('the price in the header is the newest one that sets a price', async () => {
  const { page } = visit;
  await eventually('header and newest trade to agree', async () => {
    const text = (await page.textContent('.quote-price')) ?? '';
    const newest = [...ear.trades].reverse().slice(0, 40).map((trade) => trade.price);
    // In the decimals of the tick: a trade between two ticks is shown at the nearer one.
    return newest.some((price) => Math.abs(price - Number(text.replaceAll(',', ''))) < 0.00501);
  });
});

test('every candle whose minute is over equals the API’s bar', async () => {
  const { page } = visit;
  await eventually('chart and API to agree', async () => {
    const bars = new Map((await barsOf(URL_OF_STACK, symbol)).map((bar) => [bar.timestamp, JSON.stringify(asShown(bar))]));
    const closed = (await shownCandles(page)).slice(0, -1).filter(({ timestamp }) => bars.has(timestamp));
    return bars.size > 0 && closed.length > 0 && closed.every((candle) => JSON.stringify(candle) === bars.get(candle.timestamp));
  });
  const starts = (await shownCandles(page)).map(({ timestamp }) => timestamp);
  expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
});

test('the candle that forms now becomes the bar that the database holds, and no bar is missing', async () => {
  const { page } = visit;
  await chartReady(page, symbol);
  const running = (await eventually('a running candle', async () => (await shownCandles(page)).pop())).timestamp;
  const bar = await eventually('its bar', async () => (await barsOf(URL_OF_STACK, symbol)).find((one) => one.timestamp === running && one.final), 100_000);
  await eventually('the candle to be that bar', async () => {
    const candle = (await shownCandles(page)).find(({ timestamp }) => timestamp === running);
    return candle !== undefined && JSON.stringify(candle) === JSON.stringify(asShown(bar));
  });
  const shown = new Set((await shownCandles(page)).map(({ timestamp }) => timestamp));
  const oldest = Math.min(...shown);
  const missing = (await barsOf(URL_OF_STACK, symbol)).filter(({ timestamp }) => timestamp >= oldest && timestamp <= running && !shown.has(timestamp));
  expect(missing).toEqual([]);
});

test.each(['5Min', '30Min', '4Hour', '1Day', '1Month'])('candles of %s equal the API’s', async (timeframe) => {
  const { page } = visit;
  await page.click(`[data-value="${timeframe}"]`);
  await eventually('chart and API to agree', async () => {
    const bars = new Map((await barsOf(URL_OF_STACK, symbol, `&timeframe=${timeframe}`)).map((bar) => [bar.timestamp, JSON.stringify(asShown(bar))]));
    const shown = await shownCandles(page);
    const closed = shown.slice(0, -1).filter(({ timestamp }) => bars.has(timestamp));
    return shown.length > 0 && bars.size > 0 && closed.every((candle) => JSON.stringify(candle) === bars.get(candle.timestamp));
  });
  await page.click('[data-value="1Min"]');
});

test.each(['6M', 'YTD', '1Y', 'MAX'])('the horizon %s is a picture of the past that is stored, not of two candles', async (horizon) => {
  const { page } = visit;
  await page.click(`[data-value="${horizon}"]`);
  await eventually('enough candles', async () => (await candleCount(page)) >= 60, 30_000);
  expect(await page.getAttribute(`[data-value="${horizon}"]`, 'aria-pressed')).toBe('true');
  await keep(page, `stack-horizon-${horizon}`);
  await page.click('[data-value="1Min"]');
});

test('simulated prices are called that', async () => {
  const { page } = visit;
  await eventually('the badge to say so', async () => (await page.textContent('.badge')) === 'Simulated');
  await eventually('the quote to say so', async () => /^Simulated data · /.test((await page.textContent('.quote-session')) ?? ''));
});

test('indicators are the API’s, by name and value', async () => {
  const { page } = await guest.visit(`${URL_OF_STACK}/#/market/${symbol}?tf=1Hour&with=ema:20,sma:20,bollinger:20:2,rsi:14,atr:14,vwap`);
  await chartReady(page, symbol);
  type Indicated = { bars: { timestamp: number }[]; indicators: Record<string, (number | null)[]> };
  const answer = (await (await fetch(`${URL_OF_STACK}/api/bars/${symbol}?timeframe=1Hour&limit=40&indicators=sma:20,bollinger:20:2,vwap`)).json()) as Indicated;
  const box = await page.locator('.chart-canvas').boundingBox();
  if (box === null) throw new Error('no canvas');
  let seen = '';
  const matched = await eventually('a candle under the pointer whose values the API has', async () => {
    for (let x = box.x + box.width - 120; x > box.x + 500; x -= 24) {
      await page.mouse.move(x, box.y + 150);
      await page.waitForTimeout(120);
      const legend = (await page.textContent('.chart-legend')) ?? '';
      seen = legend;
      const shown = [...(/Bollinger 20, 2([\d.]+) · ([\d.]+) · ([\d.]+)/.exec(legend)?.slice(1) ?? []), /SMA 20([\d.]+)/.exec(legend)?.[1]].map(Number);
      const lines = ['bollinger:20:2:lower', 'bollinger:20:2:middle', 'bollinger:20:2:upper', 'sma:20'].map((name) => answer.indicators[name] ?? []);
      // The newest candle moves while it is looked at.
      const same = (at: number) => shown.length === 4 && shown.every((value, line) => Math.abs(value - (lines[line]?.[at] ?? NaN)) < 0.006);
      if (answer.bars.slice(0, -1).some((_, at) => same(at))) return true;
    }
    throw new Error(`the last was: ${seen}`);
  }, 30_000);
  expect(matched).toBe(true);
  await keep(page, 'stack-indicators');
  await page.close();
});

test('a first visit is small, and what has a hash in its name is kept', async () => {
  const stranger = await visitor();
  try {
    const { page } = await stranger.visit(URL_OF_STACK);
    await chartReady(page, (await page.textContent('.quote-symbol')) ?? '');
    const files = await page.evaluate(() => {
      const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')] as PerformanceResourceTiming[];
      return entries.filter(({ name }) => !name.includes('/api/') && !name.includes('socket.io')).map(({ name, transferSize }) => ({ name, transferSize }));
    });
    expect(files.length).toBeGreaterThanOrEqual(3);
    expect(files.reduce((sum, file) => sum + file.transferSize, 0)).toBeLessThan(130_000);
    expect(await layoutShift(page)).toBeLessThan(0.05);
    const script = files.find(({ name }) => name.endsWith('.js'));
    const answer = await fetch(script?.name ?? '', { headers: { 'accept-encoding': 'br' } });
    expect([answer.headers.get('content-encoding'), answer.headers.get('cache-control')]).toEqual(['br', 'public, max-age=31536000, immutable']);
  } finally {
    await stranger.close();
  }
});

test('every number of the pipeline page is one that the services report', async () => {
  const { page } = await guest.visit(`${URL_OF_STACK}/#/pipeline`);
  const tiles = page.locator('.tile');
  await eventually('rates', async () => (await tiles.count()) >= FIGURES.length && !/…/.test((await tiles.first().textContent()) ?? '…'));
  const told = (await (await fetch(`${URL_OF_STACK}/api/pipeline`)).json()) as { services: Record<string, { metrics: Record<string, number> }> };
  const silent = FIGURES.filter(({ measure }) => Object.keys(told.services[measure.service]?.metrics ?? {}).length === 0);
  expect(silent.map(({ title }) => title)).toEqual([]);
  await eventually('a value in every tile', async () => (await page.locator('.tile.absent').allTextContents()).length === 0, 20_000);
  await keep(page, 'stack-pipeline');
  await page.close();
});

test('the calendar that shades sessions is the API’s', async () => {
  const api = process.env['TAPELINE_API_URL'];
  if (api === undefined) return;
  const days = (await (await fetch(`${api}/v2/calendar?start=2024-01-01&end=2027-12-31`)).json()) as { date: string; open: string; close: string }[];
  expect(days.length).toBeGreaterThan(1_000);
  const known = new Map(days.map(({ date, close }) => [date, close]));
  for (let at = Date.UTC(2024, 0, 1, 17); at < Date.UTC(2028, 0, 1); at += 86_400_000) {
    const date = new Date(at).toISOString().slice(0, 10);
    const session = sessionOf(at);
    expect(session === null ? undefined : new Date(session[2]).toLocaleTimeString('en-GB', { timeZone: 'America/New_York', hour: '2-digit', minute: '2-digit' }), date).toBe(known.get(date));
  }
});

test('nothing is asked of another host, and nothing went wrong', () => {
  const hosts = new Set(visit.requests.map((address) => new URL(address).host));
  expect([...hosts]).toEqual([new URL(URL_OF_STACK).host]);
  expect(visit.errors).toEqual([]);
});
