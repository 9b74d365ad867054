/** The pipeline page and the try-it page against the rehearsal server. */
import AxeBuilder from 'axe-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { rehearse, type Stage } from '../../rehearsal/main.mjs';
import { eventually, keep, visitor, type Visitor } from '../../support/browser';
import { faultsOf, says } from '../../support/looks';

let stage: Stage;
let guest: Visitor;

beforeAll(async () => {
  stage = await rehearse({ symbols: ['AAPL', 'MSFT'], rate: 40 });
});
afterAll(() => stage.stop());
beforeEach(async () => {
  guest = await visitor();
});
afterEach(() => guest.close());

test('the pipeline page shows rates, names what is ill, and says what nobody reports', async () => {
  const { page, errors } = await guest.visit(`${stage.url}/#/pipeline`);
  const tile = (title: string) => page.locator('.tile', { has: page.getByRole('heading', { name: title, exact: true }) }).first();
  await eventually('about 80 trades a second from the feed', async () => {
    const rate = Number(await tile('From the feed').locator('b').textContent());
    return rate > 60 && rate < 100;
  });
  await says(page, 'Not well: consumer-trades, bars-api.');
  expect(await tile('History answers').locator('b').textContent()).toBe('not reported');
  expect(await tile('Dead letters, trades').getAttribute('class')).toContain('alarm');
  await says(page, 'connection refused; retrying');
  stage.control({ status: JSON.stringify({ type: 'gap', source: 'alpaca', symbol: '*', from: Date.now() - 60_000, cause: 'the feed closed the connection' }) });
  await says(page, 'the feed closed the connection');
  await page.getByRole('searchbox', { name: 'Filter the numbers' }).fill('lag_records');
  await eventually('the filtered numbers', async () => (await page.locator('[aria-label="All numbers"] tbody tr').count()) === 1);
  expect(await faultsOf(page, AxeBuilder.source)).toEqual([]);
  expect(errors).toEqual([]);
  await keep(page, 'pipeline');
});

test('a gateway that reports no pipeline is not a broken page', async () => {
  stage.control({ api: 'down' });
  try {
    const { page } = await guest.visit(`${stage.url}/#/pipeline`);
    await says(page, 'This gateway does not report its pipeline (/api/pipeline answered 503).');
  } finally {
    stage.control({ api: 'up' });
  }
});

test('the try-it page runs what it shows', async () => {
  const { page, errors } = await guest.visit(`${stage.url}/#/try`);
  const newest = page.locator('[data-recipe="newest"]');
  await newest.getByRole('button', { name: 'curl' }).click();
  expect(await newest.locator('code').textContent()).toBe(`curl '${stage.url}/api/bars/AAPL?limit=5'`);
  await newest.getByRole('button', { name: 'Run' }).click();
  const answer = JSON.parse(await eventually('an answer', () => newest.locator('.answer').textContent())) as { bars: unknown[] };
  expect(answer.bars).toHaveLength(5);
  const live = page.locator('[data-recipe="socket"]');
  await live.getByRole('button', { name: 'Run' }).click();
  await eventually('raw trades', async () => /trade \{"symbol":"AAPL","price":\d/.test((await live.locator('.answer').textContent()) ?? ''));
  await live.getByRole('button', { name: 'Stop' }).click();
  expect(await faultsOf(page, AxeBuilder.source)).toEqual([]);
  expect(errors).toEqual([]);
  await keep(page, 'try-it');
});
