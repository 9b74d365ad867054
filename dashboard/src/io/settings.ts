/** What the page remembers in this browser. A browser that forbids it loses nothing but the memory. */

export interface Settings {
  symbols: string[] | null;
  removed: string[];
  active: string | null;
  theme: 'system' | 'dark' | 'light' | 'amber';
  timeframe: string;
  style: string;
  /** Indicators on the chart. */
  overlays: string[];
  /** Symbols that are drawn beside the active one, in percent. */
  compared: string[];
  scale: string;
  zone: string;
  /** Whether large trades are marked on the chart. */
  marks: boolean;
  alerts: unknown[];
  /** Every watchlist by its name, the shown one's symbols are `symbols`. */
  lists: Record<string, string[]>;
  list: string;
  sort: { column: string; descending: boolean } | null;
}

const DEFAULTS: Settings = {
  symbols: null,
  removed: [],
  active: null,
  theme: 'system',
  timeframe: '1Min',
  style: 'candles',
  overlays: [],
  compared: [],
  scale: 'auto',
  zone: 'exchange',
  marks: false,
  alerts: [],
  lists: {},
  list: 'Watchlist',
  sort: null,
};

const KEY = 'tapeline';

export function loadSettings(storage: Pick<Storage, 'getItem'> | null): Settings {
  try {
    const kept: unknown = JSON.parse(storage?.getItem(KEY) ?? '{}');
    const fields = typeof kept === 'object' && kept !== null ? (kept as Partial<Settings>) : {};
    const settings = { ...DEFAULTS };
    for (const key of Object.keys(DEFAULTS) as (keyof Settings)[]) {
      const fallback = DEFAULTS[key];
      const value = fields[key];
      // A kept value of another kind comes from another version, or from a curious person.
      const fits = fallback === null || (typeof value === typeof fallback && Array.isArray(value) === Array.isArray(fallback));
      if (value !== undefined && fits) Object.assign(settings, { [key]: value });
    }
    if (!Array.isArray(settings.symbols)) settings.symbols = null;
    if (typeof settings.active !== 'string') settings.active = null;
    settings.lists = Object.fromEntries(Object.entries(settings.lists).filter(([, symbols]) => Array.isArray(symbols)));
    return settings;
  } catch {
    return { ...DEFAULTS };
  }
}

export function saveSettings(storage: Pick<Storage, 'setItem'> | null, settings: Settings): void {
  try {
    storage?.setItem(KEY, JSON.stringify(settings));
  } catch {
    // full or forbidden: the page works, it just forgets
  }
}

/** What this tab remembers until it is closed; `null` where touching it is forbidden. */
export function tabStorage(): Storage | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

/** The browser's storage, or `null` where touching it is forbidden. */
export function browserStorage(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}
