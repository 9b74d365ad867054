// A stock Socket.IO client that prints what it is told of the feed, one JSON line an event.
const { io } = require(process.env.SOCKET_IO_CLIENT);
const [url, symbol] = process.argv.slice(2);

const socket = io(url);
socket.on('connect', () => socket.emit('subscribe', symbol, () => console.log('subscribed')));
for (const event of ['gap', 'healed', 'status']) {
  socket.on(event, (payload) => console.log(JSON.stringify({ event, payload })));
}
