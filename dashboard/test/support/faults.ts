/** Faults of the running stack: of the feed through the simulator's control address, of Redis through a connection of our own. */
import { connect } from 'node:net';

const { TAPELINE_SIMULATOR_URL: simulator, REDIS_HOST: redisHost, REDIS_PORT: redisPort } = process.env;

/** Whether the stack is one of a simulated market, whose parts may be troubled. */
export const canTrouble = simulator !== undefined && redisHost !== undefined;

/** Makes the feed misbehave; see the simulator's README. */
export async function feedFault(fault: Record<string, unknown>): Promise<void> {
  const response = await fetch(`${simulator}/control/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fault),
  });
  if (!response.ok) throw new Error(`the simulator answered ${response.status}: ${await response.text()}`);
}

/** Keeps the gateway away from Redis until the returned function is called: its subscription is ended and no new connection let in. */
export async function redisAway(): Promise<() => Promise<void>> {
  const socket = connect(Number(redisPort), redisHost);
  const ask = (command: string) =>
    new Promise<string>((resolve, reject) => {
      socket.once('data', (data) => (data.toString().startsWith('-') ? reject(new Error(data.toString().trim())) : resolve(data.toString())));
      socket.once('error', reject);
      socket.write(`${command}\r\n`);
    });
  const before = (await ask('CONFIG GET maxclients')).trim().split('\r\n').pop() ?? '10000';
  await ask('CONFIG SET maxclients 1');
  await ask('CLIENT KILL TYPE pubsub');
  return async () => {
    await ask(`CONFIG SET maxclients ${before}`);
    socket.end();
  };
}
