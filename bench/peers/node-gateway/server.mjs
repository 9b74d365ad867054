// Redis pub/sub to Socket.IO rooms, the way the tutorials do it.
import { createServer } from 'node:http';
import express from 'express';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const port = Number(process.env.PORT ?? 5050);
const app = express();
app.get('/health', (_, response) => response.json({ status: 'ok' }));
const server = createServer(app);
const io = new Server(server, { cors: { origin: '*' } });
io.on('connection', (socket) => {
  socket.on('subscribe', (symbols, acknowledge) => {
    for (const symbol of [symbols].flat()) socket.join(symbol);
    acknowledge?.({ ok: true });
  });
  socket.on('unsubscribe', (symbols) => {
    for (const symbol of [symbols].flat()) socket.leave(symbol);
  });
});
const redis = createClient({ url: `redis://${process.env.REDIS_HOST ?? '127.0.0.1'}:${process.env.REDIS_PORT ?? 6379}` });
await redis.connect();
for (const [channel, event] of [['stock:trades:pubsub', 'trade'], ['stock:bars:pubsub', 'bar']]) {
  await redis.subscribe(channel, (text) => {
    const record = JSON.parse(text);
    io.to(record.symbol).emit(event, record);
  });
}
server.listen(port, '127.0.0.1', () => console.log(`listening on ${port}`));
