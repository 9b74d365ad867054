/** What the page knows, and how it comes to know it. Views read from here and listen; they never talk to the network themselves. */
import { badge, type Badge, type Heartbeat } from './core/badge';
import { Board } from './core/board';
import { Freshness } from './core/freshness';
import { readAvailability } from './core/availability';
import { GapBook } from './core/gap-book';
import { readGap } from './core/gaps';
import { Signal } from './core/signal';
import { DEFAULT_SYMBOLS, introduce, neighbour, SYMBOLS_MAX, usual } from './core/symbols';
import { Tape } from './core/tape';
import { Access } from './io/access';
import { Api, type Company } from './io/api';
import { seedRow } from './io/seed';
import { browserStorage, loadSettings, saveSettings, tabStorage, type Settings } from './io/settings';
import { GatewayStream, type Ears } from './io/socket';
import type { Trade } from './lib/records';
import { dayStart } from './lib/timeframe';

const SEEDS_AT_ONCE = 4;
const RESEED_MS = 15_000;
const ASK_AGAIN_MS = 10_000;

export class App {
  readonly access: Access;
  readonly api: Api;
  readonly stream: GatewayStream;
  readonly board = new Board();
  readonly tape = new Tape();
  readonly settings: Settings;
  /** Symbols that the system has bars of. */
  available: string[] = [];
  /** What is known of them, by symbol. */
  companies: ReadonlyMap<string, Company> = new Map();
  /** Outages of the feed. */
  readonly gaps = new GapBook();
  /** Symbols that the feed does not carry now, with its reason. */
  readonly unavailable = new Map<string, string>();
  heartbeat: Heartbeat | null = null;
  heartbeatAt: number | null = null;

  readonly symbolsChanged = new Signal();
  readonly activeChanged = new Signal();
  /** A row has new values; the symbol says which. */
  readonly rowChanged = new Signal<string>();
  readonly tapeChanged = new Signal<string>();
  readonly gapsChanged = new Signal();
  readonly settingsChanged = new Signal();
  /** Something that a person should read, once. */
  readonly notice = new Signal<string>();

  private readonly storage = browserStorage();
  private readonly freshness = new Freshness();
  private connected = false;
  private looked = false;
  private answered: () => void = () => undefined;
  /** Resolves when it is known, or not to be known now, which symbols there are. */
  readonly ready = new Promise<void>((resolve) => (this.answered = resolve));
  private readonly seededDay = new Map<string, number>();
  private readonly toSeed = new Set<string>();
  private seeding = 0;
  /** Symbols whose outages are being asked for. */
  private readonly learning = new Set<string>();

  constructor() {
    const base = new URL('.', document.baseURI);
    this.access = new Access(base.href, tabStorage());
    this.api = new Api(base.href, this.access);
    this.settings = loadSettings(this.storage);
    const ears: Ears = {
      onTrade: (trade) => this.onTrade(trade),
      onBar: (bar) => {
        this.board.row(bar.symbol).onBar(bar);
        this.rowChanged.emit(bar.symbol);
      },
      onQuote: (quote) => {
        this.board.row(quote.symbol).quote = quote;
        this.rowChanged.emit(quote.symbol);
      },
      onSnapshot: (snapshot) => {
        this.board.row(snapshot.symbol).onSnapshot(snapshot);
        this.onAvailability(snapshot.symbol, snapshot.unavailable);
        this.rowChanged.emit(snapshot.symbol);
      },
      onHeartbeat: (heartbeat) => this.onHeartbeat(heartbeat),
      onStatus: (status) => this.onStatus(status),
      onConnection: (connected) => {
        this.connected = connected;
        if (!connected) return;
        for (const symbol of this.symbols) this.seedSoon(symbol);
        // Outages may have opened, ended and healed unheard.
        this.gaps.doubt();
        this.gapsChanged.emit();
      },
      onRejected: (symbol, reason) => this.notice.emit(`${symbol}: ${reason}`),
      onRefused: (token) => this.access.refused(token),
    };
    this.stream = new GatewayStream(`${base.pathname}socket.io/`, ears, () => this.access.token);
    this.access.onToken = (token) => this.stream.admit(token);
    this.stream.want(this.symbols);
    void this.lookAround();
    setInterval(() => this.reseed(), RESEED_MS);
  }

  get symbols(): string[] {
    return this.settings.symbols ?? DEFAULT_SYMBOLS;
  }

  get active(): string {
    const { active } = this.settings;
    return active !== null && this.symbols.includes(active) ? active : (this.symbols[0] ?? DEFAULT_SYMBOLS[0] ?? '');
  }

  badge(now = Date.now()): Badge {
    const { heartbeat, heartbeatAt, connected } = this;
    return badge({ now, heartbeat, heartbeatAt, connected, delayMs: this.freshness.delay(now) });
  }

  /** Measured delay of recent trades in milliseconds, of which `share` arrived no later; the median by default. */
  delay(now = Date.now(), share = 0.5): number | null {
    return this.freshness.delay(now, share);
  }

  /** Shows a symbol, and follows it if nobody did before. */
  open(symbol: string): void {
    if (!this.symbols.includes(symbol)) {
      if (this.symbols.length >= SYMBOLS_MAX) {
        return this.notice.emit(`${SYMBOLS_MAX} symbols are as many as one page may follow. Remove one first.`);
      }
      this.setSymbols([...this.symbols, symbol]);
      this.settings.removed = this.settings.removed.filter((one) => one !== symbol);
    }
    if (symbol === this.active && symbol === this.settings.active) return;
    this.settings.active = symbol;
    this.save();
    this.activeChanged.emit();
  }

  step(by: 1 | -1): void {
    this.open(neighbour(this.symbols, this.active, by));
  }

