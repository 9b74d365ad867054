/**
 * What the badge says, from the gateway's heartbeat and from measured delay alone. A connected socket proves nothing: it never makes
 * the badge say "live"; a lost one only explains why heartbeats stay away.
 */
import { duration } from './format';

export type Market = 'open' | 'pre' | 'post' | 'closed';
export type Part = 'ok' | 'degraded' | 'down';
/** What the records are: of the market as it happens, of the market some time ago, made up, or of a day that is played again. */
export type DataKind = 'live' | 'delayed' | 'simulated' | 'replay';

/** The `heartbeat` event, once a second. */
export interface Heartbeat {
  /** The gateway's clock, Unix milliseconds. */
  readonly time: number;
  readonly market: Market;
  /** Since the gateway last heard a record; `null` for never. */
  readonly feedAgeMs: number | null;
  readonly pipeline: Part;
  readonly redis: 'up' | 'down';
  readonly data: DataKind;
}

export interface Facts {
  readonly now: number;
  readonly heartbeat: Heartbeat | null;
  /** When it arrived, by this machine's clock. */
  readonly heartbeatAt: number | null;
  readonly connected: boolean;
  /** Median time from a trade's stamp to its arrival; `null` without recent trades. */
  readonly delayMs: number | null;
}

export type BadgeState = 'waiting' | 'live' | 'delayed' | 'stale' | 'closed' | 'degraded' | 'reconnecting';

export interface Badge {
  readonly state: BadgeState;
  readonly label: string;
  /** One sentence: why. */
  readonly reason: string;
}

/** Heartbeats come each second; three missed ones are no accident. */
export const HEARTBEAT_LOST_MS = 3_500;
/** The longest silence of a feed that is no sign of trouble, while the market is open and outside regular hours. */
export const SILENCE_OPEN_MS = 10_000;
export const SILENCE_EXTENDED_MS = 60_000;
/** Data older than this on arrival is not live. */
export const DELAYED_MS = 2_000;
const RECORDED_MS = 86_400_000;

const SESSION: Record<Market, string> = {
  open: 'The market is open',
  pre: 'Pre-market trading',
  post: 'After-hours trading',
  closed: 'The market is closed',
};

export function badge(facts: Facts): Badge {
  const { heartbeat, heartbeatAt, now } = facts;
  if (heartbeat === null || heartbeatAt === null) return unheard(facts.connected);
  const silence = now - heartbeatAt;
  if (!facts.connected) return of('reconnecting', 'Reconnecting', `The connection is lost; last heartbeat ${duration(silence)} ago.`);
  if (silence > HEARTBEAT_LOST_MS) {
    return of('stale', 'Stale', `The connection stands, but no heartbeat came for ${duration(silence)}.`);
  }
  if (heartbeat.redis === 'down') return of('degraded', 'Degraded', 'The gateway has lost Redis: no live events until it is back.');
  if (heartbeat.pipeline === 'down') return of('degraded', 'Degraded', 'The gateway reports that the pipeline is down.');

  const feedAge = heartbeat.feedAgeMs === null ? null : heartbeat.feedAgeMs + silence;
  const allowed = heartbeat.market === 'open' || heartbeat.market === 'closed' ? SILENCE_OPEN_MS : SILENCE_EXTENDED_MS;
  const flowing = feedAge !== null && feedAge <= allowed;
  const heard = feedAge === null ? 'Nothing has been heard from the feed since the gateway started' : `Last record ${duration(feedAge)} ago`;
  if (!flowing && heartbeat.market !== 'closed') return of('stale', 'Stale', `${SESSION[heartbeat.market]}, yet the feed is silent. ${heard}.`);
  if (heartbeat.pipeline === 'degraded') return of('degraded', 'Degraded', 'The gateway reports that a part of the pipeline is in trouble.');
  if (!flowing) return of('closed', 'Closed', `The market is closed. ${heard}.`);
  return fresh(heartbeat, facts.delayMs);
}

function fresh({ market, data }: Heartbeat, delay: number | null): Badge {
  const session = market === 'closed' ? 'The market is closed, but the feed continues' : SESSION[market];
  if (data === 'simulated') return of('live', 'Simulated', `A simulated market: these trades never happened. ${SESSION[market]} in reality.`);
  if (data === 'replay') return of('live', 'Replay', 'A recorded day, played again: these trades happened before.');
  if (data === 'delayed') return of('delayed', 'Delayed', `${session}. This feed is delayed by its vendor${delay === null ? '' : `; trades arrive ${duration(Math.max(0, delay))} after they happened`}.`);
  if (delay === null) return of('live', 'Live', `${session}. Records are arriving; none of them yet for your symbols.`);
  if (delay > RECORDED_MS) return of('delayed', 'Recorded', `Recorded data: trades are stamped ${duration(delay)} before now.`);
  if (delay > DELAYED_MS) return of('delayed', 'Delayed', `${session}. Trades arrive ${duration(delay)} after they happened.`);
  return of('live', 'Live', `${session}. Trades arrive ${duration(Math.max(0, delay))} after they happened.`);
}

function unheard(connected: boolean): Badge {
  return connected
    ? of('waiting', 'No heartbeat', 'Connected, but the gateway has not sent a heartbeat yet, so nothing is known about the data.')
    : of('waiting', 'Connecting', 'No connection to the gateway yet.');
}

function of(state: BadgeState, label: string, reason: string): Badge {
  return { state, label, reason };
}

/** A heartbeat, or `null` where the payload is none. */
export function readHeartbeat(value: unknown): Heartbeat | null {
  if (typeof value !== 'object' || value === null) return null;
  const { time, market, feed_age_ms, pipeline, redis, data } = value as Record<string, unknown>;
  const known = <T extends string>(text: unknown, ...allowed: T[]): T | null => allowed.find((one) => one === text) ?? null;
  const session = known(market, 'open', 'pre', 'post', 'closed');
  if (typeof time !== 'number' || session === null) return null;
  return {
    time,
    market: session,
    feedAgeMs: typeof feed_age_ms === 'number' ? feed_age_ms : null,
    pipeline: known(pipeline, 'ok', 'degraded', 'down') ?? 'degraded',
    redis: known(redis, 'up', 'down') ?? 'down',
    // A gateway of an earlier version does not say it.
    data: known(data, 'live', 'delayed', 'simulated', 'replay') ?? 'live',
  };
}
