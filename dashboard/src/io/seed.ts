/** The few requests from which a row's day can be told exactly: closed hours, then minutes, and the day before. */
import type { Seed } from '../core/board';
import type { History } from '../lib/live-bars';
import { dayStart, nextStart, startOf } from '../lib/timeframe';

/** Longer than two hours of minutes, so that at least one hour begins among them. */
const MINUTES = 180;

export async function seedRow(history: History, symbol: string): Promise<Seed> {
  const { signal } = new AbortController();
  const [{ bars: minutes }, { bars: days }] = await Promise.all([
    history.newest(symbol, '1Min', MINUTES, signal),
    history.newest(symbol, '1Day', 2, signal),
  ]);
  const [first, newest] = [minutes[0], minutes[minutes.length - 1]];
  if (first === undefined || newest === undefined || minutes.length < MINUTES) {
    return { days, hours: [], minutes, cut: -Infinity };
  }
  const cut = nextStart('1Hour', startOf('1Hour', first.timestamp));
  const day = dayStart(newest.timestamp);
  const { bars: hours } = day < cut ? await history.range(symbol, '1Hour', day, cut, signal) : { bars: [] };
  return { days, hours: hours.filter((bar) => bar.timestamp < cut), minutes, cut };
}
