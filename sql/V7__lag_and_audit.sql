-- Where Kafka's logs end, as the consumers see it: with kafka_offsets it gives the lag without asking Kafka. A table of its own,
-- because whoever reports must never wait for a batch that holds the position's row.
CREATE TABLE market_data_oltp.kafka_lag (
    cluster_id     text COLLATE "C" NOT NULL,
    topic          text COLLATE "C" NOT NULL,
    partition      integer          NOT NULL,
    log_end        bigint           NOT NULL,
    stored_sent_at timestamptz,
    seen_at        timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic, partition)
) WITH (fillfactor = 20); -- updated in place every few seconds

COMMENT ON TABLE market_data_oltp.kafka_lag IS 'Where each Kafka partition ended when its consumer last looked, a few seconds ago while one runs. See tapeline_lag.';
COMMENT ON COLUMN market_data_oltp.kafka_lag.cluster_id IS 'Kafka cluster.';
COMMENT ON COLUMN market_data_oltp.kafka_lag.topic IS 'Kafka topic.';
COMMENT ON COLUMN market_data_oltp.kafka_lag.partition IS 'Kafka partition.';
COMMENT ON COLUMN market_data_oltp.kafka_lag.log_end IS 'Offset that the next record will get.';
COMMENT ON COLUMN market_data_oltp.kafka_lag.stored_sent_at IS 'When the newest stored record was sent; NULL until the present consumer has stored one.';
COMMENT ON COLUMN market_data_oltp.kafka_lag.seen_at IS 'When the consumer looked; old where none runs.';

CREATE VIEW market_data_oltp.tapeline_lag AS
SELECT stored.topic, stored.partition, stored.next_offset, seen.log_end,
       greatest(seen.log_end - stored.next_offset, 0) AS lag_records,
       CASE WHEN seen.log_end > stored.next_offset THEN extract(epoch FROM now() - seen.stored_sent_at) ELSE 0 END AS lag_seconds,
       seen.seen_at
FROM market_data_oltp.kafka_offsets stored
LEFT JOIN market_data_oltp.kafka_lag seen USING (cluster_id, topic, partition)
ORDER BY stored.topic, stored.partition;

COMMENT ON VIEW market_data_oltp.tapeline_lag IS 'How far PostgreSQL is behind Kafka, in records and in seconds (age of the newest stored record), as of seen_at.';

CREATE VIEW market_data_oltp.tapeline_minutes AS
SELECT trade.symbol, trade.source, date_trunc('minute', trade.ts) AS minute,
       count(*) AS trades, sum(trade.size) AS shares, sum(trade.price * trade.size) AS dollars,
       bar.trade_count AS bar_trades, bar.volume AS bar_volume
FROM market_data_oltp.stock_trades_realtime trade
LEFT JOIN market_data_oltp.stock_bars_staging bar
       ON bar.symbol = trade.symbol AND bar.source = trade.source AND bar.timeframe = '1Min'
      AND bar.ts_ns = trade.ts_ns - trade.ts_ns % 60000000000
GROUP BY trade.symbol, trade.source, date_trunc('minute', trade.ts), bar.trade_count, bar.volume;

COMMENT ON VIEW market_data_oltp.tapeline_minutes IS 'Stored trades by symbol, source and minute beside the minute bar of the same: bars leave out what sale conditions exclude. Filter on symbol, or it reads everything. `consumer-trades audit` compares all hops.';

CREATE VIEW market_data_oltp.tapeline_gaps AS
SELECT symbol, source, epoch, seq_before, seq AS seq_after, seq - seq_before - 1 AS missing, ts_before, ts AS ts_after
FROM (
    SELECT symbol, source, epoch, seq, ts,
           lag(seq) OVER following AS seq_before, lag(ts) OVER following AS ts_before
    FROM market_data_oltp.stock_trades_realtime
    WHERE seq IS NOT NULL
    WINDOW following AS (PARTITION BY symbol, source, epoch ORDER BY seq)
) numbered
WHERE seq > seq_before + 1;

COMMENT ON VIEW market_data_oltp.tapeline_gaps IS 'Numbers that the producer gave to trades and that no stored trade has: lost ones, dead letters, and repeats of trades that were stored already. Filter on symbol, or it reads everything.';
