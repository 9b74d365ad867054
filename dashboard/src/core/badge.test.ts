import { describe, expect, test } from 'vitest';
import { badge, HEARTBEAT_LOST_MS, readHeartbeat, SILENCE_EXTENDED_MS, SILENCE_OPEN_MS, type Facts, type Heartbeat } from './badge';

const NOW = 1_700_000_000_000;
const BEAT: Heartbeat = { time: NOW, market: 'open', feedAgeMs: 40, pipeline: 'ok', redis: 'up', data: 'live' };

function of(heartbeat: Partial<Heartbeat> | null, facts: Partial<Facts> = {}) {
  const beat = heartbeat === null ? null : { ...BEAT, ...heartbeat };
  return badge({ now: NOW, heartbeat: beat, heartbeatAt: beat === null ? null : NOW - 300, connected: true, delayMs: 3, ...facts });
}

describe('the badge', () => {
  test('never says live for a connection alone', () => {
    expect(of(null)).toMatchObject({ state: 'waiting', label: 'No heartbeat' });
    expect(of(null, { connected: false })).toMatchObject({ state: 'waiting', label: 'Connecting' });
  });

  test('is live when heartbeats come and trades are fresh', () => {
    expect(of({})).toMatchObject({ state: 'live' });
    expect(of({ market: 'pre' }).reason).toMatch(/Pre-market/);
    expect(of({}, { delayMs: null }).state).toBe('live');
  });

  test('is reconnecting without a connection, and stale when heartbeats stop on a standing one', () => {
    expect(of({}, { connected: false }).state).toBe('reconnecting');
    expect(of({}, { heartbeatAt: NOW - HEARTBEAT_LOST_MS - 1 }).state).toBe('stale');
  });

  test('a silent feed is stale while the market is open, and never when it is closed', () => {
    expect(of({ feedAgeMs: SILENCE_OPEN_MS }).state).toBe('stale');
    expect(of({ feedAgeMs: null })).toMatchObject({ state: 'stale', reason: expect.stringContaining('Nothing has been heard') });
    expect(of({ feedAgeMs: SILENCE_OPEN_MS, market: 'closed' }).state).toBe('closed');
    expect(of({ feedAgeMs: null, market: 'closed' }).state).toBe('closed');
  });

  test('silence may last longer outside regular hours', () => {
    expect(of({ market: 'post', feedAgeMs: SILENCE_OPEN_MS }).state).toBe('live');
    expect(of({ market: 'post', feedAgeMs: SILENCE_EXTENDED_MS }).state).toBe('stale');
  });

  test('a feed that goes on round the clock is live although the market is closed', () => {
    expect(of({ market: 'closed' })).toMatchObject({ state: 'live', reason: expect.stringContaining('the feed continues') });
  });

  test('trades that arrive late are delayed, years late recorded', () => {
    expect(of({}, { delayMs: 900_000 })).toMatchObject({ state: 'delayed', label: 'Delayed', reason: expect.stringContaining('15 min') });
    expect(of({}, { delayMs: 13 * 365.25 * 86_400_000 })).toMatchObject({ state: 'delayed', label: 'Recorded', reason: expect.stringContaining('13 years') });
  });

  test('says what is not the market of this moment, whatever the clock says', () => {
    expect(of({ data: 'simulated', market: 'closed' })).toMatchObject({ state: 'live', label: 'Simulated', reason: expect.stringContaining('never happened') });
    expect(of({ data: 'replay' })).toMatchObject({ label: 'Replay' });
    expect(of({ data: 'delayed' }, { delayMs: 900_000 })).toMatchObject({ state: 'delayed', label: 'Delayed', reason: expect.stringContaining('15 min') });
    expect(of({ data: 'simulated', feedAgeMs: 60_000 }).state).toBe('stale');
  });

  test('a lost Redis or pipeline is degraded, also while the market is closed', () => {
    expect(of({ redis: 'down', feedAgeMs: 60_000 }).state).toBe('degraded');
    expect(of({ pipeline: 'down' }).state).toBe('degraded');
    expect(of({ pipeline: 'degraded', market: 'closed', feedAgeMs: null }).state).toBe('degraded');
    // A mute feed also degrades the pipeline; the nearer cause is the one to name.
    expect(of({ pipeline: 'degraded', feedAgeMs: 60_000 }).state).toBe('stale');
  });
});

test('a heartbeat that lacks its market or time is none; an unknown part is not claimed to be well', () => {
  expect(readHeartbeat({ time: NOW, market: 'open', feed_age_ms: 4, pipeline: 'ok', redis: 'up' })).toEqual({ ...BEAT, feedAgeMs: 4 });
  expect(readHeartbeat({ time: NOW, market: 'lunch' })).toBeNull();
  expect(readHeartbeat({ market: 'open' })).toBeNull();
  expect(readHeartbeat(null)).toBeNull();
  expect(readHeartbeat({ time: NOW, market: 'open' })).toMatchObject({ pipeline: 'degraded', redis: 'down', feedAgeMs: null });
});
