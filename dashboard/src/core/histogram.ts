/** Quantiles out of a Prometheus histogram: of what was counted between two looks at it, not since the service started. Pure. */

/** Cumulative counts by upper bound, ascending; the last bound is infinite. */
export type Buckets = readonly (readonly [bound: number, count: number])[];

/** The buckets of `name`, over all its label sets; empty where the text has none. */
export function readBuckets(text: string, name: string): Buckets {
  const counts = new Map<number, number>();
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}_bucket{`)) continue;
    const bound = /le="([^"]+)"/.exec(line)?.[1];
    const count = Number(line.slice(line.lastIndexOf(' ') + 1));
    if (bound === undefined || !Number.isFinite(count)) continue;
    const at = bound === '+Inf' ? Infinity : Number(bound);
    counts.set(at, (counts.get(at) ?? 0) + count);
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/** The value that `share` of the events between `before` and `after` did not exceed; `null` where there were none. */
export function quantileBetween(before: Buckets, after: Buckets, share: number): number | null {
  const total = (after[after.length - 1]?.[1] ?? 0) - (before[before.length - 1]?.[1] ?? 0);
  // A service that was started again counts from zero.
  const base = total < 0 ? [] : before;
  const events = total < 0 ? (after[after.length - 1]?.[1] ?? 0) : total;
  if (events <= 0) return null;
  const was = new Map(base);
  const wanted = share * events;
  let [low, below] = [0, 0];
  for (const [bound, count] of after) {
    const here = count - (was.get(bound) ?? 0);
    if (here >= wanted) {
      if (bound === Infinity) return low;
      const inside = here - below;
      return inside <= 0 ? bound : low + ((bound - low) * (wanted - below)) / inside;
    }
    [low, below] = [bound, here];
  }
  return low;
}
