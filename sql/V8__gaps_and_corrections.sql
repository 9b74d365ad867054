-- Outages of feeds and corrections of trades, which until now ended in Kafka (docs/decisions/0015).

-- Gaps -------------------------------------------------------------------------------------------------------------------
CREATE TABLE market_data_oltp.stock_feed_gaps (
    source     text COLLATE "C" NOT NULL,
    symbol     text COLLATE "C" NOT NULL,
    started_at timestamptz      NOT NULL,
    ended_at   timestamptz,
    cause      text             NOT NULL,
    healed_at  timestamptz,
    PRIMARY KEY (source, symbol, started_at),
    CHECK (ended_at >= started_at),
    CHECK (healed_at IS NULL OR ended_at IS NOT NULL)
);

COMMENT ON TABLE market_data_oltp.stock_feed_gaps IS 'Outages of feeds, one row each, in the latest version: open, ended, healed. For reading: tapeline_gaps.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.source IS 'Feed: alpaca, finnhub, massive.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.symbol IS 'Instrument that it concerns; * for all.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.started_at IS 'Time of the last record before the outage, by the feed''s clock.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.ended_at IS 'Time of the first record after it; NULL while it lasts.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.cause IS 'Why, for people.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.healed_at IS 'When the missed records had been fetched from the feed''s history; NULL until then.';

-- The name has gone to the outages of feeds; these are steps in the producer's numbers.
ALTER VIEW market_data_oltp.tapeline_gaps RENAME TO tapeline_seq_steps;

CREATE VIEW market_data_oltp.tapeline_gaps AS
SELECT source, symbol, started_at, ended_at,
       CASE WHEN healed_at IS NOT NULL THEN 'healed' WHEN ended_at IS NOT NULL THEN 'ended' ELSE 'open' END AS state,
       coalesce(ended_at, now()) - started_at AS lasted, cause, healed_at
FROM market_data_oltp.stock_feed_gaps
ORDER BY started_at DESC;

COMMENT ON VIEW market_data_oltp.tapeline_gaps IS 'Outages of feeds, newest first: open (the feed is away), ended (it is back, what was missed is not fetched yet), healed (all that its history has is here).';

CREATE VIEW market_data_oltp.tapeline_empty_minutes AS
SELECT silence.symbol, silence.source, minute,
       CASE WHEN gap.source IS NULL THEN 'quiet' WHEN gap.healed_at IS NULL THEN 'outage' ELSE 'healed' END AS state,
       gap.cause
FROM (
    SELECT symbol, source, ts + interval '1 minute' AS first_minute,
           lead(ts, 1, date_trunc('minute', now())) OVER (PARTITION BY symbol, source ORDER BY ts_ns) - interval '1 minute' AS last_minute
    FROM market_data_oltp.stock_bars_staging
    WHERE timeframe = '1Min'
) silence
CROSS JOIN LATERAL generate_series(first_minute, last_minute, interval '1 minute') AS minute
LEFT JOIN LATERAL (
    SELECT gap.source, gap.healed_at, gap.cause FROM market_data_oltp.stock_feed_gaps gap
    WHERE gap.source = silence.source AND gap.symbol IN ('*', silence.symbol)
      AND gap.started_at < minute + interval '1 minute' AND coalesce(gap.ended_at, 'infinity') > minute
    ORDER BY gap.healed_at DESC NULLS FIRST
    LIMIT 1
) gap ON true;

COMMENT ON VIEW market_data_oltp.tapeline_empty_minutes IS 'Minutes without a bar since a symbol''s first one, and why: quiet (the feed was there, nothing was traded), outage (the feed was away and its history is not fetched yet), healed (it was away, and its history has no bar either). Filter on symbol, or it reads everything.';

-- Corrections --------------------------------------------------------------------------------------------------------------
-- NULL for every ordinary trade; no default, so that nothing is rewritten.
ALTER TABLE market_data_oltp.stock_trades_realtime ADD COLUMN void_at timestamptz, ADD COLUMN void_reason text COLLATE "C";

COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.void_at IS 'Time of the message that says that this trade does not hold; NULL while it holds. Trades that hold: WHERE void_at IS NULL.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.void_reason IS 'cancelled: it never was; corrected: another trade holds instead (see stock_trade_corrections). NULL while it holds.';

