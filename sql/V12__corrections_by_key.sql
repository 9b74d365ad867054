-- A correction finds its trade by the trade's own key, and neither waits for the other (docs/decisions/0050). Until now both kinds of
-- writer took turns at one lock, and a search read the whole day of a symbol.

-- The key look-up. Its entries lie beside those of the primary key: within a symbol, near its neighbours in time.
CREATE INDEX stock_trades_by_id ON market_data_oltp.stock_trades_realtime (symbol, trade_id);

ALTER TABLE market_data_oltp.stock_trade_corrections
    ADD COLUMN stored_at    timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN next_look_at timestamptz NOT NULL DEFAULT now();

COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.stored_at IS 'When the message was stored here.';
COMMENT ON COLUMN market_data_oltp.stock_trade_corrections.next_look_at IS 'When a correction that waits for its trade is tried again; means nothing once void_ts_ns is set.';

-- Corrections that already wait are tried again within the next hour, not all at once.
UPDATE market_data_oltp.stock_trade_corrections SET next_look_at = now() + random() * interval '1 hour' WHERE void_ts_ns IS NULL;

CREATE INDEX stock_trade_corrections_waiting_by_id ON market_data_oltp.stock_trade_corrections (symbol, trade_id) WHERE void_ts_ns IS NULL;
CREATE INDEX stock_trade_corrections_due ON market_data_oltp.stock_trade_corrections (next_look_at) WHERE void_ts_ns IS NULL;
-- For the end of what is too old.
CREATE INDEX stock_trade_corrections_by_age ON market_data_oltp.stock_trade_corrections USING brin (ts);

-- Finds the trade that a waiting correction means and marks it. The trade has the correction's symbol, source, id, exchange, price and
-- size; of several alike the last one on the message's New York day, and from half a minute after the message was stored the last one
-- of the week before it, too: by then a trade of the message's own day is here.
--
-- Each statement names the partition and is planned anew, so that it reads the index by id whatever the statistics say. It never waits:
-- a trade that somebody else is changing is left alone, and the correction is tried again.
CREATE FUNCTION market_data_oltp.void_trade_of(waiting market_data_oltp.stock_trade_corrections) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    utc_day_ns CONSTANT bigint  := 86400000000000;
    day_ns     CONSTANT bigint  := market_data_oltp.bar_start('1Day', waiting.ts_ns);
    end_ns     CONSTANT bigint  := market_data_oltp.bar_end('1Day', day_ns);
    first_ns   CONSTANT bigint  := day_ns - CASE WHEN waiting.stored_at < now() - interval '30 seconds' THEN 7 * utc_day_ns ELSE 0 END;
    last_day   CONSTANT integer := (end_ns - 1) / utc_day_ns;
    part       text;
    found_ns   bigint;
    found_at   text; -- exchange
    found_id   text;
    marked     bigint;
