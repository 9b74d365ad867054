import { defineConfig } from 'vitest/config';

/** Pages in a real browser: one at a time, and with time to wait for a whole minute's bar. */
export default defineConfig({
  test: { include: ['test/page/**/*.page.ts'], fileParallelism: false, testTimeout: 120_000, hookTimeout: 60_000 },
});
