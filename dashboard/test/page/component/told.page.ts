/** What the page is told beside records: outages, symbols without data, names, keys. Against the rehearsal server. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { rehearse, type Stage } from '../../rehearsal/main.mjs';
import { eventually, keep, visitor, type Visit, type Visitor } from '../../support/browser';
import { badgeBecomes, chartReady, legendAt, shownCandles, says } from '../../support/looks';

const MINUTE = 60_000;

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

/** Moves the pointer over the chart from right to left, again and again, until the legend says what is looked for. */
async function legendWith(part: RegExp): Promise<string> {
  const { page } = visit;
  const box = await page.locator('.chart-canvas').boundingBox();
  if (box === null) throw new Error('no canvas');
  return eventually(`${part} under the pointer`, async () => {
    let text = '';
    for (let x = box.x + box.width - 90; x > box.x; x -= 4) {
      text = await legendAt(page, x, box.y + box.height / 2);
      if (part.test(text)) return text;
    }
    throw new Error(`the last was: ${text}`);
  }, 60_000);
}

test('past outages are drawn and explained, and follow what is heard of them', async () => {
  const { page, errors } = visit;
  const minute = Math.floor(Date.now() / MINUTE) * MINUTE;
  const gap = { type: 'gap', source: 'alpaca', symbol: '*', from: minute - 44 * MINUTE, to: minute - 42 * MINUTE, cause: 'the line was cut' };
  const healed = { ...gap, from: minute - 20 * MINUTE, to: minute - 15 * MINUTE, cause: 'a restart', healed_at: minute - 14 * MINUTE };
  // Before the page is opened: it has to ask.
  stage.control({ gaps: JSON.stringify([gap, healed]) });
  try {
    await page.reload();
    await chartReady(page, 'AAPL');
    await legendWith(/no candle\. The feed was away from .* to .*: the line was cut; what was missed is not here/);
    await legendWith(/O.*H.*L.*C.*The feed was away .*: a restart; what was missed has been fetched/);
    await keep(page, 'market-gaps');
    stage.control({ healed: JSON.stringify({ ...gap, healed_at: minute }) });
    await legendWith(/line was cut; what was missed has been fetched/);
    stage.control({ gap: JSON.stringify({ type: 'gap', source: 'alpaca', symbol: '*', from: Date.now(), cause: 'the feed is gone' }) });
    await page.mouse.move(5, 5);
    await eventually('the outage that is on now, without a pointer', async () =>
      /The feed has been away since .*: the feed is gone/.test((await page.textContent('.chart-legend')) ?? ''),
    );
    await keep(page, 'market-outage-now');
    expect(errors).toEqual([]);
  } finally {
    stage.control({ gaps: '[]' });
  }
});

test('a symbol that the feed does not carry is told with its reason, until it does', async () => {
  const { page } = visit;
  await badgeBecomes(page, 'live');
  stage.control({ status: JSON.stringify({ type: 'unavailable', symbol: 'AAPL', source: 'alpaca', reason: 'the plan of this key carries 30 symbols' }) });
  await page.locator('.quote-unavailable', { hasText: 'No live data: the plan of this key carries 30 symbols' }).waitFor();
  await keep(page, 'market-unavailable');
  stage.control({ status: JSON.stringify({ type: 'available', symbol: 'AAPL', source: 'alpaca' }) });
  await eventually('the word taken back', () => page.locator('.quote-unavailable').isHidden());
});

test('names stand beside symbols, and find them', async () => {
  const { page } = visit;
  await page.locator('.quote-company', { hasText: 'Apple Inc. · NASDAQ' }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('microsoft');
  await page.getByRole('option', { name: /MSFT.*Microsoft Corporation/ }).waitFor();
  await page.keyboard.press('Enter');
  await chartReady(page, 'MSFT');
});

test('weeks are put together from history and the running week', async () => {
  const { page, errors } = visit;
  await page.click('[data-value="1Week"]');
  await eventually('weeks', async () => /\d+ candles of 1w/.test((await page.getAttribute('.chart-canvas', 'aria-label')) ?? ''));
  const last = () => shownCandles(page).then((candles) => candles[candles.length - 1]);
  const before = await eventually('the running week', last);
  expect(new Date(before.timestamp).getUTCDay()).toBe(1);
  await eventually('its volume to grow with the trades', async () => ((await last())?.volume ?? 0) > before.volume);
  await keep(page, 'market-weeks');
  expect(errors).toEqual([]);
});

test('where a key is asked for, the page asks once and keeps only a token', async () => {
  const key = 'correct horse battery staple';
  stage.control({ key, life: '4' });
  const stranger = await visitor();
  try {
    const { page } = await stranger.visit(stage.url);
    const dialog = page.getByRole('dialog', { name: 'This gateway asks for an API key' });
    await dialog.waitFor();
    await keep(page, 'key');
    const box = dialog.getByLabel('API key');
    await box.fill('a wrong one');
    await box.press('Enter');
    await says(dialog, 'The gateway does not know this key.');
    await box.fill(key);
    await box.press('Enter');
    await chartReady(page, 'AAPL');
    await badgeBecomes(page, 'live');
    const kept = () => page.evaluate(() => JSON.stringify({ ...sessionStorage, ...localStorage }));
    const first = await kept();
    expect(first).toContain('token-');
    expect(first).not.toContain(key);
    // The first token is over by then: the next one came without a question.
    await eventually('another token', async () => (await kept()) !== first);
    await page.getByRole('tab', { name: /MSFT/ }).click();
    await chartReady(page, 'MSFT');
    expect(await dialog.isVisible()).toBe(false);
    await page.reload();
    await chartReady(page, 'MSFT');
  } finally {
    stage.control({ key: '' });
    await stranger.close();
  }
});