BEGIN
    FOR utc_day IN REVERSE last_day .. (first_ns / utc_day_ns)::integer LOOP
        part := 'stock_trades_realtime_p' || to_char(DATE '1970-01-01' + utc_day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('market_data_oltp.' || part) IS NULL;
        -- "+ 0" keeps the search away from the primary key, which would read all of the symbol's day. Only a correction without an id,
        -- which no present feed sends, has to do that.
        EXECUTE format(
            'SELECT trade.ts_ns, trade.exchange, trade.trade_id
             FROM market_data_oltp.%I trade
             WHERE trade.symbol = $1 AND %s
               AND trade.ts_ns + 0 >= $3 AND trade.ts_ns + 0 < $4
               AND trade.source = $5 AND trade.price = $6 AND trade.size = $7 AND trade.void_at IS NULL
               AND ($8 = '''' OR trade.exchange = $8)
               -- Not the trade that holds instead, where that one has the same id, price and size.
               AND (trade.ts_ns, trade.trade_id, $6, $7) IS DISTINCT FROM ($9, $10, $11, $12)
             ORDER BY trade.ts_ns + 0 DESC, trade.exchange, trade.trade_id
             LIMIT 1',
            part,
            CASE WHEN waiting.trade_id = '' THEN 'trade.trade_id ~ ''^(none|kafka):'' AND $2 = ''''' ELSE 'trade.trade_id = $2' END)
        INTO found_ns, found_at, found_id
        USING waiting.symbol, waiting.trade_id, first_ns, end_ns, waiting.source, waiting.price, waiting.size, waiting.exchange,
              waiting.corrected_ts_ns, waiting.corrected_trade_id, waiting.corrected_price, waiting.corrected_size;
        EXIT WHEN found_ns IS NOT NULL;
    END LOOP;
    IF found_ns IS NULL THEN
        RETURN false;
    END IF;

    -- A correction that names time and id of the void trade for the one that holds instead means one and the same row.
    EXECUTE format(
        'WITH held AS (
             SELECT trade.ts_ns FROM market_data_oltp.%1$I trade
             WHERE trade.symbol = $1 AND trade.ts_ns = $2 AND trade.exchange = $3 AND trade.trade_id = $4 AND trade.source = $5
               AND trade.price = $6 AND trade.size = $7 AND trade.void_at IS NULL
             FOR UPDATE SKIP LOCKED
         )
         UPDATE market_data_oltp.%1$I trade
         SET price       = CASE WHEN $8 THEN $9 ELSE trade.price END,
             size        = CASE WHEN $8 THEN $10 ELSE trade.size END,
             conditions  = CASE WHEN $8 THEN $11 ELSE trade.conditions END,
             void_at     = CASE WHEN NOT $8 THEN $12 END,
             void_reason = CASE WHEN NOT $8 THEN $13 END
         FROM held
         WHERE trade.symbol = $1 AND trade.ts_ns = $2 AND trade.exchange = $3 AND trade.trade_id = $4 AND trade.source = $5',
        part)
    USING waiting.symbol, found_ns, found_at, found_id, waiting.source, waiting.price, waiting.size,
          (found_ns, found_id, found_at)
              IS NOT DISTINCT FROM (waiting.corrected_ts_ns, waiting.corrected_trade_id, waiting.corrected_exchange),
          waiting.corrected_price, waiting.corrected_size, waiting.corrected_conditions, waiting.ts, waiting.reason;
    GET DIAGNOSTICS marked = ROW_COUNT;
    IF marked = 0 THEN
        RETURN false;
    END IF;

    UPDATE market_data_oltp.stock_trade_corrections correction SET void_ts_ns = found_ns
    WHERE correction.symbol = waiting.symbol AND correction.ts_ns = waiting.ts_ns AND correction.exchange = waiting.exchange
      AND correction.trade_id = waiting.trade_id AND correction.source = waiting.source
      AND correction.price = waiting.price AND correction.size = waiting.size;
    RETURN true;
END $$;

COMMENT ON FUNCTION market_data_oltp.void_trade_of(market_data_oltp.stock_trade_corrections) IS 'Marks the stored trade that a waiting correction means; false if it is not here or somebody else is changing it. The caller holds the row of the correction and a lock on the table of trades.';

-- Settles what waits under these names, each a symbol, a tab and a trade id. A correction that somebody else is settling is skipped.
-- The settings keep a plan that was made while the table was empty from reading all of a large one later.
CREATE FUNCTION market_data_oltp.settle_named_corrections(names text[]) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    waiting market_data_oltp.stock_trade_corrections;
    settled bigint := 0;
BEGIN
    LOCK TABLE ONLY market_data_oltp.stock_trades_realtime IN ACCESS SHARE MODE; -- so that no partition is dropped meanwhile
    FOR waiting IN
        SELECT correction.*
        FROM (SELECT DISTINCT left(name, strpos(name, E'\t') - 1) COLLATE "C" AS symbol, substr(name, strpos(name, E'\t') + 1) COLLATE "C" AS id
              FROM unnest(names) AS name) AS named
        JOIN market_data_oltp.stock_trade_corrections correction ON correction.symbol = named.symbol AND correction.trade_id = named.id
        WHERE correction.void_ts_ns IS NULL
        ORDER BY correction.symbol, correction.ts_ns, correction.trade_id
        FOR UPDATE OF correction SKIP LOCKED
    LOOP
        settled := settled + market_data_oltp.void_trade_of(waiting)::integer;
    END LOOP;
    RETURN settled;
END $$;

COMMENT ON FUNCTION market_data_oltp.settle_named_corrections(text[]) IS 'Settles the corrections that wait under these names (symbol, tab, trade id); returns how many. For the consumers; never waits for a lock.';

-- Tries some of the waiting corrections again that are due. The wait until the next look grows with the age of the correction, so that
-- one whose trade never comes costs little, and one that missed its trade by a moment is settled a moment later.
CREATE FUNCTION market_data_oltp.settle_due_corrections(at_most integer) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    waiting   market_data_oltp.stock_trade_corrections;
    looked_at bigint := 0;
BEGIN
    LOCK TABLE ONLY market_data_oltp.stock_trades_realtime IN ACCESS SHARE MODE; -- so that no partition is dropped meanwhile
    FOR waiting IN
        SELECT correction.*
        FROM market_data_oltp.stock_trade_corrections correction
        WHERE correction.void_ts_ns IS NULL AND correction.next_look_at <= now()
        ORDER BY correction.next_look_at
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    LOOP
        looked_at := looked_at + 1;
        CONTINUE WHEN market_data_oltp.void_trade_of(waiting);
        UPDATE market_data_oltp.stock_trade_corrections correction
        SET next_look_at = now() + least(greatest((now() - waiting.stored_at) / 2, interval '200 milliseconds'), interval '6 hours')
        WHERE correction.symbol = waiting.symbol AND correction.ts_ns = waiting.ts_ns AND correction.exchange = waiting.exchange
          AND correction.trade_id = waiting.trade_id AND correction.source = waiting.source
          AND correction.price = waiting.price AND correction.size = waiting.size;
    END LOOP;
    RETURN looked_at;
END $$;

COMMENT ON FUNCTION market_data_oltp.settle_due_corrections(integer) IS 'Tries again at most so many waiting corrections whose time has come; returns how many it tried. For the consumers; never waits for a lock.';

-- As before; but a partition that another session has created meanwhile is no error, in whatever snapshot this one looks.
CREATE OR REPLACE FUNCTION market_data_oltp.ensure_trade_partitions(days date[]) RETURNS integer
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
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relnamespace = schema AND relname = part); -- created while we waited
        day_ns := (day - DATE '1970-01-01')::bigint * 86400000000000;
        BEGIN
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
        EXCEPTION
            WHEN duplicate_table OR unique_violation OR duplicate_object THEN NULL; -- created by another session, which this snapshot does not show
        END;
    END LOOP;
    RETURN made;
