/**
 * Lets this page in where the gateway asks for a key. A person gives an API key once; the page changes it for a token that soon runs
 * out, and keeps only that. While the page is open the key stays in memory to get the next token; it is never written anywhere.
 */

const KEPT = 'tapeline-token';
/** A new token is asked for this long before the old one runs out. */
const AHEAD_MS = 30_000;
const RETRY_MS = 5_000;

type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

interface Kept {
  readonly token: string;
  /** Unix milliseconds. */
  readonly expires: number;
}

export class Access {
  /** A key is needed: called once, until one was taken. */
  onNeeded: () => void = () => undefined;
  /** A token is there, or a new one. */
  onToken: (token: string) => void = () => undefined;
  private kept: Kept | null = null;
  private key: string | null = null;
  private asking = false;
  private renewal: ReturnType<typeof setTimeout> | null = null;
  private letIn: (() => void)[] = [];

  /** `base` ends with a slash. */
  constructor(
    private readonly base: string,
    private readonly store: Store | null,
  ) {
    this.kept = this.remembered();
  }

  get token(): string | null {
    return this.kept?.token ?? null;
  }

  /** Like `fetch`; an answer that asks for a key waits for one, and the question is then asked again. */
  async fetch(address: string, options: RequestInit = {}): Promise<Response> {
    for (;;) {
      const { token } = this;
      const headers = new Headers(options.headers);
      if (token !== null) headers.set('authorization', `Bearer ${token}`);
      const response = await fetch(address, { ...options, headers });
      if (response.status !== 401) return response;
      const admitted = new Promise<void>((resolve, reject) => {
        this.letIn.push(resolve);
        options.signal?.addEventListener('abort', () => reject(new DOMException('nobody waits any more', 'AbortError')));
      });
      this.refused(token);
      await admitted;
    }
  }

  /** The gateway did not take `token` (or none): another one is needed. */
  refused(token: string | null): void {
    // Somebody else may have got a better one in the meantime.
    if (token !== this.token) {
      if (this.token !== null) this.onToken(this.token);
      return this.admitted();
    }
    this.kept = null;
    this.forget();
    if (this.key !== null) return void this.renew();
    if (!this.asking) this.onNeeded();
    this.asking = true;
  }

  /** Changes a key for a token. Resolves to `null`, or to a sentence that says what is wrong. */
  async give(key: string): Promise<string | null> {
    let response: Response;
    try {
      response = await fetch(`${this.base}api/token`, { method: 'POST', headers: { 'x-api-key': key } });
    } catch {
      return 'The gateway does not answer. Try again in a moment.';
    }
    if (response.status === 401 || response.status === 403) return 'The gateway does not know this key.';
    const answer = (await response.json().catch(() => null)) as { token?: unknown; expires_in?: unknown } | null;
    if (!response.ok || typeof answer?.token !== 'string') return `The gateway answered ${response.status}. Try again in a moment.`;
    const life = typeof answer.expires_in === 'number' ? answer.expires_in * 1_000 : 60_000;
    this.key = key;
    this.keep({ token: answer.token, expires: Date.now() + life });
    this.renewIn(Math.max(life - AHEAD_MS, life / 2));
    return null;
  }

  private async renew(): Promise<void> {
    const { key } = this;
    if (key === null) return;
    const problem = await this.give(key);
    if (problem === null) return;
    if (!problem.includes('does not know')) return this.renewIn(RETRY_MS);
    this.key = null;
    this.refused(this.token);
  }

  private renewIn(ms: number): void {
    if (this.renewal !== null) clearTimeout(this.renewal);
    this.renewal = setTimeout(() => void this.renew(), ms);
  }

  private keep(kept: Kept): void {
    this.kept = kept;
    this.asking = false;
    try {
      this.store?.setItem(KEPT, JSON.stringify(kept));
    } catch {
      // full or forbidden: the page works, and asks again after a reload
    }
    this.onToken(kept.token);
    this.admitted();
  }

  private admitted(): void {
    const waiting = this.letIn;
    this.letIn = [];
    for (const enter of waiting) enter();
  }

  private forget(): void {
    try {
      this.store?.removeItem(KEPT);
    } catch {
      // then it runs out by itself
    }
  }

  private remembered(): Kept | null {
    try {
      const { token, expires } = JSON.parse(this.store?.getItem(KEPT) ?? '{}') as Partial<Kept>;
      return typeof token === 'string' && typeof expires === 'number' && expires > Date.now() ? { token, expires } : null;
    } catch {
      return null;
    }
  }
}
