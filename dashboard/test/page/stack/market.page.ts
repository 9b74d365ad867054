/**
 * The page against the running system: what it shows, compared with the API and with the events that a client of our own receives.
 * The address comes from TAPELINE_URL; the stack must be running with the simulated market.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, keep, visitor, type Visit, type Visitor } from '../../support/browser';
import { listen, type Ear } from '../../support/ear';
import { asShown, badgeBecomes, barsOf, chartReady, shownCandles, shownTape } from '../../support/looks';
import { tapeTime } from '../../../src/core/format';

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
    return newest.some((price) => Math.abs(price - Number(text.replaceAll(',', ''))) < 1e-6);
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

test.each(['5Min', '15Min', '1Hour', '1Day'])('candles of %s equal the API’s', async (timeframe) => {
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

test('nothing is asked of another host, and nothing went wrong', () => {
  const hosts = new Set(visit.requests.map((address) => new URL(address).host));
  expect([...hosts]).toEqual([new URL(URL_OF_STACK).host]);
  expect(visit.errors).toEqual([]);
});
