/**
 * The Socket.IO connection. It counts who wants which symbol, subscribes again after each reconnect, and tells followers when the
 * gateway has acknowledged: from that moment on nothing is missed.
 */
import { io, type Socket } from 'socket.io-client';
import { readHeartbeat, type Heartbeat } from '../core/badge';
import type { Follower, Stream } from '../lib/live-bars';
import { readBar, readQuote, readSnapshot, readTrade, type Bar, type Quote, type Snapshot, type Trade } from '../lib/records';

/** What the whole page hears, besides the followers of single symbols. */
export interface Ears {
  onTrade(trade: Trade): void;
  onBar(bar: Bar & { readonly symbol: string }): void;
  onQuote(quote: Quote): void;
  onSnapshot(snapshot: Snapshot): void;
  onHeartbeat(heartbeat: Heartbeat): void;
  /** A `status`, `gap` or `healed` event. Its shape is the sender's. */
  onStatus(status: unknown): void;
  /** The gateway did not let this page in with what it brought. */
  onRefused(token: string | null, reason: string): void;
  onConnection(connected: boolean): void;
  /** Events may be missed from now on. */
  onInterrupted(): void;
  /** What the page knows of the running minute of a symbol that it has listened to for a while. */
  snapshotOf(symbol: string): Snapshot | null;
  /** The gateway refused a symbol, with its reason. */
  onRejected(symbol: string, reason: string): void;
}

const ACK_TIMEOUT_MS = 5_000;
const RETRY_MS = 2_000;
const STREAMS = ['trades', 'bars', 'quotes'];

interface Acknowledgement {
  readonly subscribed?: readonly string[];
  readonly rejected?: readonly { readonly symbol: string; readonly reason: string }[];
  readonly symbols?: readonly string[];
}

export class GatewayStream implements Stream {
  readonly socket: Socket;
  private readonly followers = new Map<string, Set<Follower>>();
  private readonly listening = new Set<string>();
  private wanted = new Set<string>();
  private asking = false;
  private brought: string | null = null;

  constructor(
    path: string,
    private readonly ears: Ears,
    token: () => string | null,
  ) {
    const auth = (tell: (data: object) => void) => {
      this.brought = token();
      tell(this.brought === null ? {} : { token: this.brought });
    };
    this.socket = io({ path, transports: ['websocket', 'polling'], tryAllTransports: true, reconnectionDelayMax: 5_000, auth });
    this.socket.on('connect', () => {
      ears.onConnection(true);
      void this.ask();
    });
    this.socket.on('disconnect', () => {
      this.lost();
      // Sent away: whether it may come back is for the gateway to say, with a reason.
      if (!this.socket.active) setTimeout(() => this.socket.connect(), RETRY_MS);
    });
    // The library does not try again by itself where the gateway has said no.
    this.socket.on('connect_error', (error: Error) => this.socket.active || ears.onRefused(this.brought, error.message));
    this.socket.on('trade', (payload: unknown) => this.trade(payload));
    this.socket.on('bar', (payload: unknown) => this.bar(payload));
    this.socket.on('quote', (payload: unknown) => {
      const quote = readQuote(payload);
      if (quote !== null) ears.onQuote(quote);
    });
    this.socket.on('snapshot', (payload: unknown) => {
      const snapshot = readSnapshot(payload);
      if (snapshot === null) return;
      ears.onSnapshot(snapshot);
      for (const follower of this.followers.get(snapshot.symbol) ?? []) follower.onSnapshot?.(snapshot);
    });
    this.socket.on('lagged', () => this.interrupted());
    this.socket.on('heartbeat', (payload: unknown) => {
      const heartbeat = readHeartbeat(payload);
      if (heartbeat !== null) ears.onHeartbeat(heartbeat);
    });
    for (const event of ['status', 'gap', 'healed']) this.socket.on(event, (payload: unknown) => ears.onStatus(payload));
  }

  /** There is a token now, or a new one. */
  admit(token: string): void {
    if (this.socket.connected) this.socket.emit('token', token);
    else this.socket.connect();
  }

  /** Exactly these symbols, from now on. */
  want(symbols: readonly string[]): void {
    const gone = [...this.wanted].filter((symbol) => !symbols.includes(symbol));
    this.wanted = new Set(symbols);
    for (const symbol of gone) this.listening.delete(symbol);
    if (gone.length > 0 && this.socket.connected) this.socket.emit('unsubscribe', gone);
    void this.ask();
  }

  follow(symbol: string, follower: Follower): () => void {
    const followers = this.followers.get(symbol) ?? new Set();
    this.followers.set(symbol, followers.add(follower));
    if (this.listening.has(symbol)) queueMicrotask(() => followers.has(follower) && this.join(symbol, follower));
    return () => {
      followers.delete(follower);
      if (followers.size === 0) this.followers.delete(symbol);
    };
  }

  /** The gateway tells no newcomer what it told this page before; the page does. */
  private join(symbol: string, follower: Follower): void {
    follower.onListening();
    const snapshot = this.ears.snapshotOf(symbol);
    if (snapshot !== null) follower.onSnapshot?.(snapshot);
  }

  /** Subscribes to whatever is wanted and not yet acknowledged; again and again until it is. */
  private async ask(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      for (let missing = this.missing(); missing.length > 0 && this.socket.connected; missing = this.missing()) {
        const { id } = this.socket;
        const answer = await this.socket
          .timeout(ACK_TIMEOUT_MS)
          .emitWithAck('subscribe', { symbols: missing, streams: STREAMS })
          .then((ack: Acknowledgement) => ack, () => null);
        if (answer === null) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        else if (id === this.socket.id) this.acknowledged(missing, answer);
      }
    } finally {
      this.asking = false;
    }
    if (this.socket.connected && this.missing().length > 0) void this.ask();
  }

  private missing(): string[] {
    return [...this.wanted].filter((symbol) => !this.listening.has(symbol));
  }

  private acknowledged(asked: readonly string[], { subscribed, rejected = [] }: Acknowledgement): void {
    for (const { symbol, reason } of rejected) {
      this.wanted.delete(symbol);
      this.ears.onRejected(symbol, reason);
    }
    const refused = new Set(rejected.map(({ symbol }) => symbol));
    for (const symbol of subscribed ?? asked) {
      if (refused.has(symbol) || !this.wanted.has(symbol)) continue;
      this.listening.add(symbol);
      for (const follower of this.followers.get(symbol) ?? []) follower.onListening();
    }
    // Neither accepted nor rejected is an answer too, and asking for ever would not change it.
    for (const symbol of asked) {
      if (this.wanted.has(symbol) && !this.listening.has(symbol)) {
        this.wanted.delete(symbol);
        this.ears.onRejected(symbol, 'the gateway did not accept it');
      }
    }
  }

  private lost(): void {
    this.listening.clear();
    this.interrupted();
    this.ears.onConnection(false);
  }

  /** Also when the gateway left trades out because this page could not keep up. */
  private interrupted(): void {
    this.ears.onInterrupted();
    for (const followers of this.followers.values()) for (const follower of followers) follower.onInterrupted();
  }

  private trade(payload: unknown): void {
    const trade = readTrade(payload);
    if (trade === null) return;
    this.ears.onTrade(trade);
    for (const follower of this.followers.get(trade.symbol) ?? []) follower.onTrade(trade);
  }

  private bar(payload: unknown): void {
    const bar = readBar(payload);
    if (bar?.symbol === undefined) return;
    this.ears.onBar({ ...bar, symbol: bar.symbol });
    for (const follower of this.followers.get(bar.symbol) ?? []) follower.onBar(bar);
  }
}
