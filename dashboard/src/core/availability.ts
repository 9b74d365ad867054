/** Symbols that the feed does not carry now, with the reason that it gave. */

export interface Availability {
  readonly symbol: string;
  readonly source: string;
  /** Why there is none; `null` where there is again. */
  readonly reason: string | null;
}

/** Reads an `unavailable` or `available` event; `null` where it is about something else. */
export function readAvailability(event: unknown): Availability | null {
  if (typeof event !== 'object' || event === null) return null;
  const { type, symbol, source, reason } = event as Record<string, unknown>;
  if ((type !== 'unavailable' && type !== 'available') || typeof symbol !== 'string') return null;
  const why = typeof reason === 'string' && reason !== '' ? reason : 'the feed does not carry it';
  return { symbol, source: typeof source === 'string' ? source : '', reason: type === 'available' ? null : why };
}
