/** Every page in every theme and three widths: nothing sticks out, axe finds nothing serious, and a picture of each is kept. */
import AxeBuilder from 'axe-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rehearse, type Stage } from '../../rehearsal/main.mjs';
import { eventually, keep, visitor } from '../../support/browser';
import { badgeBecomes, chartReady, faultsOf } from '../../support/looks';

const WIDTHS = [1440, 768, 360];
const PAGES = ['market', 'pipeline', 'try'];
let stage: Stage;

beforeAll(async () => {
  stage = await rehearse({ symbols: ['AAPL', 'AMD', 'AMZN', 'GOOGL', 'META', 'MSFT', 'NVDA', 'TSLA'], rate: 10 });
});
afterAll(() => stage.stop());

test.each(['dark', 'light', 'amber'] as const)('the theme %s', async (theme) => {
  const guest = await visitor();
  try {
    const { page, errors } = await guest.visit(`${stage.url}/#/market/AAPL?tf=5Min&span=5D&with=ema:20,rsi:14&vs=MSFT`, { kept: { theme } });
    await chartReady(page, 'AAPL');
    await badgeBecomes(page, 'live');
    for (const id of PAGES) {
      await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').nth(PAGES.indexOf(id)).click();
      if (id === 'market') await chartReady(page, 'AAPL');
      if (id === 'pipeline') await eventually('numbers', async () => /\d/.test((await page.locator('.tile b').first().textContent()) ?? ''));
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: width < 1_000 ? 1_200 : 900 });
        await page.waitForTimeout(300);
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${id} at ${width}`).toBeLessThanOrEqual(0);
        if (width !== 768) expect(await faultsOf(page, AxeBuilder.source), `${id} at ${width}`).toEqual([]);
        await keep(page, `${id}-${theme}-${width}`);
      }
      await page.setViewportSize({ width: 1_440, height: 900 });
    }
    expect(errors).toEqual([]);
  } finally {
    await guest.close();
  }
});

test('menus have no serious fault either, and Escape gives the focus back', async () => {
  const guest = await visitor();
  try {
    const { page } = await guest.visit(stage.url, { kept: { theme: 'amber' } });
    await chartReady(page, 'AAPL');
    for (const name of [/^Indicators/, /^Compare/, /^Alerts/, /^Lists/]) {
      const button = page.getByRole('button', { name });
      await button.focus();
      await page.keyboard.press('Enter');
      expect(await faultsOf(page, AxeBuilder.source), String(name)).toEqual([]);
      await page.keyboard.press('Tab');
      await page.keyboard.press('Escape');
      expect(await button.evaluate((element) => element === document.activeElement && element.getAttribute('aria-expanded') === 'false')).toBe(true);
    }
  } finally {
    await guest.close();
  }
});
