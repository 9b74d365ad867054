// A port for a server, found the way local-stack/src/port.rs does and leased under the same name.
import { once } from 'node:events';
import net from 'node:net';

// Below the ports that Linux gives to outgoing connections: a client that keeps trying to reach a
// server that is away could else be given that very port, and connect to itself.
const FIRST = 20_000;
const COUNT = 12_000;

// Held until this process ends: a server that is stopped may be started again.
const leases = [];

/** Listens where told; undefined where somebody else does. */
async function listening(...where) {
  const server = net.createServer().listen(...where).unref();
  try {
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}

/** True when nobody had leased `port`; now this process has. */
async function lease(port) {
  const held = await listening(`\0${`tapeline-port-${port}`.padEnd(107, '.')}`);
  if (held) leases.push(held);
  return held !== undefined;
}

// To a Node before 20 all names of this kind are one: it can then only ask whether a port is free.
const CAN_LEASE = (await lease(`one-of-${process.pid}`)) && (await lease(`other-of-${process.pid}`));

/** A port that is free, and that nobody else who asks here will get before this process ends. */
export async function freePort() {
  for (let attempt = 0; attempt < 1_000; attempt += 1) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (CAN_LEASE && !(await lease(port))) continue;
    const server = await listening(port);
    if (!server) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error(`no free port between ${FIRST} and ${FIRST + COUNT}`);
}
