// A stock Socket.IO client: subscribes to one symbol, checks that trades come once and in order, and reports their sums.
const { io } = require(process.env.SOCKET_IO_CLIENT);
const [url, symbol, wanted] = process.argv.slice(2);

const socket = io(url);
let count = 0;
let size = 0;
let money = 0n; // dollars × 10,000 × shares passes 2^53
let last = 0;

socket.on('connect', () => socket.emit('subscribe', symbol, () => console.log('subscribed')));
socket.on('trade', (trade) => {
  if (trade.symbol !== symbol || trade.seq !== last + 1) {
    console.log(`expected ${symbol} seq ${last + 1}, got ${trade.symbol} seq ${trade.seq} after ${count} trades`);
    process.exit(1);
  }
  last = trade.seq;
  count += 1;
  size += trade.size;
  money += BigInt(Math.round(trade.price * 10000)) * BigInt(trade.size);
  if (count === Number(wanted)) {
    console.log(`${count} trades in order, size ${size}, money ${money}`);
    process.exit(0);
  }
});
socket.on('lagged', (note) => {
  console.log(`the gateway says that it could not keep up: ${JSON.stringify(note)}`);
  process.exit(1);
});
