/** A headless Chromium of this machine, and the pages in it. */
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const RESULTS = new URL('../../test-results/', import.meta.url).pathname;

export interface Visit {
  readonly page: Page;
  /** Errors of the page: thrown, or written to its console. */
  readonly errors: string[];
  /** Addresses that were asked for. */
  readonly requests: string[];
}

export interface Visitor {
  visit(url: string, options?: VisitOptions): Promise<Visit>;
  close(): Promise<void>;
}

export interface VisitOptions {
  readonly width?: number;
  readonly height?: number;
  readonly theme?: 'dark' | 'light';
  /** A finger instead of a mouse. */
  readonly touch?: boolean;
  /** What the browser has kept of an earlier visit. */
  readonly kept?: Record<string, unknown>;
}

/** A browser with a profile of its own, gone when it closes. */
export async function visitor(options: VisitOptions = {}): Promise<Visitor> {
  const profile = mkdtempSync(join(tmpdir(), 'tapeline-page-'));
  const context: BrowserContext = await chromium.launchPersistentContext(profile, {
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
    viewport: { width: options.width ?? 1440, height: options.height ?? 900 },
    colorScheme: options.theme ?? 'dark',
    hasTouch: options.touch ?? false,
  });
  return {
    async visit(url, { width, height, theme, kept } = {}) {
      const page = await context.newPage();
      if (kept !== undefined) await page.addInitScript((settings) => localStorage.getItem('tapeline') ?? localStorage.setItem('tapeline', JSON.stringify(settings)), kept);
      if (width !== undefined) await page.setViewportSize({ width, height: height ?? 900 });
      if (theme !== undefined) await page.emulateMedia({ colorScheme: theme });
      const errors: string[] = [];
      const requests: string[] = [];
      page.on('pageerror', (error) => errors.push(error.message));
      page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
      page.on('request', (request) => requests.push(request.url()));
      page.on('websocket', (socket) => requests.push(socket.url()));
      await page.goto(url);
      return { page, errors, requests };
    },
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** Keeps a picture of what the test saw. */
export async function keep(page: Page, name: string): Promise<void> {
  mkdirSync(RESULTS, { recursive: true });
  await page.screenshot({ path: join(RESULTS, `${name}.png`) });
}

/** Waits for a fact: null, false and the empty text are none yet. Fails with a sentence that says what was waited for, and what was last seen. */
export async function eventually<T>(what: string, look: () => Promise<T | '' | null | undefined | false>, limitMs = 15_000): Promise<T> {
  const end = Date.now() + limitMs;
  let problem = '';
  for (;;) {
    try {
      const found = await look();
      if (found !== null && found !== undefined && found !== false && found !== '') return found;
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    if (Date.now() > end) throw new Error(`not within ${limitMs / 1_000} s: ${what}${problem === '' ? '' : ` (${problem})`}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
