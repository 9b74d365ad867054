/** The chart's own ways: how far back, whose clock, what stays in place. Against the rehearsal server. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { rehearse, type Stage } from '../../rehearsal/main.mjs';
import { eventually, keep, visitor, type Visit, type Visitor } from '../../support/browser';
import { badgeBecomes, candleCount, chartReady, layoutShift, says, shownCandles, shownTape, wheelChart } from '../../support/looks';

const SYMBOLS = ['AAPL', 'AMD', 'AMZN', 'GOOGL', 'META', 'MSFT', 'NVDA', 'TSLA'];
let stage: Stage;
let guest: Visitor;
let visit: Visit;

beforeAll(async () => {
  stage = await rehearse({ symbols: SYMBOLS, rate: 20 });
});
afterAll(() => stage.stop());
beforeEach(async () => {
  guest = await visitor();
  visit = await guest.visit(stage.url);
  await chartReady(visit.page, 'AAPL');
});
afterEach(() => guest.close());

const pressed = (value: string) => visit.page.getAttribute(`[data-value="${value}"]`, 'aria-pressed');

test('a horizon is lit while the chart shows it, and no longer once it was zoomed', async () => {
  const { page } = visit;
  await page.click('[data-value="1Y"]');
  await eventually('days of a year', async () => (await pressed('1Day')) === 'true' && (await candleCount(page)) > 200);
  expect(await pressed('1Y')).toBe('true');
  await keep(page, 'chart-year');
  await wheelChart(page, 0, -300);
  await eventually('the horizon to go out', async () => (await pressed('1Y')) === 'false');
});

test('scrolled back, the tag keeps the newest price and a button leads back to now', async () => {
  const { page } = visit;
  const now = page.getByRole('button', { name: 'Back to now' });
  expect(await now.isVisible()).toBe(false);
  await wheelChart(page, -1_500, 0);
  await now.waitFor();
  await keep(page, 'chart-scrolled-back');
  const newest = async () => (await shownCandles(page)).pop()?.close;
  await eventually('the tag to be the newest close', async () => Number(await page.getAttribute('.chart-canvas', 'data-tag')) === (await newest()));
  await page.getByRole('button', { name: 'Table', exact: true }).click();
  await now.click();
  await eventually('the button to go', async () => !(await now.isVisible()));
  await wheelChart(page, -1_500, 0);
  await now.waitFor();
  await page.keyboard.press('End');
  await eventually('the key End to do the same', async () => !(await now.isVisible()));
});

test('a symbol that is looked at again goes on with its candle', async () => {
  const { page } = visit;
  const last = async () => (await shownCandles(page)).pop();
  const before = await eventually('a candle of some trades', async () => {
    const candle = await last();
    return candle !== undefined && candle.volume > 5_000 && Date.now() % 60_000 < 45_000 && candle;
  }, 90_000);
  await page.getByRole('tab', { name: /MSFT/ }).click();
  await chartReady(page, 'MSFT');
  await page.getByRole('tab', { name: /AAPL/ }).click();
  await chartReady(page, 'AAPL');
  // On a slow machine its minute may be over by now.
  const after = await eventually('the same candle again', async () => (await shownCandles(page)).find(({ timestamp, volume }) => timestamp === before.timestamp && volume > 0));
  expect(after.volume).toBeGreaterThanOrEqual(before.volume);
  expect([after.open, after.high >= before.high, after.low <= before.low]).toEqual([before.open, true, true]);
});

test('times say whose they are, and follow the chosen clock everywhere', async () => {
  const { page } = visit;
  const zone = page.getByRole('combobox', { name: 'Time zone' });
  expect(await zone.evaluate((element) => (element as HTMLSelectElement).selectedOptions[0]?.textContent)).toMatch(/^New York \(E[SD]T\)$/);
  await zone.selectOption('utc');
  await eventually('the tape in UTC', async () => (await shownTape(page))[0]?.time.slice(0, 2) === String(new Date().getUTCHours()).padStart(2, '0'));
  await shownCandles(page);
  await says(page.locator('.chart-table'), 'Time, UTC');
  await keep(page, 'chart-utc-table');
  await page.reload();
  await chartReady(page, 'AAPL');
  expect(await zone.inputValue()).toBe('utc');
});

test('prices keep the decimals of their tick, so that nothing beside them jumps', async () => {
  const { page } = visit;
  await badgeBecomes(page, 'live');
  const seen = await page.evaluate(async () => {
    const [texts, places] = [new Set<number>(), new Set<number>()];
    for (let look = 0; look < 60; look += 1) {
      texts.add((document.querySelector('.quote-price')?.textContent ?? '').split('.')[1]?.length ?? 0);
      places.add(Math.round(document.querySelector('.quote-change')?.getBoundingClientRect().left ?? 0));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return { texts: [...texts], places: [...places] };
  });
  expect(seen.texts).toEqual([2]);
  expect(seen.places).toHaveLength(1);
});

test('a session’s average price is for candles within a day', async () => {
  const { page } = visit;
  await page.getByRole('button', { name: /^Indicators/ }).click();
  const box = page.getByRole('checkbox', { name: /VWAP/ });
  await box.check();
  await eventually('its value', async () => /VWAP/.test((await page.textContent('.chart-legend')) ?? ''));
  await page.getByRole('checkbox', { name: 'RSI 14' }).check();
  await page.getByRole('checkbox', { name: /Bollinger/ }).check();
  await eventually('theirs', async () => /RSI 14.*|Bollinger/.test((await page.textContent('.chart-legend')) ?? ''));
  await keep(page, 'chart-indicators');
  await page.keyboard.press('Escape');
  await page.click('[data-value="1Day"]');
  await eventually('days without it', async () => (await candleCount(page)) > 100 && !/VWAP/.test((await page.textContent('.chart-legend')) ?? ''));
  await page.getByRole('button', { name: /^Indicators/ }).click();
  expect(await box.isDisabled()).toBe(true);
  await page.reload();
  await eventually('indicators remembered', async () => /Indicators 2/.test((await page.textContent('.chart-bar')) ?? ''));
});

test('eight tabs scroll, and the cross of a tab removes that tab alone', async () => {
  const { page } = visit;
  await page.setViewportSize({ width: 1100, height: 800 });
  const on = page.getByRole('button', { name: 'Further tabs' });
  await on.waitFor();
  await on.click();
  await page.getByRole('tab', { name: /NVDA/ }).hover();
  await page.getByTitle('Stop following NVDA').first().click();
  await eventually('the tab to go', async () => (await page.getByRole('tab', { name: /NVDA/ }).count()) === 0);
  expect(await page.textContent('.quote-symbol')).toBe('AAPL');
  await page.getByRole('tab', { name: /AAPL/ }).focus();
  await page.keyboard.press('End');
  await chartReady(page, 'TSLA');
  await page.keyboard.press('Delete');
  await eventually('the active one to go by key', async () => (await page.getByRole('tab', { name: /TSLA/ }).count()) === 0);
});

test('the address says what is shown, can be shared, and back leads back', async () => {
  const { page } = visit;
  await page.getByRole('tab', { name: /MSFT/ }).click();
  await chartReady(page, 'MSFT');
  await page.click('[data-value="5D"]');
  await eventually('the address', async () => /#\/market\/MSFT\?tf=5Min&span=5D/.test(page.url()));
  await page.goBack();
  await eventually('the horizon to be off', async () => (await pressed('5D')) === 'false' && /MSFT/.test(page.url()));
  await page.goBack();
  await chartReady(page, 'AAPL');
  await page.goForward();
  await chartReady(page, 'MSFT');

  const stranger = await visitor();
  try {
    const other = await stranger.visit(`${stage.url}/#/market/TSLA?tf=15Min&span=1M&with=ema:20&vs=MSFT,AAPL`);
    await chartReady(other.page, 'TSLA');
    await eventually('candles that suit the month', async () => (await candleCount(other.page)) > 80);
    const legend = async () => (await other.page.textContent('.chart-legend')) ?? '';
    await eventually('indicator and comparison', async () => /EMA 20/.test(await legend()) && /MSFT/.test(await legend()) && /AAPL/.test(await legend()));
    await keep(other.page, 'chart-shared-link');
    expect(other.errors).toEqual([]);
  } finally {
    await stranger.close();
  }
});

test('an alert fires in the page when its price is reached, also after a reload', async () => {
  const { page } = visit;
  await badgeBecomes(page, 'live');
  const last = Number(await page.textContent('.quote-price'));
  await page.getByRole('button', { name: /^Alerts/ }).click();
  await page.getByRole('spinbutton', { name: 'Price of the alert' }).fill((last * 0.5).toFixed(2));
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Alerts 1' }).waitFor();
  await keep(page, 'chart-alerts');
  // While nobody looks the price gets to a second level.
  await page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem('tapeline') ?? '{}') as { alerts: unknown[] };
    kept.alerts.push({ id: 'far', symbol: 'AAPL', price: 100_000, when: 'falls', firedAt: null });
    localStorage.setItem('tapeline', JSON.stringify(kept));
  });
  await page.reload();
  await says(page.locator('.notices'), /AAPL fell to [\d.]+ \(alert at 100,000.00\)/);
  await page.getByRole('button', { name: 'Alerts 1' }).click();
  await says(page, 'AAPL falls to 100,000.00: done');
  await page.getByRole('button', { name: /Remove the alert: AAPL falls to 1\d\d\.\d\d/ }).click();
  await page.getByRole('button', { name: 'Alerts', exact: true }).waitFor();
});

test('a jump to a date shows that day', async () => {
  const { page } = visit;
  await page.click('[data-value="1Hour"]');
  await eventually('hours', async () => (await candleCount(page)) > 20);
  const day = new Date(Date.now() - 30 * 3_600_000).toLocaleDateString('en-CA', { timeZone: 'America/New_York' });
  await page.getByLabel('Go to').fill(day);
  await eventually('the range in the address', async () => {
    const from = Number(/from=(\d+)/.exec(page.url())?.[1] ?? 0) * 1_000;
    return new Date(from).toLocaleDateString('en-CA', { timeZone: 'America/New_York' }) === day;
  });
});

test('watchlists have names, and rows an order of their own', async () => {
  const { page } = visit;
  await says(page.locator('.watchlist td.company').first(), 'Apple Inc.');
  const rows = () => page.$$eval('.watch-symbol', (all) => all.map((one) => one.textContent));
  const before = await rows();
  await page.locator('.watch-symbol').first().focus();
  await page.keyboard.press('Alt+ArrowDown');
  await eventually('the first to be second', async () => (await rows())[1] === before[0]);
  await page.locator('.watchlist tbody tr').nth(3).dragTo(page.locator('.watchlist tbody tr').first());
  await eventually('the fourth to be first', async () => (await rows())[0] === before[3]);
  expect([await page.textContent('.quote-symbol'), await page.getAttribute('#chart-panel', 'data-symbol')]).toEqual(['AAPL', 'AAPL']);
  await page.getByRole('button', { name: 'Lists', exact: true }).click();
  await page.getByRole('textbox', { name: 'Name of the watchlist' }).fill('Chips');
  await keep(page, 'watchlists');
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('tab', { name: /NVDA/ }).focus();
  await page.getByRole('tab', { name: /META/ }).hover();
  await page.getByTitle('Stop following META').first().click();
  await eventually('seven rows', async () => (await rows()).length === 7);
  await page.getByRole('combobox', { name: 'Watchlist', exact: true }).selectOption('Watchlist');
  await eventually('eight in the first list', async () => (await rows()).length === 8);
});

test('the list of the search shows names in full', async () => {
  const { page } = visit;
  await page.keyboard.press('/');
  const option = page.getByRole('option', { name: /MSFT/ });
  await page.keyboard.type('micro');
  await option.waitFor();
  await keep(page, 'search');
  expect((await page.locator('#search-list').boundingBox())?.width).toBeGreaterThan(400);
  expect(await option.locator('.option-name').evaluate((element) => element.scrollWidth <= element.clientWidth)).toBe(true);
});

test('made-up data is called that, whatever the state of the market', async () => {
  const { page } = visit;
  stage.control({ data: 'simulated', market: 'closed' });
  try {
    await eventually('the badge to say so', async () => (await page.textContent('.badge')) === 'Simulated');
    await eventually('the quote to say so', async () => (await page.textContent('.quote-session')) === 'Simulated data · market closed');
    stage.control({ data: 'replay' });
    await eventually('a replay too', async () => (await page.textContent('.badge')) === 'Replay');
  } finally {
    stage.control({ data: 'live', market: 'open' });
  }
});

test('little moves while the page loads', async () => {
  const { page } = await guest.visit(stage.url);
  await chartReady(page, 'AAPL');
  await page.waitForTimeout(1_500);
  expect(await layoutShift(page)).toBeLessThan(0.05);
});

test('on a phone a swipe on the chart scrolls the page, and every timeframe is in reach', async () => {
  const phone = await visitor({ width: 360, height: 740, touch: true });
  try {
    const { page } = await phone.visit(stage.url);
    await chartReady(page, 'AAPL');
    const box = await page.locator('.chart-canvas').boundingBox();
    if (box === null) throw new Error('no canvas');
    const finger = await page.context().newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', y: number) =>
      finger.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x: 150, y }] });
    const from = Math.min(box.y + 150, 720);
    expect(from).toBeGreaterThan(box.y);
    await touch('touchStart', from);
    for (let moved = 10; moved <= 150; moved += 10) await touch('touchMove', from - moved);
    await touch('touchEnd', from - 150);
    await eventually('the page to have moved', async () => (await page.evaluate(() => scrollY)) > 100);
    for (const button of await page.locator('[aria-label="Timeframe"] button').all()) {
      const place = await button.boundingBox();
      expect(place !== null && place.x >= 0 && place.x + place.width <= 360).toBe(true);
    }
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  } finally {
    await phone.close();
  }
});
