import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Access } from './access';

/** A gateway that knows one key and the tokens that it has handed out. */
class Door {
  readonly good = new Set<string>();
  issued = 0;
  key = 'the key';

  answer(address: string, headers: Headers): Response {
    if (address.endsWith('/api/token')) {
      if (headers.get('x-api-key') !== this.key) return new Response('{}', { status: 401 });
      const token = `token-${(this.issued += 1)}`;
      this.good.add(token);
      return Response.json({ token, expires_in: 300 });
    }
    const token = headers.get('authorization')?.replace('Bearer ', '') ?? '';
    return this.good.has(token) ? new Response('in') : new Response('{}', { status: 401 });
  }
}

let door: Door;
let kept: Map<string, string>;
const store = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, text: string) => void kept.set(key, text), removeItem: (key: string) => void kept.delete(key) };

beforeEach(() => {
  vi.useFakeTimers();
  door = new Door();
  kept = new Map();
  vi.stubGlobal('fetch', (address: string, options: RequestInit) => Promise.resolve(door.answer(address, new Headers(options.headers))));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('questions wait for the key, which is asked for once and never kept', async () => {
  const access = new Access('http://here/', store);
  access.onNeeded = vi.fn();
  const answers = [access.fetch('http://here/api/a'), access.fetch('http://here/api/b')];
  await vi.advanceTimersByTimeAsync(0);
  expect(access.onNeeded).toHaveBeenCalledTimes(1);
  expect(await access.give('no key')).toContain('does not know');
  expect(await access.give('the key')).toBeNull();
  expect(await Promise.all((await Promise.all(answers)).map((answer) => answer.text()))).toEqual(['in', 'in']);
  expect([...kept.values()].join()).toContain('token-1');
  expect([...kept.values()].join()).not.toContain('the key');
});

test('a token is replaced before it runs out, and after the gateway has forgotten it', async () => {
  const access = new Access('http://here/', store);
  access.onToken = vi.fn();
  await access.give('the key');
  await vi.advanceTimersByTimeAsync(271_000);
  expect(access.token).toBe('token-2');
  expect(access.onToken).toHaveBeenLastCalledWith('token-2');
  door.good.clear();
  expect(await (await access.fetch('http://here/api/a')).text()).toBe('in');
  expect(access.token).toBe('token-3');
});

test('a key that is good no longer is asked for again', async () => {
  const access = new Access('http://here/', store);
  access.onNeeded = vi.fn();
  await access.give('the key');
  door.good.clear();
  door.key = 'another';
  const answer = access.fetch('http://here/api/a');
  await vi.advanceTimersByTimeAsync(0);
  expect(access.onNeeded).toHaveBeenCalledTimes(1);
  expect(await access.give('another')).toBeNull();
  expect((await answer).status).toBe(200);
});

test('a token that was kept is used again while it lasts', async () => {
  await new Access('http://here/', store).give('the key');
  expect(new Access('http://here/', store).token).toBe('token-1');
  vi.setSystemTime(Date.now() + 301_000);
  expect(new Access('http://here/', store).token).toBeNull();
});
