/** Order of the watchlist. Pure. */
import type { Row } from './board';

export const COLUMNS = ['symbol', 'company', 'last', 'change', 'spread', 'volume'] as const;
export type Column = (typeof COLUMNS)[number];

export interface Sort {
  readonly column: Column;
  readonly descending: boolean;
}

const VALUES: Record<Exclude<Column, 'symbol' | 'company'>, (row: Row) => number | null> = {
  last: (row) => row.last,
  change: (row) => row.changeRatio,
  spread: (row) => row.spread,
  volume: (row) => row.day.volume,
};

/** The symbols in order; without a sort in the order that they were added. What has no value comes last either way. */
export function ordered(symbols: readonly string[], row: (symbol: string) => Row, sort: Sort | null, nameOf: (symbol: string) => string | null = () => null): string[] {
  if (sort === null) return [...symbols];
  const sign = sort.descending ? -1 : 1;
  if (sort.column === 'symbol') return [...symbols].sort((a, b) => sign * a.localeCompare(b));
  if (sort.column === 'company') {
    // Names that nobody knows come last either way.
    const name = (symbol: string) => nameOf(symbol) ?? '';
    return [...symbols].sort((a, b) => Number(name(a) === '') - Number(name(b) === '') || sign * name(a).localeCompare(name(b)));
  }
  const value = VALUES[sort.column];
  const keyed = symbols.map((symbol) => [symbol, value(row(symbol))] as const);
  keyed.sort(([, a], [, b]) => {
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * (a - b);
  });
  return keyed.map(([symbol]) => symbol);
}

/** What a click on a column's head leads to: first one way, then the other, then back to the order of adding. */
export function clicked(sort: Sort | null, column: Column): Sort | null {
  const first = column !== 'symbol' && column !== 'company';
  if (sort?.column !== column) return { column, descending: first };
  return sort.descending === first ? { column, descending: !first } : null;
}
