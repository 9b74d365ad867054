// How the page holds up: frames a second, script time and memory with 50 symbols at 20 trades a second each, and how soon the first
// chart stands. Prints, asserts nothing: what comes out depends on the machine.
//
//   npm run build && npm run measure -- 60        seconds to watch, 20 unless given; minute by minute where they are many
import { loadavg } from 'node:os';
import { chromium } from 'playwright-core';
import { rehearse } from './rehearsal/main.mjs';

const seconds = Number(process.argv[2] ?? 20);
const symbols = Array.from({ length: 50 }, (_, index) => `S${String(index).padStart(2, '0')}`);
const stage = await rehearse({ symbols, rate: 20 });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--js-flags=--expose-gc'],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
await page.addInitScript((followed) => localStorage.setItem('tapeline', JSON.stringify({ symbols: followed, active: followed[0] })), symbols);
await page.goto(stage.url);
await page.waitForSelector('#chart-panel:is([data-state="joining"], [data-state="joined"])');
const first = await page.evaluate(() => performance.now());
console.log(`first chart ${first.toFixed(0)} ms after navigation`);
await page.waitForFunction(() => document.querySelectorAll('.watchlist tbody tr').length === 50);
await page.waitForTimeout(3_000);

const session = await page.context().newCDPSession(page);
await session.send('Performance.enable', { timeDomain: 'threadTicks' });
const metrics = async () => Object.fromEntries((await session.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
const heap = async () => page.evaluate(() => (globalThis.gc?.(), performance.memory.usedJSHeapSize / 1e6));
const report = async (name, span) => {
  const [before, heapBefore] = [await metrics(), await heap()];
  const frames = await page.evaluate(
    (ms) =>
      new Promise((resolve) => {
        const gaps = [];
        const start = performance.now();
        let last = start;
        requestAnimationFrame(function tick(now) {
          gaps.push(now - last);
          last = now;
          if (now - start < ms) requestAnimationFrame(tick);
          else resolve(gaps);
        });
      }),
    span * 1_000,
  );
  const [after, heapAfter] = [await metrics(), await heap()];
  const sorted = [...frames].sort((a, b) => a - b);
  const share = (value) => ((100 * value) / span).toFixed(0);
  console.log(
    `${name}: ${(frames.length / span).toFixed(1)} frames/s, p99 ${sorted[Math.floor(sorted.length * 0.99)].toFixed(1)} ms; main thread ${share(after.TaskDuration - before.TaskDuration)} % of a core ` +
      `(script ${share(after.ScriptDuration - before.ScriptDuration)} %, layout ${share(after.LayoutDuration - before.LayoutDuration)} %, style ${share(after.RecalcStyleDuration - before.RecalcStyleDuration)} %); ` +
      `heap ${heapBefore.toFixed(1)} → ${heapAfter.toFixed(1)} MB`,
  );
};
// A page that is open all day must not get slower or larger: a soak is told minute by minute.
const SLICE = 60;
if (seconds <= 2 * SLICE) await report('50 symbols × 20/s', seconds);
else for (let minute = 1; minute * SLICE <= seconds; minute += 1) await report(`minute ${minute}, machine load ${loadavg()[0].toFixed(1)}`, SLICE);
await page.screenshot({ path: new URL('../test-results/measure.png', import.meta.url).pathname });
stage.control({ rate: '0' });
await page.waitForTimeout(2_000);
await report('the same page at rest', 5);
await browser.close();
await stage.stop();
process.exit(0);
