/** Which numbers the pipeline page shows, in the order in which a record passes them. */
import type { Measure } from './pipeline';

export interface Figure {
  readonly title: string;
  readonly unit: string;
  readonly measure: Measure;
  /** Whether anything above zero is bad news. */
  readonly alarm?: boolean;
  /** What the number means, for whoever points at it. */
  readonly note: string;
}

const rate = (service: string, metric: string): Measure => ({ service, metric, as: 'rate' });
const value = (service: string, metric: string): Measure => ({ service, metric, as: 'value' });
const total = (service: string, metric: string): Measure => ({ service, metric, as: 'total' });

/** Reasons for which a gateway ends a connection that does not keep up. */
const SLOW = ['stalled', 'lossless', 'unread'].map((reason) => `reason="${reason}"`);

export const HOT: readonly Figure[] = [
  { title: 'From the feed', unit: '/s', measure: rate('producer', 'producer_records_total'), note: 'Trades, bars and quotes that the producer took from the feed' },
  { title: 'To Redis', unit: '/s', measure: rate('producer', 'producer_hot_published_total'), note: 'Records published for the gateways' },
  { title: 'Into the gateway', unit: '/s', measure: rate('gateway', 'gateway_records_in_total'), note: 'Records that this gateway heard from Redis' },
  { title: 'To clients', unit: '/s', measure: rate('gateway', 'gateway_deliveries_total'), note: 'Events handed to connections: one record counts once for each subscriber' },
];

export const COLD: readonly Figure[] = [
  { title: 'To Kafka', unit: '/s', measure: rate('producer', 'producer_kafka_acknowledged_total'), note: 'Records that Kafka has acknowledged' },
  { title: 'Trades stored', unit: '/s', measure: rate('consumer-trades', 'consumer_trades_rows_stored_total'), note: 'Rows committed to PostgreSQL' },
  { title: 'Bars stored', unit: '/s', measure: rate('consumer-bars', 'consumer_bars_rows_stored_total'), note: 'Rows committed to PostgreSQL' },
  { title: 'History answers', unit: '/s', measure: rate('bars-api', 'bars_api_answers_total'), note: 'Answers of the history API' },
];

export const LAG: readonly Figure[] = [
  { title: 'Trades behind', unit: 'records', measure: value('consumer-trades', 'consumer_trades_lag_records'), note: 'In Kafka and not yet in PostgreSQL' },
  { title: 'Trades behind', unit: 's', measure: value('consumer-trades', 'consumer_trades_lag_seconds'), note: 'Age of the newest stored trade of the partition that is furthest behind' },
  { title: 'Bars behind', unit: 'records', measure: value('consumer-bars', 'consumer_bars_lag_records'), note: 'In Kafka and not yet in PostgreSQL' },
  { title: 'Bars behind', unit: 's', measure: value('consumer-bars', 'consumer_bars_lag_seconds'), note: 'Age of the newest stored bar of the partition that is furthest behind' },
  { title: 'Waiting for Kafka', unit: 'records', measure: value('producer', 'producer_kafka_unacknowledged'), note: 'Sent and not yet acknowledged' },
  { title: 'Spool', unit: 'bytes', measure: value('producer', 'producer_spool_bytes'), note: 'On disk while Kafka is away' },
];

export const TROUBLE: readonly Figure[] = [
  { title: 'Dead letters, trades', unit: '', alarm: true, measure: total('consumer-trades', 'consumer_trades_dead_letters_total'), note: 'Records that could not be stored, kept with their reason in stock_dead_letters' },
  { title: 'Dead letters, bars', unit: '', alarm: true, measure: total('consumer-bars', 'consumer_bars_dead_letters_total'), note: 'Records that could not be stored, kept with their reason in stock_dead_letters' },
  { title: 'Gaps', unit: '', alarm: true, measure: total('producer', 'producer_gaps_total'), note: 'Outages of the feed since the producer started' },
  { title: 'Records backfilled', unit: '', measure: total('producer', 'producer_backfilled_total'), note: 'Fetched afterwards to heal gaps' },
  { title: 'Left out of Redis', unit: '', alarm: true, measure: total('producer', 'producer_hot_dropped_total'), note: 'Live copies dropped because Redis could not keep up; the cold way has them' },
  { title: 'Slow clients cut', unit: '', alarm: true, measure: { ...total('gateway', 'gateway_cut_total'), labels: SLOW }, note: 'Connections that this gateway ended because they did not keep up; those that ended by themselves are not counted' },
];

export const CLIENTS: readonly Figure[] = [
  { title: 'Clients', unit: '', measure: value('gateway', 'gateway_clients'), note: 'Connected to this gateway now' },
  { title: 'Connections', unit: '', measure: value('gateway', 'gateway_connections'), note: 'Open sockets of this gateway' },
];

/** Every figure of the page. */
export const FIGURES: readonly Figure[] = [...HOT, ...COLD, ...LAG, ...TROUBLE, ...CLIENTS];
