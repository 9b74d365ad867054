/** What one writes to get the same data elsewhere. Pure text; tests run some of it. */

export const LANGUAGES = ['JavaScript', 'curl', 'Python'] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Recipe {
  readonly id: string;
  readonly title: string;
  readonly about: string;
  /** What "Run" asks for: an address to fetch, or live events. */
  readonly run: { readonly kind: 'fetch'; readonly path: string } | { readonly kind: 'events' };
  readonly code: Readonly<Partial<Record<Language, string>>>;
}

function fetched(id: string, title: string, about: string, origin: string, path: string): Recipe {
  return {
    id,
    title,
    about,
    run: { kind: 'fetch', path },
    code: {
      JavaScript: `const response = await fetch('${origin}${path}');\nconsole.log(await response.json());`,
      curl: `curl '${origin}${path}'`,
      Python: `import json, urllib.request\n\nwith urllib.request.urlopen("${origin}${path}") as response:\n    print(json.dumps(json.load(response), indent=2))`,
    },
  };
}

/** Recipes for `symbol` at the gateway `origin` (without a slash at its end). `today`: a date as YYYY-MM-DD. */
export function recipes(origin: string, symbol: string, today: string): readonly Recipe[] {
  const name = encodeURIComponent(symbol);
  return [
    {
      id: 'socket',
      title: 'Live trades and bars',
      about: 'A stock Socket.IO client (2, 3 or 4). The acknowledgement says what was subscribed.',
      run: { kind: 'events' },
      code: {
        JavaScript: `import { io } from 'socket.io-client';\n\nconst socket = io('${origin}');\nsocket.on('connect', () => socket.emit('subscribe', '${symbol}', console.log));\nsocket.on('trade', (trade) => console.log(trade.symbol, trade.price, trade.size));\nsocket.on('bar', (bar) => console.log('minute', new Date(bar.timestamp), bar.close));`,
        curl: `# Server-Sent Events: the same records, line by line\ncurl -N '${origin}/stream?symbols=${name}'`,
        Python: `# pip install "python-socketio[client]"\nimport socketio\n\nclient = socketio.Client()\nclient.on("trade", lambda trade: print(trade["symbol"], trade["price"], trade["size"]))\nclient.connect("${origin}")\nclient.emit("subscribe", "${symbol}", callback=print)\nclient.wait()`,
      },
    },
    fetched('newest', 'Newest bars', 'Ascending by time. Longer bars: timeframe=5Min, 1Hour, 1Day …', origin, `/api/bars/${name}?limit=5`),
    fetched('range', 'Bars of a range', 'start is included, end is not. More than fits one answer: pass next_page_token back as page_token.', origin, `/api/bars/${name}/range?start=${today}&timeframe=1Hour`),
    fetched('gaps', 'Outages', 'When the feed was away, why, and whether what was missed has been fetched. X-Complete of any other answer says whether one touches it.', origin, `/api/bars/${name}/gaps?start=${today}`),
    fetched('latest', 'The newest bar of every symbol', 'Or of some: symbols=AAPL,MSFT.', origin, '/api/bars/latest'),
    fetched('health', 'Health of the gateway', 'Each part with its state, since when, and why.', origin, '/health'),
    fetched('pipeline', 'Health and numbers of every service', 'What the pipeline page shows.', origin, '/api/pipeline'),
  ];
}
