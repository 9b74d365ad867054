// Many stock Socket.IO clients over several gateways, each with three symbols that others want too; they leave when standard input ends.
const { io } = require(process.env.SOCKET_IO_CLIENT);
const [urls, clients, symbols] = process.argv.slice(2);
const [gateways, names] = [urls.split(','), symbols.split(',')];

const sockets = [];
let subscribed = 0;
for (let client = 0; client < Number(clients); client += 1) {
  const socket = io(gateways[client % gateways.length], { forceNew: true, transports: ['websocket'] });
  const wanted = [0, 1, 2].map((more) => names[(client * 7 + more) % names.length]);
  socket.once('connect', () =>
    socket.emit('subscribe', wanted, () => {
      subscribed += 1;
      if (subscribed === Number(clients)) console.log(`${subscribed} subscribed`);
    }),
  );
  sockets.push(socket);
}

process.stdin.resume();
process.stdin.on('end', () => {
  sockets.forEach((socket) => socket.disconnect());
  console.log('left');
});
