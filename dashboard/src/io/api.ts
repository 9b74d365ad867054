/** The gateway's HTTP side: bars, health, metrics. Same origin, always. */
import { readGap, type DeclaredGap } from '../core/gaps';
import { readBar, readPage, type Bar, type Page, type Position } from '../lib/records';
import type { History } from '../lib/live-bars';
import type { Timeframe } from '../lib/timeframe';
import type { Access } from './access';

/** A failed request, with the server's reason. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** What a symbol stands for, as far as it is known. */
export interface Company {
  readonly name: string | null;
  readonly exchange: string | null;
}

const PAGE_LIMIT = 10_000;
const COMPANIES_MAX = 1_000;

export class Api implements History {
  /** `base` ends with a slash. */
  constructor(
    private readonly base: string,
    private readonly access: Access,
  ) {}

  newest(symbol: string, timeframe: Timeframe, limit: number, signal?: AbortSignal): Promise<Page> {
    return this.json(`api/bars/${encodeURIComponent(symbol)}`, { timeframe, limit }, signal).then(readPage);
  }

  async range(symbol: string, timeframe: Timeframe, start: number, end: number, signal?: AbortSignal): Promise<Page> {
    const bars: Bar[] = [];
    let asOf: Position | null = null;
    let token: string | null = null;
    do {
      const query = { timeframe, start, end, limit: PAGE_LIMIT, ...(token === null ? {} : { page_token: token }) };
      const answer: unknown = await this.json(`api/bars/${encodeURIComponent(symbol)}/range`, query, signal);
      const page = readPage(answer);
      bars.push(...page.bars);
      // The first page is the oldest: what it does not know, the whole does not.
      if (token === null) asOf = page.asOf;
      token = nextToken(answer);
    } while (token !== null);
    return { bars, asOf };
  }

  /** Start of the first day that there are bars of; `null` for none. */
  async oldest(symbol: string, signal?: AbortSignal): Promise<number | null> {
    const query = { timeframe: '1Day', start: 0, end: Date.now(), limit: 1 };
    const { bars } = readPage(await this.json(`api/bars/${encodeURIComponent(symbol)}/range`, query, signal));
    return bars[0]?.timestamp ?? null;
  }

  /** The newest minute bar of every symbol that there is one of. */
  async latest(signal?: AbortSignal): Promise<Map<string, Bar>> {
    const answer = (await this.json('api/bars/latest', {}, signal)) as { bars?: Record<string, unknown> } | null;
    const latest = new Map<string, Bar>();
    for (const [symbol, value] of Object.entries(answer?.bars ?? {})) {
      const bar = readBar(value);
      if (bar !== null) latest.set(symbol, bar);
    }
    return latest;
  }

  /** Outages that touch `[start, end)`; `end` of `null` is now. */
  async gaps(symbol: string, start: number, end: number | null, signal?: AbortSignal): Promise<DeclaredGap[]> {
    const found: DeclaredGap[] = [];
    let token: string | null = null;
    do {
      const query = { start, limit: PAGE_LIMIT, ...(end === null ? {} : { end }), ...(token === null ? {} : { page_token: token }) };
      const answer = (await this.json(`api/bars/${encodeURIComponent(symbol)}/gaps`, query, signal)) as { gaps?: unknown } | null;
      const list: unknown[] = Array.isArray(answer?.gaps) ? answer.gaps : [];
      found.push(...list.map(readGap).filter((gap) => gap !== null));
      token = nextToken(answer);
    } while (token !== null);
    return found;
  }

  /** What the symbols that there are bars of stand for. */
  async companies(signal?: AbortSignal): Promise<Map<string, Company>> {
    const answer = (await this.json('api/market/search', { limit: COMPANIES_MAX }, signal)) as { results?: unknown } | null;
    const companies = new Map<string, Company>();
    for (const one of Array.isArray(answer?.results) ? (answer.results as Record<string, unknown>[]) : []) {
      const { symbol, name, exchange } = one;
      if (typeof symbol !== 'string') continue;
      companies.set(symbol, { name: typeof name === 'string' ? name : null, exchange: typeof exchange === 'string' ? exchange : null });
    }
    return companies;
  }

  /** The text behind an address of this origin, with its status: for pages that show answers as they are. */
  async raw(path: string, signal?: AbortSignal): Promise<{ status: number; text: string; ms: number }> {
    const started = performance.now();
    const response = await this.access.fetch(this.base + path.replace(/^\//, ''), { signal: signal ?? null });
    const text = await response.text();
    return { status: response.status, text, ms: performance.now() - started };
  }

  private async json(path: string, query: Record<string, string | number>, signal?: AbortSignal): Promise<unknown> {
    const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
    const address = `${this.base}${path}${search.size > 0 ? `?${search}` : ''}`;
    const response = await this.access.fetch(address, { signal: signal ?? null, headers: { accept: 'application/json' } });
    const text = await response.text();
    // That nothing is stored of a symbol is an answer like any other.
    if (response.status === 404 && path.startsWith('api/bars/')) return { bars: [], gaps: [] };
    if (!response.ok) throw new ApiError(response.status, explain(response.status, text));
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw new ApiError(response.status, 'the answer is not JSON');
    }
  }
}

function nextToken(page: unknown): string | null {
  const token = (page as { next_page_token?: unknown } | null)?.next_page_token;
  return typeof token === 'string' && token !== '' ? token : null;
}

/** The server's own words where it gave any. */
function explain(status: number, text: string): string {
  try {
    const problem = JSON.parse(text) as { detail?: unknown; title?: unknown };
    if (typeof problem.detail === 'string') return problem.detail;
    if (typeof problem.title === 'string') return problem.title;
  } catch {
    // not JSON: the status has to do
  }
  return `the server answered ${status}`;
}
