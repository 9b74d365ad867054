/** A stock socket.io client beside the page: what was published, as anybody would hear it. */
import { io } from 'socket.io-client';
import { readBar, readTrade, type Bar, type Trade } from '../../src/lib/records';

export interface Ear {
  /** In order of arrival. */
  readonly trades: readonly Trade[];
  readonly bars: readonly Bar[];
  close(): void;
}

/** Resolves once the gateway has acknowledged the subscription. */
export async function listen(url: string, symbols: readonly string[]): Promise<Ear> {
  const trades: Trade[] = [];
  const bars: Bar[] = [];
  const socket = io(url, { forceNew: true });
  socket.on('trade', (payload: unknown) => {
    const trade = readTrade(payload);
    if (trade !== null) trades.push(trade);
  });
  socket.on('bar', (payload: unknown) => {
    const bar = readBar(payload);
    if (bar !== null) bars.push(bar);
  });
  const answer: unknown = await socket.timeout(15_000).emitWithAck('subscribe', symbols);
  if ((answer as { ok?: boolean } | null)?.ok !== true) throw new Error(`the gateway refused: ${JSON.stringify(answer)}`);
  return { trades, bars, close: () => void socket.close() };
}
