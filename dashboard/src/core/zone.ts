/** In whose clock the page shows times. One for the whole page: two clocks beside each other would be read as one. */
import { newYorkOffset, MINUTE_MS } from '../lib/timeframe';

export const ZONES = ['exchange', 'local', 'utc'] as const;
export type Zone = (typeof ZONES)[number];

export const EXCHANGE_ZONE = 'America/New_York';
let chosen: Zone = 'exchange';

/** From now on times are shown in this clock. */
export function useZone(zone: Zone): void {
  chosen = zone;
}

export function currentZone(): Zone {
  return chosen;
}

/** The name that `Intl` takes; `undefined` is the one of this machine. */
export function intlZone(zone: Zone = chosen): string | undefined {
  return zone === 'exchange' ? EXCHANGE_ZONE : zone === 'utc' ? 'UTC' : undefined;
}

/** How far the clock is ahead of UTC at `ms`, in milliseconds. */
export function zoneOffset(ms: number, zone: Zone = chosen): number {
  if (zone === 'exchange') return newYorkOffset(ms);
  return zone === 'utc' ? 0 : -new Date(ms).getTimezoneOffset() * MINUTE_MS;
}

/** `New York (EST)`, `Local (GMT+1)`, `UTC`. */
export function zoneName(ms: number, zone: Zone = chosen): string {
  if (zone === 'utc') return 'UTC';
  const parts = new Intl.DateTimeFormat('en-US', { timeZone: intlZone(zone), timeZoneName: 'short' }).formatToParts(ms);
  const short = parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
  return `${zone === 'exchange' ? 'New York' : 'Local'} (${short})`;
}