END $$;

-- As before, with what shows a bar that its trades contradict: the feed's bar counts trades that a correction has voided since, or
-- trades that are not here. A bar may count less than its trades: sale conditions exclude some.
CREATE OR REPLACE VIEW market_data_oltp.tapeline_minutes AS
SELECT trade.symbol, trade.source, date_trunc('minute', trade.ts) AS minute,
       count(*) FILTER (WHERE trade.void_at IS NULL) AS trades,
       sum(trade.size) FILTER (WHERE trade.void_at IS NULL) AS shares,
       sum(trade.price * trade.size) FILTER (WHERE trade.void_at IS NULL) AS dollars,
       bar.trade_count AS bar_trades, bar.volume AS bar_volume,
       count(*) FILTER (WHERE trade.void_at IS NOT NULL) AS void_trades,
       coalesce(sum(trade.size) FILTER (WHERE trade.void_at IS NOT NULL), 0) AS void_shares,
       coalesce(bar.trade_count > count(*) FILTER (WHERE trade.void_at IS NULL), false)
           OR coalesce(bar.volume > coalesce(sum(trade.size) FILTER (WHERE trade.void_at IS NULL), 0) * (1 + 1e-9), false) AS bar_exceeds_trades
FROM market_data_oltp.stock_trades_realtime trade
LEFT JOIN market_data_oltp.stock_bars_staging bar
       ON bar.symbol = trade.symbol AND bar.source = trade.source AND bar.timeframe = '1Min'
      AND bar.ts_ns = trade.ts_ns - trade.ts_ns % 60000000000
GROUP BY trade.symbol, trade.source, date_trunc('minute', trade.ts), bar.trade_count, bar.volume;

COMMENT ON VIEW market_data_oltp.tapeline_minutes IS 'Stored trades that hold, by symbol, source and minute, beside the minute bar of the same and the trades that were voided. bar_exceeds_trades: the bar counts more than the trades that hold, because of a correction or a missing trade; bars may count less, since sale conditions exclude some trades. Filter on symbol, or it reads everything.';