CREATE TABLE market_data_oltp.stock_trade_corrections (
    ts                   timestamptz      NOT NULL,
    price                double precision NOT NULL,
    size                 double precision NOT NULL,
    ts_ns                bigint           NOT NULL,
    epoch                bigint,
    seq                  bigint,
    corrected_price      double precision,
    corrected_size       double precision,
    corrected_ts_ns      bigint,
    symbol               text COLLATE "C" NOT NULL,
    exchange             text COLLATE "C" NOT NULL DEFAULT '',
    trade_id             text COLLATE "C" NOT NULL DEFAULT '',
    source               text COLLATE "C" NOT NULL,
    reason               text COLLATE "C" NOT NULL CHECK (reason IN ('cancelled', 'corrected')),
    action               text COLLATE "C",
    corrected_exchange   text COLLATE "C",
    corrected_trade_id   text COLLATE "C",
    corrected_conditions text COLLATE "C",
    void_ts_ns           bigint,
    PRIMARY KEY (symbol, ts_ns, exchange, trade_id, source, price, size)
);

-- What still waits for its trade, by time: the question that every batch of trades asks.
CREATE INDEX stock_trade_corrections_waiting ON market_data_oltp.stock_trade_corrections (ts_ns, symbol) WHERE void_ts_ns IS NULL;

COMMENT ON TABLE market_data_oltp.stock_trade_corrections IS 'Every message that says that a trade does not hold as it was reported. The trade itself stays and is marked by void_at.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.ts IS 'Time of the message, cut to the microsecond.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.price IS 'Price of the trade that does not hold, US dollars.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.size IS 'Its size, shares.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.ts_ns IS 'Time of the message in nanoseconds since 1970-01-01 UTC; the trade''s own time may be another of the same New York day.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.epoch IS 'Run of the producer that sent the record; NULL where the writer gave none.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.seq IS 'Counts the corrections of one symbol within one epoch from 1.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.corrected_price IS 'Price of the trade that holds instead; NULL where none does. That trade is also stored as a trade of its own.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.corrected_size IS 'Its size.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.corrected_ts_ns IS 'Its time.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.symbol IS 'Instrument.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.exchange IS 'Exchange of the trade that does not hold; empty where the feed gave none.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.trade_id IS 'Its id; empty where the feed gave none.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.source IS 'Feed that reported it.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.reason IS 'cancelled or corrected.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.action IS 'The feed''s code of a cancellation: C cancelled, E entered in error.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.corrected_exchange IS 'Exchange of the trade that holds instead.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.corrected_trade_id IS 'Its id.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.corrected_conditions IS 'Its sale conditions, separated by commas.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.void_ts_ns IS 'Time of the stored trade that it voids, with symbol and source the way to it; NULL while that trade is not here.';

