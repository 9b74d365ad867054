/** Price alerts: a level of a symbol, and the side from which it is to be reached. Pure. */

export interface Alert {
  readonly id: string;
  readonly symbol: string;
  readonly price: number;
  /** `rises`: fires at or above the price; `falls`: at or below it. */
  readonly when: 'rises' | 'falls';
  /** When it fired, Unix milliseconds; `null` while it waits. */
  readonly firedAt: number | null;
}

export const ALERTS_MAX = 50;

/** An alert at `price`, seen from where the symbol trades now: a level above waits for a rise, one below for a fall. */
export function alertAt(symbol: string, price: number, last: number | null, id: string): Alert {
  return { id, symbol, price, when: last !== null && price < last ? 'falls' : 'rises', firedAt: null };
}

/** Whether a trade at `price` fires it. */
export function fires(alert: Alert, symbol: string, price: number): boolean {
  if (alert.firedAt !== null || alert.symbol !== symbol) return false;
  return alert.when === 'rises' ? price >= alert.price : price <= alert.price;
}

/** Kept alerts, without whatever else a browser's storage may hold. */
export function readAlerts(kept: readonly unknown[]): Alert[] {
  return kept.filter(isAlert).slice(-ALERTS_MAX);
}

function isAlert(value: unknown): value is Alert {
  if (typeof value !== 'object' || value === null) return false;
  const { id, symbol, price, when, firedAt } = value as Record<string, unknown>;
  const fits = typeof id === 'string' && typeof symbol === 'string' && typeof price === 'number' && price > 0;
  return fits && (when === 'rises' || when === 'falls') && (firedAt === null || typeof firedAt === 'number');
}
