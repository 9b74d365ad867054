/** The symbols that a person follows. Pure; where they are kept is somebody else's business. */

export const DEFAULT_SYMBOLS = ['AAPL', 'MSFT', 'GOOGL'];
/** What a gateway grants one client. */
export const SYMBOLS_MAX = 50;
/** A new visitor is shown at most this many; a whole market would bury them. */
const INTRODUCED_MAX = 20;

const LENGTH_MAX = 32;

/** As typed, made what the feeds call it; `null` for what cannot be a symbol: letters and digits, with single `.`, `/`, `-` or `:` between them. */
export function readSymbol(text: string): string | null {
  const symbol = text.trim().toUpperCase();
  return symbol.length <= LENGTH_MAX && /^[A-Z0-9]+(?:[./:-][A-Z0-9]+)*$/.test(symbol) ? symbol : null;
}

/** What a new visitor follows: of the usual symbols those that the system has, else all of them. */
export function usual(available: readonly string[]): string[] {
  const there = DEFAULT_SYMBOLS.filter((symbol) => available.includes(symbol));
  return there.length > 0 || available.length > 0 ? there : [...DEFAULT_SYMBOLS];
}

/** The followed ones, extended by what the system has bars of, without those that were taken away. */
export function introduce(followed: readonly string[], available: readonly string[], removed: ReadonlySet<string>): string[] {
  const fresh = available.filter((symbol) => !followed.includes(symbol) && !removed.has(symbol)).sort();
  return [...followed, ...fresh.slice(0, Math.max(0, INTRODUCED_MAX - followed.length))];
}

/** Symbols that fit what was typed: those that start with it first, then those that hold it, then those whose name does. */
export function matches(known: readonly string[], typed: string, limit = 8, nameOf: (symbol: string) => string = () => ''): string[] {
  const text = typed.trim().toUpperCase();
  const sorted = [...new Set(known)].sort();
  if (text === '') return sorted.slice(0, limit);
  const starting = sorted.filter((symbol) => symbol.startsWith(text));
  const holding = sorted.filter((symbol) => !symbol.startsWith(text) && symbol.includes(text));
  const named = sorted.filter((symbol) => !symbol.includes(text) && nameOf(symbol).toUpperCase().includes(text));
  return [...starting, ...holding, ...named].slice(0, limit);
}

/** The one `step` places on, round the end. */
export function neighbour(symbols: readonly string[], active: string, step: 1 | -1): string {
  const index = symbols.indexOf(active);
  return symbols[(index + step + symbols.length) % symbols.length] ?? active;
}
