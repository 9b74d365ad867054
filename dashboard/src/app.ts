/** What the page knows, and how it comes to know it. Views read from here and listen; they never talk to the network themselves. */
import { badge, type Badge, type Heartbeat } from './core/badge';
import { Board } from './core/board';
import { Freshness } from './core/freshness';
import { ALERTS_MAX, alertAt, fires, readAlerts, type Alert } from './core/alerts';
import { COMPARED_MAX, type Range } from './core/address';
import { readAvailability } from './core/availability';
import { price } from './core/format';
import type { Horizon } from './core/horizons';
import { GapBook } from './core/gap-book';
import { readGap } from './core/gaps';
import { Signal } from './core/signal';
import { DEFAULT_SYMBOLS, introduce, neighbour, SYMBOLS_MAX, usual } from './core/symbols';
import { Tape } from './core/tape';
import { moved } from './core/watchlists';
import { useZone, ZONES, type Zone } from './core/zone';
import { Access } from './io/access';
import { Api, type Company } from './io/api';
import { Seeder } from './io/seeder';
import { notify } from './io/notify';
import { browserStorage, loadSettings, saveSettings, tabStorage, type Settings } from './io/settings';
import { GatewayStream, type Ears } from './io/socket';
import type { Trade } from './lib/records';

const ASK_AGAIN_MS = 10_000;
const REMEMBER_MS = 30_000;

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
  readonly alertsChanged = new Signal();
  /** What the chart shows of the past: a horizon, else a range that somebody scrolled to, else the newest candles. */
  readonly view: { horizon: Horizon | null; range: Range | null } = { horizon: null, range: null };
  /** The chart shows something else, which the address is to say: `true` where that is worth a step of its own in the browser's history. */
  readonly viewChanged = new Signal<boolean>();
  /** An address asks the chart to show something else. */
  readonly viewAsked = new Signal();
  /** Something that a person should read, once. */
  readonly notice = new Signal<string>();

  alerts: Alert[];
  private readonly storage = browserStorage();
  private readonly freshness = new Freshness();
  private connected = false;
  private looked = false;
  private answered: () => void = () => undefined;
  /** Resolves when it is known, or not to be known now, which symbols there are. */
  readonly ready = new Promise<void>((resolve) => (this.answered = resolve));
  private readonly seeder: Seeder;
  private readonly oldestOf = new Map<string, Promise<number | null>>();
  /** Symbols whose outages are being asked for. */
  private readonly learning = new Set<string>();

  constructor() {
    const base = new URL('.', document.baseURI);
    this.access = new Access(base.href, tabStorage());
    this.api = new Api(base.href, this.access);
    this.settings = loadSettings(this.storage);
    useZone(ZONES.find((zone) => zone === this.settings.zone) ?? 'exchange');
    this.alerts = readAlerts(this.settings.alerts);
    const followed = () => ({ symbols: this.symbols, active: this.active, stored: this.looked ? this.available : null });
    this.seeder = new Seeder(this.api, this.board, followed, (symbol) => this.rowChanged.emit(symbol));
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
        if (this.alerts.length > 0) this.alarm(snapshot.symbol);
        this.rowChanged.emit(snapshot.symbol);
      },
      onHeartbeat: (heartbeat) => this.onHeartbeat(heartbeat),
      onStatus: (status) => this.onStatus(status),
      onConnection: (connected) => {
        this.connected = connected;
        if (!connected) return;
        for (const symbol of this.symbols) this.seeder.soon(symbol);
        // Outages may have opened, ended and healed unheard.
        this.gaps.doubt();
        this.gapsChanged.emit();
      },
      onInterrupted: () => this.board.interrupt(),
      snapshotOf: (symbol) => this.board.row(symbol).snapshot,
      onRejected: (symbol, reason) => this.notice.emit(`${symbol}: ${reason}`),
      onRefused: (token) => this.access.refused(token),
    };
    this.stream = new GatewayStream(`${base.pathname}socket.io/`, ears, () => this.access.token);
    this.access.onToken = (token) => this.stream.admit(token);
    this.want();
    void this.lookAround();
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
    this.view.range = null;
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
    this.forget(symbol);
    if (wasActive) this.open(next);
  }

  /** Another order of the watchlist: `symbol` at the place of another, or some places on. */
  move(symbol: string, to: string | number): void {
    this.settings.sort = null;
    // Who has chosen none sees the first one, and keeps seeing it.
    this.settings.active = this.active;
    this.setSymbols(moved(this.symbols, symbol, to));
  }

  /** Shows another watchlist. */
  follow(symbols: readonly string[]): void {
    for (const symbol of this.symbols) if (!symbols.includes(symbol)) this.forget(symbol);
    const before = this.active;
    this.setSymbols([...symbols]);
    if (this.active !== before) this.activeChanged.emit();
  }

  /** Symbols that are drawn beside the active one. */
  get compared(): string[] {
    return this.settings.compared.filter((symbol) => symbol !== this.active).slice(0, COMPARED_MAX);
  }

  compare(symbols: readonly string[]): void {
    if (symbols.length > COMPARED_MAX) return this.notice.emit(`The chart compares at most ${COMPARED_MAX} symbols. Remove one first.`);
    this.settings.compared = [...symbols];
    this.want();
    this.save();
  }

  setZone(zone: Zone): void {
    useZone(zone);
    this.settings.zone = zone;
    this.save();
  }

  /** Sets an alert on the active symbol. */
  addAlert(level: number): void {
    if (this.alerts.length >= ALERTS_MAX) return this.notice.emit(`${ALERTS_MAX} alerts are as many as one browser keeps. Remove one first.`);
    const { last, symbol } = this.board.row(this.active);
    this.setAlerts([...this.alerts, alertAt(symbol, level, last, `${Date.now()}-${this.alerts.length}`)]);
  }

  removeAlert(id: string): void {
    this.setAlerts(this.alerts.filter((alert) => alert.id !== id));
  }

  /** Start of the first day that history has of a symbol; `null` where that is not known. */
  oldest(symbol: string): Promise<number | null> {
    let asked = this.oldestOf.get(symbol);
    if (asked === undefined) {
      asked = this.api.oldest(symbol).catch(() => null);
      this.oldestOf.set(symbol, asked);
      // A past may still be filled in.
      setTimeout(() => this.oldestOf.delete(symbol), REMEMBER_MS);
    }
    return asked;
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

  private setAlerts(alerts: Alert[]): void {
    this.alerts = alerts;
    this.settings.alerts = alerts;
    this.want();
    this.save();
    this.alertsChanged.emit();
  }

  /** Fires what the newest price of a symbol reaches. */
  private alarm(symbol: string): void {
    const { last, digits } = this.board.row(symbol);
    const due = last === null ? [] : this.alerts.filter((alert) => fires(alert, symbol, last));
    if (last === null || due.length === 0) return;
    const firedAt = Date.now();
    this.setAlerts(this.alerts.map((alert) => (due.includes(alert) ? { ...alert, firedAt } : alert)));
    for (const alert of due) {
      const text = `${symbol} ${alert.when === 'rises' ? 'rose' : 'fell'} to ${price(last, digits)} (alert at ${price(alert.price)})`;
      this.notice.emit(text);
      notify(text);
    }
  }

  private forget(symbol: string): void {
    this.board.drop(symbol);
    this.tape.drop(symbol);
    this.seeder.forget(symbol);
  }

  /** Listens to everything that is shown or watched, the followed symbols first. */
  private want(): void {
    const waiting = this.alerts.filter((alert) => alert.firedAt === null).map((alert) => alert.symbol);
    this.stream.want([...new Set([...this.symbols, ...this.settings.compared, ...waiting])].slice(0, SYMBOLS_MAX));
  }

  private setSymbols(symbols: string[]): void {
    this.settings.symbols = symbols;
    this.save();
    this.want();
    for (const symbol of symbols) if (!this.seeder.has(symbol)) this.seeder.soon(symbol);
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
      for (const symbol of this.symbols) this.seeder.soon(symbol);
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
    if (this.alerts.length > 0) this.alarm(trade.symbol);
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
}
