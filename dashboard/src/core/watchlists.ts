/** Named watchlists. One is shown; the others wait under their names. Pure. */

export const LISTS_MAX = 20;
export const LIST_NAME_MAX = 32;

export interface Watchlists {
  /** Name of the shown one. */
  readonly list: string;
  /** All of them; what is kept under the shown one's name is what it was when it was left. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
}

/** Names in order of creation, the shown one among them. */
export function listNames({ list, lists }: Watchlists): string[] {
  const names = Object.keys(lists);
  return names.includes(list) ? names : [list, ...names];
}

/** Leaves the shown list, whose symbols are `symbols`, for another; a name that is new begins with the same symbols. */
export function switched({ list, lists }: Watchlists, symbols: readonly string[], to: string): Watchlists & { readonly symbols: readonly string[] } {
  const kept = { ...lists, [list]: symbols };
  const next = kept[to] ?? symbols;
  return { list: to, lists: { ...kept, [to]: next }, symbols: next };
}

/** The shown list under another name. */
export function renamed({ list, lists }: Watchlists, symbols: readonly string[], to: string): Watchlists {
  const entries = listNames({ list, lists }).map((name): [string, readonly string[]] => (name === list ? [to, symbols] : [name, lists[name] ?? []]));
  return { list: to, lists: Object.fromEntries(entries) };
}

/** Without the shown list; the one before it is shown then. The last one cannot go. */
export function removed(kept: Watchlists): (Watchlists & { readonly symbols: readonly string[] }) | null {
  const names = listNames(kept);
  if (names.length < 2) return null;
  const index = names.indexOf(kept.list);
  const next = names[index === 0 ? 1 : index - 1] ?? kept.list;
  const lists = Object.fromEntries(names.filter((name) => name !== kept.list).map((name) => [name, kept.lists[name] ?? []]));
  return { list: next, lists, symbols: lists[next] ?? [] };
}

/** What is wrong with a name for a new list; `null` for nothing. */
export function nameProblem(name: string, names: readonly string[]): string | null {
  if (name.trim() === '') return 'A watchlist needs a name.';
  if (name.length > LIST_NAME_MAX) return `A watchlist's name has at most ${LIST_NAME_MAX} characters.`;
  if (names.includes(name)) return `There already is a watchlist named "${name}".`;
  return names.length >= LISTS_MAX ? `${LISTS_MAX} watchlists are as many as one browser keeps. Delete one first.` : null;
}

/** `symbol` moved to the place of `target`, or by `by` places. */
export function moved(symbols: readonly string[], symbol: string, to: string | number): string[] {
  const from = symbols.indexOf(symbol);
  const place = typeof to === 'string' ? symbols.indexOf(to) : Math.min(Math.max(from + to, 0), symbols.length - 1);
  if (from < 0 || place < 0 || from === place) return [...symbols];
  const rest = symbols.filter((one) => one !== symbol);
  return [...rest.slice(0, place), symbol, ...rest.slice(place)];
}