-- Brings waiting corrections of these symbols together with trades whose time is within first_ns to last_ns. The trade that a correction
-- means has its symbol, source, id, exchange, price and size and is of the same New York day; of several alike the last one.
-- Whoever calls this holds the lock that keeps a trade and its correction from missing each other: trades share it, corrections own it.
CREATE FUNCTION market_data_oltp.settle_trade_corrections(symbols text[], first_ns bigint, last_ns bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    waiting record;
    void    record;
    settled bigint := 0;
BEGIN
    FOR waiting IN
        SELECT correction.*, greatest(day_ns, first_ns) AS from_ns, least(market_data_oltp.bar_end('1Day', day_ns) - 1, last_ns) AS to_ns
        FROM market_data_oltp.stock_trade_corrections correction
        CROSS JOIN LATERAL market_data_oltp.bar_start('1Day', correction.ts_ns) AS day_ns
        WHERE correction.symbol = ANY (symbols) AND correction.void_ts_ns IS NULL
          AND correction.ts_ns >= first_ns - 93600000000000 AND correction.ts_ns <= last_ns + 93600000000000 -- a day has 25 h at most
        ORDER BY correction.symbol, correction.ts_ns, correction.trade_id
    LOOP
        SELECT trade.ts_ns, trade.exchange, trade.trade_id INTO void
        FROM market_data_oltp.stock_trades_realtime trade
        WHERE trade.symbol = waiting.symbol AND trade.ts_ns >= waiting.from_ns AND trade.ts_ns <= waiting.to_ns
          AND trade.source = waiting.source AND trade.price = waiting.price AND trade.size = waiting.size AND trade.void_at IS NULL
          AND CASE WHEN waiting.exchange = '' THEN true ELSE trade.exchange = waiting.exchange END
          AND CASE WHEN waiting.trade_id = '' THEN trade.trade_id LIKE 'kafka:%' ELSE trade.trade_id = waiting.trade_id END
          -- Not the trade that holds instead, where that one has the same id, price and size.
          AND (trade.ts_ns, trade.trade_id, waiting.price, waiting.size)
              IS DISTINCT FROM (waiting.corrected_ts_ns, waiting.corrected_trade_id, waiting.corrected_price, waiting.corrected_size)
        ORDER BY trade.ts_ns DESC, trade.exchange, trade.trade_id
        LIMIT 1;
        CONTINUE WHEN NOT FOUND;

        -- A correction that names time and id of the void trade for the one that holds instead means one and the same row.
        UPDATE market_data_oltp.stock_trades_realtime trade
        SET (price, size, conditions, void_at, void_reason) = (
            SELECT CASE WHEN same THEN waiting.corrected_price ELSE trade.price END,
                   CASE WHEN same THEN waiting.corrected_size ELSE trade.size END,
                   CASE WHEN same THEN waiting.corrected_conditions ELSE trade.conditions END,
                   CASE WHEN NOT same THEN waiting.ts END,
                   CASE WHEN NOT same THEN waiting.reason END
            FROM (SELECT (void.ts_ns, void.trade_id, void.exchange) IS NOT DISTINCT FROM
                         (waiting.corrected_ts_ns, waiting.corrected_trade_id, waiting.corrected_exchange) AS same) AS both_are)
        WHERE trade.symbol = waiting.symbol AND trade.ts_ns = void.ts_ns AND trade.exchange = void.exchange
          AND trade.trade_id = void.trade_id AND trade.source = waiting.source;

        UPDATE market_data_oltp.stock_trade_corrections correction SET void_ts_ns = void.ts_ns
        WHERE correction.symbol = waiting.symbol AND correction.ts_ns = waiting.ts_ns AND correction.exchange = waiting.exchange
          AND correction.trade_id = waiting.trade_id AND correction.source = waiting.source
          AND correction.price = waiting.price AND correction.size = waiting.size;
        settled := settled + 1;
    END LOOP;
    RETURN settled;
END $$;

COMMENT ON FUNCTION market_data_oltp.settle_trade_corrections(text[], bigint, bigint) IS 'Marks the trades within first_ns to last_ns that waiting corrections of these symbols speak of; returns how many. For the consumers: call it under their lock.';

-- Deletes corrections that are more than keep_days old and says how many; NULL when none are left.
CREATE FUNCTION market_data_oltp.delete_oldest_corrections(keep_days integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM market_data_oltp.stock_trade_corrections
    WHERE ts < date_trunc('day', now(), 'UTC') - make_interval(days => keep_days);
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN CASE WHEN removed > 0 THEN format('%s corrections', removed) END;
END $$;

COMMENT ON FUNCTION market_data_oltp.delete_oldest_corrections(integer) IS 'Deletes corrections that are more than keep_days old, as their trades are, and says how many; NULL when none are left.';

-- As before, without trades that do not hold.
CREATE OR REPLACE VIEW market_data_oltp.tapeline_minutes AS
SELECT trade.symbol, trade.source, date_trunc('minute', trade.ts) AS minute,
       count(*) AS trades, sum(trade.size) AS shares, sum(trade.price * trade.size) AS dollars,
       bar.trade_count AS bar_trades, bar.volume AS bar_volume
FROM market_data_oltp.stock_trades_realtime trade
LEFT JOIN market_data_oltp.stock_bars_staging bar
       ON bar.symbol = trade.symbol AND bar.source = trade.source AND bar.timeframe = '1Min'
      AND bar.ts_ns = trade.ts_ns - trade.ts_ns % 60000000000
WHERE trade.void_at IS NULL
GROUP BY trade.symbol, trade.source, date_trunc('minute', trade.ts), bar.trade_count, bar.volume;
