-- One row per trade, partitioned by UTC day.
--
-- Columns of fixed width come first: that saves padding in every row. Texts use the C collation, because keys are compared
-- byte by byte and never sorted for people; the insert rate depends on it wherever the database has another collation.
-- `conditions` is a comma-separated text: as text[] the table took a fifth fewer rows per second (docs/decisions/0011).
CREATE TABLE market_data_oltp.stock_trades_realtime (
    ts         timestamptz      NOT NULL,
    price      double precision NOT NULL,
    size       double precision NOT NULL,
    ts_ns      bigint           NOT NULL,
    epoch      bigint,
    seq        bigint,
    symbol     text COLLATE "C" NOT NULL,
    exchange   text COLLATE "C" NOT NULL DEFAULT '',
    trade_id   text COLLATE "C" NOT NULL,
    source     text COLLATE "C" NOT NULL,
    tape       text COLLATE "C",
    conditions text COLLATE "C",
    PRIMARY KEY (symbol, ts_ns, exchange, trade_id, source)
) PARTITION BY RANGE (ts_ns);

COMMENT ON TABLE market_data_oltp.stock_trades_realtime IS 'Every trade of the tape, once. Filter on ts or ts_ns so that only the days asked for are read.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.ts IS 'Exchange time, cut to the microsecond: for people. Exact time: ts_ns.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.price IS 'US dollars a share.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.size IS 'Shares; fractions occur.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.ts_ns IS 'Exchange time in nanoseconds since 1970-01-01 UTC, exact.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.epoch IS 'Run of the producer that sent the record: its start in Unix milliseconds. NULL where the writer gave none.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.seq IS 'Counts the trades of one symbol within one epoch from 1; a step of more than one is a gap of the live stream.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.symbol IS 'Instrument, as its feed writes it: AAPL, BRK.B, BTC/USD.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.exchange IS 'Exchange code of the feed, such as Q; empty where the feed gave none.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.trade_id IS 'The exchange''s id of the trade, unique only with symbol, ts_ns, exchange and source; kafka:<partition>-<offset> where the feed gave none.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.source IS 'Feed that reported the trade: alpaca, finnhub, massive.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.tape IS 'A NYSE, B regional, C Nasdaq, O OTC, N overnight; NULL where the feed gave none.';
COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.conditions IS 'Sale conditions in the feed''s order and vocabulary, separated by commas: @,F,I. NULL where there are none. As an array: string_to_array(conditions, '','').';

-- Makes the partitions of the given UTC days where they are missing, and returns how many it made.
--
-- A table is made by itself and then attached, because ATTACH lets concurrent COPYs go on while CREATE … PARTITION OF does not.
-- The CHECK on ts says the same as the partition's bounds, so that a filter on ts prunes as well as one on ts_ns.
CREATE FUNCTION market_data_oltp.ensure_trade_partitions(days date[]) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    schema CONSTANT oid := 'market_data_oltp'::regnamespace;
    day    date;
    part   text;
    day_ns bigint;
    made   integer := 0;
BEGIN
    FOREACH day IN ARRAY days LOOP
        part := 'stock_trades_realtime_p' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relnamespace = schema AND relname = part);
        PERFORM pg_advisory_xact_lock(hashtextextended('tapeline.partitions', 0));
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relnamespace = schema AND relname = part); -- made while we waited
        day_ns := (day - DATE '1970-01-01')::bigint * 86400000000000;
        EXECUTE format(
            'CREATE TABLE market_data_oltp.%I (LIKE market_data_oltp.stock_trades_realtime
                 INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING COMMENTS,
                 CONSTRAINT ts_is_of_the_day CHECK (ts >= %L::timestamptz AND ts < %L::timestamptz))',
            part, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
        EXECUTE format(
            'ALTER TABLE market_data_oltp.stock_trades_realtime ATTACH PARTITION market_data_oltp.%I FOR VALUES FROM (%s) TO (%s)',
            part, day_ns, day_ns + 86400000000000);
        EXECUTE format('COMMENT ON TABLE market_data_oltp.%I IS %L', part, 'Trades of the UTC day ' || day::text || '.');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

COMMENT ON FUNCTION market_data_oltp.ensure_trade_partitions(date[]) IS 'Makes the trade partitions of these UTC days where they are missing; returns how many it made. Any number of sessions may call it at once.';

-- Drops the oldest partition whose day lies more than keep_days before today (UTC), and returns its name; NULL when there is none left.
-- One at a time, so that the lock on the parent is held only for a moment.
CREATE FUNCTION market_data_oltp.drop_oldest_trade_partition(keep_days integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    part text;
BEGIN
    SELECT child.relname INTO part
    FROM pg_inherits
    JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'market_data_oltp.stock_trades_realtime'::regclass
      AND child.relname ~ '^stock_trades_realtime_p\d{8}$'
      AND to_date(right(child.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - keep_days
    ORDER BY child.relname
    LIMIT 1;
    IF part IS NOT NULL THEN
        EXECUTE format('DROP TABLE IF EXISTS market_data_oltp.%I', part);
    END IF;
    RETURN part;
END $$;

COMMENT ON FUNCTION market_data_oltp.drop_oldest_trade_partition(integer) IS 'Drops the oldest trade partition that is more than keep_days old and returns its name; NULL when none is left.';

-- The same moment for a query: WHERE ts_ns >= ns(now() - interval '1 hour') lets PostgreSQL skip partitions when the query starts.
CREATE FUNCTION market_data_oltp.ns(moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN (extract(epoch FROM moment) * 1000000)::bigint * 1000;

COMMENT ON FUNCTION market_data_oltp.ns(timestamptz) IS 'A moment as nanoseconds since 1970-01-01 UTC, to compare with ts_ns.';
