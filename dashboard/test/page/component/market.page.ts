/** The market page against the rehearsal server. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { rehearse, type Stage } from '../../rehearsal/main.mjs';
import { eventually, keep, visitor, type Visit, type Visitor } from '../../support/browser';
import { asShown, badgeBecomes, barsOf, candleCount, chartReady, legendAt, shownCandles, shownTape, says, wheelChart } from '../../support/looks';

let stage: Stage;
let guest: Visitor;
let visit: Visit;

beforeAll(async () => {
  stage = await rehearse();
});
afterAll(() => stage.stop());
beforeEach(async () => {
  guest = await visitor();
  visit = await guest.visit(stage.url);
  await chartReady(visit.page, 'AAPL');
});
afterEach(() => guest.close());

test('the chart shows the bars of the API, one candle each', async () => {
  const { page, errors } = visit;
  await keep(page, 'market-dark');
  const shown = await eventually('the table', async () => {
    const rows = await shownCandles(page);
    return rows.length > 100 && rows;
  });
  const bars = new Map((await barsOf(stage.url, 'AAPL')).map((bar) => [bar.timestamp, asShown(bar)]));
  const closed = shown.filter(({ timestamp }) => bars.has(timestamp));
  expect(closed.length).toBeGreaterThanOrEqual(shown.length - 2);
  expect(closed).toEqual(closed.map(({ timestamp }) => bars.get(timestamp)));
  const starts = shown.map(({ timestamp }) => timestamp);
  expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
  expect(errors).toEqual([]);
});

test('a minute later the final bar stands where the trades formed a candle', async () => {
  const { page } = visit;
  const before = Math.floor(Date.now() / 60_000) * 60_000;
  const bar = await eventually('the bar of the running minute', async () => (await barsOf(stage.url, 'AAPL')).find(({ timestamp }) => timestamp === before), 90_000);
  await eventually('the candle to be that bar', async () => {
    const candle = (await shownCandles(page)).find(({ timestamp }) => timestamp === before);
    return candle !== undefined && JSON.stringify(asShown(candle)) === JSON.stringify(asShown(bar));
  });
});

test('after a lost connection the chart has every bar, once', async () => {
  const { page } = visit;
  await eventually('trades', async () => (await shownTape(page)).length > 3);
  stage.control({ cut: '' });
  await badgeBecomes(page, 'live');
  const bars = (await barsOf(stage.url, 'AAPL')).slice(-50).map(asShown);
  await eventually('the last fifty bars on the chart', async () => {
    const shown = (await shownCandles(page)).filter(({ timestamp }) => timestamp <= (bars[bars.length - 1]?.timestamp ?? 0));
    return JSON.stringify(shown.slice(-50)) === JSON.stringify(bars);
  });
});

test('arrows walk through the symbols, slash searches, a found symbol is followed and remembered', async () => {
  const { page } = visit;
  await page.keyboard.press('ArrowRight');
  await chartReady(page, 'MSFT');
  await page.keyboard.press('ArrowLeft');
  await chartReady(page, 'AAPL');
  await page.getByRole('tab', { name: /TSLA/ }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('nv');
  await page.getByRole('option', { name: /NVDA/ }).waitFor();
  await page.keyboard.press('Enter');
  await chartReady(page, 'NVDA');
  expect(await page.textContent('.quote-symbol')).toBe('NVDA');
  await page.reload();
  await chartReady(page, 'NVDA');
  await page.getByRole('tab', { name: /NVDA/ }).hover();
  await page.getByTitle('Stop following NVDA').first().click();
  await page.waitForSelector('.quote-symbol:not(:text("NVDA"))');
  await eventually('its tab to go', async () => (await page.getByRole('tab', { name: /NVDA/ }).count()) === 0);
});

test('a symbol without history says so in plain words and waits for its first trade', async () => {
  const { page } = visit;
  await page.keyboard.press('/');
  await page.keyboard.type('ZZZZ');
  await page.keyboard.press('Enter');
  await says(page, 'No bars of ZZZZ yet');
  await says(page, /Nothing is stored for ZZZZ. Check the spelling/);
  await keep(page, 'market-unknown');
});

test('without the API the page says so, goes on with live trades, and heals by itself', async () => {
  stage.control({ api: 'down' });
  try {
    const { page } = await guest.visit(stage.url);
    await says(page, 'the database does not answer');
    await eventually('a live price all the same', async () => Number(await page.textContent('.quote-price')) > 0);
    await keep(page, 'market-no-history');
    stage.control({ api: 'up' });
    await eventually('history', async () => (await shownCandles(page)).length > 100, 45_000);
  } finally {
    stage.control({ api: 'up' });
  }
});

test('changing timeframe never doubles a candle', async () => {
  const { page, errors } = visit;
  for (const timeframe of ['5Min', '30Min', '4Hour', '1Day', '1Min']) {
    await page.click(`[data-value="${timeframe}"]`);
    const expected = new Map((await barsOf(stage.url, 'AAPL', `&timeframe=${timeframe}`)).map((bar) => [bar.timestamp, asShown(bar)]));
    await eventually(`candles of ${timeframe}`, async () => {
      const shown = await shownCandles(page);
      const closed = shown.slice(0, -1).filter(({ timestamp }) => expected.has(timestamp)).slice(-40);
      return closed.length > Math.min(20, expected.size - 3) && closed.slice(0, -1).every((candle) => JSON.stringify(candle) === JSON.stringify(expected.get(candle.timestamp)));
    });
    const starts = (await shownCandles(page)).map(({ timestamp }) => timestamp);
    expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
  }
  expect(errors).toEqual([]);
});

test('scrolling back loads earlier candles, each once', async () => {
  const { page, errors } = visit;
  const before = await candleCount(page);
  await eventually('more candles than at first', async () => {
    await wheelChart(page, -2_500, 0);
    return (await candleCount(page)) > before + 500;
  }, 30_000);
  const start = Date.now() - 2 * 86_400_000;
  const all = await fetch(`${stage.url}/api/bars/AAPL/range?start=${start}&end=${Date.now()}&limit=10000`).then((answer) => answer.json() as Promise<{ bars: unknown[] }>);
  await eventually('all of history, each minute once', async () => {
    await wheelChart(page, -2_500, 0);
    return Math.abs((await candleCount(page)) - all.bars.length) <= 3;
  }, 30_000);
  const starts = (await shownCandles(page)).map(({ timestamp }) => timestamp);
  expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
  expect(errors).toEqual([]);
});

test('a hole between candles is explained where the pointer is', async () => {
  const { page } = visit;
  const box = await page.locator('.chart-canvas').boundingBox();
  if (box === null) throw new Error('no canvas');
  let text = '';
  for (let x = box.x + box.width - 90; x > box.x; x -= 4) {
    text = await legendAt(page, x, box.y + box.height / 2);
    if (text.includes('no candle')) break;
  }
  expect(text).toMatch(/\d\d:\d\d–\d\d:\d\d: no candle. No trade set a price then; the feed was there/);
  await keep(page, 'market-hole');
});

test('the tape filters by size, and pauses', async () => {
  const { page } = visit;
  await eventually('trades', async () => (await shownTape(page)).length > 10);
  await page.getByRole('combobox', { name: 'Smallest trade shown' }).selectOption('500');
  await eventually('only big ones', async () => {
    const sizes = (await shownTape(page)).map(({ size }) => Number(size.replaceAll(',', '')));
    return sizes.length > 0 && sizes.every((size) => size >= 500);
  });
  await page.getByRole('button', { name: 'Pause' }).click();
  const frozen = JSON.stringify(await shownTape(page));
  await says(page, /\d+ new/);
  expect(JSON.stringify(await shownTape(page))).toBe(frozen);
});

test('the watchlist sorts by what its heads say', async () => {
  const { page } = visit;
  await page.waitForSelector('.watchlist tr:nth-child(5) .change.up, .watchlist tr:nth-child(5) .change.down');
  await page.getByRole('button', { name: 'Symbol', exact: true }).click();
  const symbols = () => page.$$eval('.watch-symbol', (all) => all.map((one) => one.textContent ?? ''));
  expect(await symbols()).toEqual([...(await symbols())].sort());
  await page.getByRole('button', { name: 'Last', exact: true }).click();
  await eventually('prices falling', async () => {
    const prices = await page.$$eval('.watchlist .last .glow', (all) => all.map((one) => Number((one.textContent ?? '').replaceAll(',', ''))));
    return prices.length === 5 && prices.every((price, index) => index === 0 || price <= (prices[index - 1] ?? 0));
  });
  await page.click('.watchlist tr[data-symbol="TSLA"]');
  await chartReady(page, 'TSLA');
});

test('nothing is asked of another host', () => {
  const hosts = new Set(visit.requests.map((address) => new URL(address).host));
  expect([...hosts]).toEqual([new URL(stage.url).host]);
});
