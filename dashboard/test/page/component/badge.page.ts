/** Each state of the badge, provoked. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { rehearse, type Stage } from '../../rehearsal/main.mjs';
import { eventually, keep, visitor, type Visitor } from '../../support/browser';
import { badgeBecomes, badgeState, says } from '../../support/looks';

let stage: Stage;
let guest: Visitor;

beforeEach(async () => {
  stage = await rehearse({ symbols: ['AAPL', 'MSFT'] });
  guest = await visitor();
});
afterEach(async () => {
  await guest.close();
  await stage.stop();
});

test('without a heartbeat a connected page does not claim to be live', async () => {
  stage.control({ heartbeat: 'false' });
  const { page } = await guest.visit(stage.url);
  await eventually('a live price', async () => Number(await page.textContent('.quote-price')) > 0);
  await eventually('the badge to say so', async () => (await page.textContent('.badge')) === 'No heartbeat');
  expect(await badgeState(page)).toBe('waiting');
  stage.control({ heartbeat: 'true' });
  await badgeBecomes(page, 'live');
  stage.control({ heartbeat: 'false' });
  await badgeBecomes(page, 'stale');
});

test('a silent feed is stale while the market is open, and closed when it is closed', async () => {
  const { page } = await guest.visit(stage.url);
  await badgeBecomes(page, 'live');
  stage.control({ mute: 'true', silence: '60000' });
  await badgeBecomes(page, 'stale');
  await keep(page, 'badge-stale');
  stage.control({ market: 'closed' });
  await badgeBecomes(page, 'closed');
  await page.click('.badge');
  await keep(page, 'badge-closed');
  stage.control({ market: 'open', mute: 'false' });
  await badgeBecomes(page, 'live');
});

test('Redis away is degraded', async () => {
  const { page } = await guest.visit(stage.url);
  await badgeBecomes(page, 'live');
  stage.control({ redis: 'down' });
  await badgeBecomes(page, 'degraded');
  stage.control({ redis: 'up' });
  await badgeBecomes(page, 'live');
});

test('trades that arrive late are delayed', async () => {
  stage.control({ delay: '900000' });
  const { page } = await guest.visit(stage.url);
  await badgeBecomes(page, 'delayed');
  await page.click('.badge');
  await says(page, 'Trades arrive 15 min after they happened');
});

test('a gateway that is gone is reconnecting', async () => {
  const { page } = await guest.visit(stage.url);
  await badgeBecomes(page, 'live');
  await stage.stop();
  await badgeBecomes(page, 'reconnecting');
  await keep(page, 'badge-reconnecting');
  stage = await rehearse({ port: Number(new URL(stage.url).port), symbols: ['AAPL', 'MSFT'] });
  await badgeBecomes(page, 'live', 30_000);
});