  remove(symbol: string): void {
    if (this.symbols.length <= 1) return this.notice.emit('One symbol has to stay.');
    const wasActive = symbol === this.active;
    const next = neighbour(this.symbols, symbol, 1);
    this.settings.removed = [...new Set([...this.settings.removed, symbol])];
    this.setSymbols(this.symbols.filter((one) => one !== symbol));
    this.board.drop(symbol);
    this.tape.drop(symbol);
    this.seededDay.delete(symbol);
    if (wasActive) this.open(next);
  }

  /** Makes sure that the outages of a symbol since `from` are known, or soon will be. */
  async learnGaps(symbol: string, from: number): Promise<void> {
    const missing = this.gaps.missing(symbol, from);
    if (missing === null || this.learning.has(symbol)) return;
    this.learning.add(symbol);
    try {
      for (const gap of await this.api.gaps(symbol, missing.start, missing.end)) this.gaps.add(gap);
      this.gaps.learned(symbol, from);
      this.learning.delete(symbol);
      this.gapsChanged.emit();
    } catch {
      // Not known, and the chart says so; whoever draws it next asks again.
      setTimeout(() => this.learning.delete(symbol), ASK_AGAIN_MS);
    }
  }

  save(): void {
    saveSettings(this.storage, this.settings);
    this.settingsChanged.emit();
  }

  private setSymbols(symbols: string[]): void {
    this.settings.symbols = symbols;
    this.save();
    this.stream.want(symbols);
    for (const symbol of symbols) if (!this.seededDay.has(symbol)) this.seedSoon(symbol);
    this.symbolsChanged.emit();
  }

  /** Which symbols are there? Asked until somebody answers. */
  private async lookAround(wait = 1_000): Promise<void> {
    try {
      const latest = await this.api.latest();
      this.available = [...latest.keys()].sort();
      const followed = this.settings.symbols ?? usual(this.available);
      const symbols = introduce(followed, this.available, new Set(this.settings.removed));
      for (const symbol of symbols) {
        const bar = latest.get(symbol);
        if (bar === undefined) continue;
        this.board.row(symbol).glimpse(bar);
        this.rowChanged.emit(symbol);
      }
      const before = this.active;
      if (symbols.join() !== this.symbols.join()) this.setSymbols(symbols);
      else this.symbolsChanged.emit();
      if (this.active !== before) this.activeChanged.emit();
      this.looked = true;
      void this.learnNames();
      for (const symbol of this.symbols) this.seedSoon(symbol);
      // A system that has just started has no bars yet.
      if (latest.size === 0) setTimeout(() => void this.lookAround(wait), 10_000);
    } catch {
      setTimeout(() => void this.lookAround(Math.min(wait * 2, 30_000)), wait);
    } finally {
      this.answered();
    }
  }

  private onTrade(trade: Trade): void {
    this.freshness.onTrade(trade.timestamp, Date.now());
    if (!this.board.row(trade.symbol).onTrade(trade)) return;
    this.tape.add(trade);
    this.rowChanged.emit(trade.symbol);
    this.tapeChanged.emit(trade.symbol);
  }

  private onHeartbeat(heartbeat: Heartbeat): void {
    this.heartbeat = heartbeat;
    this.heartbeatAt = Date.now();
    this.freshness.onHeartbeat(heartbeat.time, this.heartbeatAt);
  }

  private onStatus(status: unknown): void {
    const gap = readGap(status);
    if (gap !== null) {
      this.gaps.add(gap);
      this.gapsChanged.emit();
    }
    const told = readAvailability(status);
    if (told === null) return;
    this.onAvailability(told.symbol, told.reason);
    this.rowChanged.emit(told.symbol);
  }

  /** Told by an event to pages that were open, by the snapshot to those that came later. */
  private onAvailability(symbol: string, reason: string | null): void {
    const before = this.unavailable.get(symbol) ?? null;
    if (reason === before) return;
    if (reason === null) this.unavailable.delete(symbol);
    else this.unavailable.set(symbol, reason);
    if (reason !== null && this.symbols.includes(symbol)) this.notice.emit(`${symbol} has no live data: ${reason}`);
  }

  /** Names are a comfort: without them the page works as well. */
  private async learnNames(): Promise<void> {
    try {
      this.companies = await this.api.companies();
      this.symbolsChanged.emit();
    } catch {
      // asked again with the next look at what there is
    }
  }

  /** A new day has a new previous close, and a failed seed another try. */
  private reseed(): void {
    for (const symbol of this.symbols) {
      const { lastAt } = this.board.row(symbol);
      if (this.seededDay.get(symbol) !== (lastAt === null ? undefined : dayStart(lastAt))) this.seedSoon(symbol);
    }
  }

  private seedSoon(symbol: string): void {
    // Of what nobody has bars of there is nothing to ask, until its first trade or bar comes.
    if (!this.looked || (!this.available.includes(symbol) && this.board.row(symbol).lastAt === null)) return;
    this.toSeed.add(symbol);
    if (this.seeding < SEEDS_AT_ONCE) void this.seedNext();
  }

  private async seedNext(): Promise<void> {
    this.seeding += 1;
    for (;;) {
      const symbol = this.toSeed.has(this.active) ? this.active : [...this.toSeed][0];
      if (symbol === undefined) break;
      this.toSeed.delete(symbol);
      try {
        const row = this.board.row(symbol);
        row.seed(await seedRow(this.api, symbol));
        this.seededDay.set(symbol, row.lastAt === null ? NaN : dayStart(row.lastAt));
        this.rowChanged.emit(symbol);
      } catch {
        // An unknown symbol, or no API just now: `reseed` comes back to it.
      }
    }
    this.seeding -= 1;
  }
}
