/** The running system in trouble, as the page tells it. Needs a stack of the simulated market, as `local-stack demo` starts it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually, keep, visitor, type Visit, type Visitor } from '../../support/browser';
import { canTrouble, feedFault, redisAway } from '../../support/faults';
import { asShown, badgeBecomes, barsOf, chartReady, shownCandles } from '../../support/looks';

const URL_OF_STACK = (process.env['TAPELINE_URL'] ?? 'http://localhost:5000').replace(/\/$/, '');

describe.skipIf(!canTrouble)('in trouble', () => {
  let guest: Visitor;
  let visit: Visit;
  let symbol: string;

  beforeEach(async () => {
    guest = await visitor();
    visit = await guest.visit(URL_OF_STACK);
    symbol = await eventually('a symbol', () => visit.page.textContent('.quote-symbol'));
    await chartReady(visit.page, symbol);
    await badgeBecomes(visit.page, 'live', 60_000);
  }, 100_000);
  afterEach(async () => {
    await feedFault({ fault: 'clear' });
    await guest.close();
  });

  test('a mute feed is stale in an open market, and closed in a closed one', async () => {
    const { page } = visit;
    await feedFault({ fault: 'mute', seconds: 90, pongs: true });
    const open = (await page.getAttribute('.quote-session', 'data-market')) === 'open';
    await badgeBecomes(page, open ? 'stale' : 'closed', 90_000);
    await keep(page, 'stack-mute');
    await feedFault({ fault: 'clear' });
    await badgeBecomes(page, 'live', 60_000);
  }, 200_000);

  test('Redis away is degraded, and afterwards no bar is missing', async () => {
    const { page } = visit;
    const back = await redisAway();
    try {
      await badgeBecomes(page, 'degraded', 20_000);
      await keep(page, 'stack-redis-away');
    } finally {
      await back();
    }
    await badgeBecomes(page, 'live', 60_000);
    await everyBarIsShown();
  }, 200_000);

  test('an outage of the feed is a gap on the pipeline page, with its cause, and afterwards no bar is missing', async () => {
    const { page } = visit;
    await page.goto(`${URL_OF_STACK}/#/pipeline`);
    await feedFault({ fault: 'outage', seconds: 12, rest: false });
    const gaps = page.getByRole('region', { name: 'Gaps', exact: true }).locator('tbody tr');
    await eventually('a gap on the page', async () => (await gaps.count()) > 0, 60_000);
    await eventually('its end', async () => !/still open/.test((await gaps.first().textContent()) ?? ''), 60_000);
    expect((await gaps.first().locator('td').nth(3).textContent()) ?? '').not.toBe('');
    await keep(page, 'stack-gap');
    await page.goto(`${URL_OF_STACK}/#/market/${symbol}`);
    await badgeBecomes(page, 'live', 60_000);
    await everyBarIsShown();
  }, 250_000);

  /** A minute that began after the trouble has its bar, and so has every minute before it. */
  async function everyBarIsShown(): Promise<void> {
    const { page } = visit;
    const since = Math.floor(Date.now() / 60_000) * 60_000;
    await eventually('a bar after the trouble', async () => (await barsOf(URL_OF_STACK, symbol)).some(({ timestamp }) => timestamp >= since), 90_000);
    await eventually('every stored bar on the chart', async () => {
      const candles = await shownCandles(page);
      const shown = new Map(candles.map((candle) => [candle.timestamp, JSON.stringify(candle)]));
      const bars = await storedSince(candles);
      return bars.some(({ timestamp }) => timestamp >= since) && bars.every((bar) => shown.get(bar.timestamp) === JSON.stringify(asShown(bar)));
    }, 45_000).catch(async (error: Error) => {
      const candles = await shownCandles(page);
      expect(candles).toEqual((await storedSince(candles)).map(asShown));
      throw error;
    });
  }

  /** Stored bars from the oldest candle on the chart on: what is older comes when the chart is scrolled back. */
  async function storedSince(candles: readonly { timestamp: number }[]) {
    const oldest = Math.min(...candles.map(({ timestamp }) => timestamp));
    return (await barsOf(URL_OF_STACK, symbol)).filter(({ timestamp }) => timestamp >= oldest);
  }
});
