/** Reads what the page shows, the way a person would. */
import type { Locator, Page } from 'playwright-core';
import { eventually } from './browser';

export interface ShownCandle {
  readonly timestamp: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

/** The chart's candles, oldest first, read from its table; the table is filled from the canvas. */
export async function shownCandles(page: Page): Promise<ShownCandle[]> {
  const button = page.getByRole('button', { name: 'Table', exact: true });
  if ((await button.getAttribute('aria-pressed')) !== 'true') await button.click();
  const rows = await page.$$eval('.chart-table tbody tr', (all) =>
    all.map((row) => ({
      start: Number((row as HTMLElement).dataset['start']),
      cells: [...row.querySelectorAll('td')].map((cell) => Number((cell.textContent ?? '').replaceAll(',', ''))),
    })),
  );
  return rows.reverse().map(({ start, cells: [open = NaN, high = NaN, low = NaN, close = NaN, volume = NaN] }) => ({ timestamp: start, open, high, low, close, volume }));
}

/** Waits until `text` can be read, in one place or in several. */
export async function says(place: Page | Locator, text: string | RegExp): Promise<void> {
  await place.getByText(text).filter({ visible: true }).first().waitFor();
}

export async function chartReady(page: Page, symbol: string): Promise<void> {
  await page.waitForSelector(`#chart-panel[data-symbol="${symbol}"]:is([data-state="joining"], [data-state="joined"])`, { timeout: 20_000 });
}

export async function badgeState(page: Page): Promise<string> {
  return (await page.getAttribute('.badge', 'data-state')) ?? '';
}

export async function badgeBecomes(page: Page, state: string, limitMs = 20_000): Promise<void> {
  let seen = '';
  await eventually(`the badge to say ${state}`, async () => (seen = await badgeState(page)) === state, limitMs).catch((error: Error) => {
    throw new Error(`${error.message}; it says ${seen}`);
  });
}

export interface ShownTrade {
  readonly time: string;
  readonly price: string;
  readonly size: string;
  readonly seq: string;
}

/** The tape's rows, newest first. */
export function shownTape(page: Page): Promise<ShownTrade[]> {
  return page.$$eval('.tape tbody tr', (rows) =>
    rows.map((row) => {
      const [time = '', price = '', size = ''] = [...row.querySelectorAll('td')].map((cell) => cell.textContent ?? '');
      return { time, price, size, seq: (row as HTMLElement).dataset['id'] ?? '' };
    }),
  );
}

/** A bar of the API in the shape and the decimals that the table shows. */
export function asShown(bar: ShownCandle): ShownCandle {
  const cut = (value: number) => Number(value.toFixed(4));
  const { timestamp, open, high, low, close, volume } = bar;
  return { timestamp, open: cut(open), high: cut(high), low: cut(low), close: cut(close), volume: cut(volume) };
}

export async function barsOf(url: string, symbol: string, query = ''): Promise<(ShownCandle & { final: boolean })[]> {
  const response = await fetch(`${url}/api/bars/${symbol}?limit=1000${query}`);
  if (!response.ok) throw new Error(`/api/bars/${symbol} answered ${response.status}`);
  return ((await response.json()) as { bars: (ShownCandle & { final: boolean })[] }).bars;
}

/** How much of the page moved while it loaded: the browser's own measure, 0 for nothing. */
export function layoutShift(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) if (!entry.hadRecentInput) sum += entry.value;
        }).observe({ type: 'layout-shift', buffered: true });
        setTimeout(() => resolve(sum), 100);
      }),
  );
}

/** Turns the wheel over the chart: sideways scrolls, up and down zooms. */
export async function wheelChart(page: Page, x: number, y: number): Promise<void> {
  const box = await page.locator('.chart-canvas').boundingBox();
  if (box === null) throw new Error('no canvas');
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.wheel(x, y);
}

/** What the chart's legend says once the pointer is at `x`, `y` and the page has drawn that, however slow the machine is. */
export async function legendAt(page: Page, x: number, y: number): Promise<string> {
  await page.mouse.move(x, y);
  // The pointer arrives in one frame, the legend is drawn in the next.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(resolve)))));
  return (await page.textContent('.chart-legend')) ?? '';
}

/** How many candles the chart has, by its own description. */
export async function candleCount(page: Page): Promise<number> {
  return Number(/(\d+) candles/.exec((await page.getAttribute('.chart-canvas', 'aria-label')) ?? '')?.[1] ?? 0);
}

/** Serious accessibility faults that axe finds; `axe` is its source. */
export async function faultsOf(page: Page, axe: string): Promise<unknown[]> {
  type Fault = { id: string; impact: string; nodes: { html: string; failureSummary?: string }[] };
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => (window as never as { axe: { run(): Promise<{ violations: Fault[] }> } }).axe.run());
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => [id, nodes[0]?.html, nodes[0]?.failureSummary]);
}
