/** How old trades are when they arrive, measured against the gateway's clock rather than this machine's. */

const SAMPLES_MAX = 400;
const OFFSETS_MAX = 30;
const FORGET_MS = 30_000;

export class Freshness {
  private readonly offsets: number[] = [];
  private samples: { at: number; delay: number }[] = [];

  /** A heartbeat stamped `serverTime` arrived at `now`. */
  onHeartbeat(serverTime: number, now: number): void {
    this.offsets.push(serverTime - now);
    if (this.offsets.length > OFFSETS_MAX) this.offsets.shift();
  }

  /** A trade that happened at `timestamp` arrived at `now`. */
  onTrade(timestamp: number, now: number): void {
    this.samples.push({ at: now, delay: now + this.offset - timestamp });
    if (this.samples.length > SAMPLES_MAX) this.samples.shift();
  }

  /** The delay in milliseconds that `share` of the recent trades kept. The median: one late print does not make a feed late. */
  delay(now: number, share = 0.5): number | null {
    this.samples = this.samples.filter((sample) => now - sample.at < FORGET_MS);
    const sorted = this.samples.map((sample) => sample.delay).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
  }

  /** Gateway's clock minus ours: the heartbeat that travelled fastest knows best. */
  private get offset(): number {
    return this.offsets.length === 0 ? 0 : Math.max(...this.offsets);
  }
}
