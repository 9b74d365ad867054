-- Longer bars out of minute bars: 5Min, 15Min, 1Hour and 1Day, the day being New York's. Each level is made of the one below, so that
-- a changed minute costs some forty rows, however long its day is. They are made in the transaction that stores the minutes:
-- no reader ever sees a minute without its roll-ups.
ALTER TABLE market_data_oltp.stock_bars_staging ADD COLUMN rolled boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN market_data_oltp.stock_bars_staging.rolled IS 'Whether the bar was made of stored shorter bars. Such a bar takes the place of one that the feed sent, so that all lengths agree.';

-- The roll-ups that may still change: a handful a symbol.
CREATE INDEX stock_bars_unfinished ON market_data_oltp.stock_bars_staging (symbol, source, timeframe, ts_ns)
    WHERE rolled AND NOT is_final;

CREATE FUNCTION market_data_oltp.bar_start(timeframe text, at_ns bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE STRICT
RETURN CASE timeframe
    WHEN '1Min' THEN at_ns - at_ns % 60000000000
    WHEN '5Min' THEN at_ns - at_ns % 300000000000
    WHEN '15Min' THEN at_ns - at_ns % 900000000000
    WHEN '1Hour' THEN at_ns - at_ns % 3600000000000 -- New York is whole hours from UTC
    WHEN '1Day' THEN market_data_oltp.ns(date_trunc('day', to_timestamp(at_ns / 1000000000), 'America/New_York'))
END;

COMMENT ON FUNCTION market_data_oltp.bar_start(text, bigint) IS 'Start of the bar that holds a moment, both in nanoseconds since 1970-01-01 UTC; NULL for a timeframe that is not rolled up.';

CREATE FUNCTION market_data_oltp.bar_end(timeframe text, start_ns bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE STRICT
RETURN CASE timeframe
    WHEN '1Min' THEN start_ns + 60000000000
    WHEN '5Min' THEN start_ns + 300000000000
    WHEN '15Min' THEN start_ns + 900000000000
    WHEN '1Hour' THEN start_ns + 3600000000000
    WHEN '1Day' THEN market_data_oltp.bar_start('1Day', start_ns + 93600000000000) -- 26 h later is tomorrow, also when clocks change
END;

COMMENT ON FUNCTION market_data_oltp.bar_end(text, bigint) IS 'End of the bar that starts at a moment, both in nanoseconds since 1970-01-01 UTC; NULL for a timeframe that is not rolled up.';

-- Makes the roll-ups anew that hold any of the given minute bars, and finishes those of the same symbols whose time has passed. A
-- roll-up is final when all its parts are and a minute at or after its end is known: the tape's own time decides, not a clock.
-- Returns how many bars changed; where none did, no version grows either.
CREATE FUNCTION market_data_oltp.roll_up_bars(symbols text[], sources text[], minutes_ns bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    levels  CONSTANT text[] := '{1Min,5Min,15Min,1Hour,1Day}';
    changed bigint := 0;
    made    bigint;
BEGIN
    FOR level IN 2 .. cardinality(levels) LOOP
        WITH minute AS (
            SELECT symbol COLLATE "C" AS symbol, source COLLATE "C" AS source, ts_ns
            FROM unnest(symbols, sources, minutes_ns) AS minute (symbol, source, ts_ns)
        ), series AS (
            SELECT symbol, source, newest.ts_ns + 60000000000 AS known_until_ns
            FROM (SELECT DISTINCT symbol, source FROM minute) AS touched
            CROSS JOIN LATERAL (
                SELECT bar.ts_ns FROM market_data_oltp.stock_bars_staging bar
                WHERE bar.symbol = touched.symbol AND bar.timeframe = '1Min' AND bar.source = touched.source
                ORDER BY bar.ts_ns DESC LIMIT 1
            ) AS newest
        ), bucket AS (
            SELECT symbol, source, market_data_oltp.bar_start(levels[level], ts_ns) AS start_ns FROM minute
            UNION
            SELECT symbol, source, bar.ts_ns
            FROM series JOIN market_data_oltp.stock_bars_staging bar USING (symbol, source)
            WHERE bar.timeframe = levels[level] AND bar.rolled AND NOT bar.is_final
        ), rolled AS (
            SELECT symbol, source, start_ns, whole.*,
                   whole.parts_final AND market_data_oltp.bar_end(levels[level], start_ns) <= known_until_ns AS is_final
            FROM bucket JOIN series USING (symbol, source)
            CROSS JOIN LATERAL (
                SELECT (array_agg(part.open ORDER BY part.ts_ns))[1] AS open, max(part.high) AS high, min(part.low) AS low,
                       (array_agg(part.close ORDER BY part.ts_ns DESC))[1] AS close, sum(part.volume) AS volume,
                       sum(part.vwap * part.volume) / nullif(sum(part.volume) FILTER (WHERE part.vwap IS NOT NULL), 0) AS vwap,
                       sum(part.trade_count)::bigint AS trade_count, sum(part.revision)::bigint AS revision,
                       bool_and(part.is_final) AS parts_final
                FROM market_data_oltp.stock_bars_staging part
                WHERE part.symbol = bucket.symbol AND part.timeframe = levels[level - 1] AND part.source = bucket.source
                  AND part.ts_ns >= start_ns AND part.ts_ns < market_data_oltp.bar_end(levels[level], start_ns)
                  AND (part.rolled OR part.timeframe = '1Min')
                HAVING count(*) > 0
            ) AS whole
        ), stored AS (
            INSERT INTO market_data_oltp.stock_bars_staging AS bar
                (ts, open, high, low, close, volume, vwap, trade_count, ts_ns, revision, is_final, symbol, timeframe, source, rolled)
            SELECT to_timestamp(start_ns / 1000000000), open, high, low, close, volume, vwap, trade_count, start_ns, revision, is_final,
                   symbol, levels[level], source, true
            FROM rolled
            ORDER BY symbol, start_ns
            ON CONFLICT (symbol, timeframe, ts_ns, source) DO UPDATE
            SET (open, high, low, close, volume, vwap, trade_count, revision, epoch, seq, is_final, rolled)
              = (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.vwap, excluded.trade_count,
                 excluded.revision, 0, 0, excluded.is_final, true)
            WHERE (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trade_count, bar.revision, bar.is_final, bar.rolled)
               IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.vwap,
                                 excluded.trade_count, excluded.revision, excluded.is_final, true)
            RETURNING symbol
        ), bumped AS (
            INSERT INTO market_data_oltp.stock_bar_versions AS known (symbol, timeframe)
            SELECT DISTINCT symbol, levels[level] FROM stored ORDER BY symbol
            ON CONFLICT (symbol, timeframe) DO UPDATE SET version = known.version + 1
        )
        SELECT count(*) INTO made FROM stored;
        changed := changed + made;
    END LOOP;
    RETURN changed;
END $$;

COMMENT ON FUNCTION market_data_oltp.roll_up_bars(text[], text[], bigint[]) IS 'Makes the 5Min, 15Min, 1Hour and 1Day bars anew that hold the given minutes (symbol, source, start in nanoseconds); returns how many bars changed.';

-- As before, but a minute goes only when its whole New York day is past keeping by a day more: a late minute that is still accepted
-- then always finds all the others of its day.
CREATE OR REPLACE FUNCTION market_data_oltp.delete_oldest_bars(keep_days integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    before_ns bigint := market_data_oltp.bar_start('1Day', market_data_oltp.ns(now()) - (keep_days + 1) * 86400000000000);
    known     record;
    removed   bigint;
BEGIN
    FOR known IN
        SELECT symbol, timeframe FROM market_data_oltp.stock_bar_versions
        WHERE timeframe LIKE '%Min' OR timeframe LIKE '%Hour'
        ORDER BY symbol, timeframe
    LOOP
        DELETE FROM market_data_oltp.stock_bars_staging bar
        WHERE bar.symbol = known.symbol AND bar.timeframe = known.timeframe AND bar.ts_ns < before_ns;
        GET DIAGNOSTICS removed = ROW_COUNT;
        IF removed > 0 THEN
            UPDATE market_data_oltp.stock_bar_versions SET version = version + 1
            WHERE symbol = known.symbol AND timeframe = known.timeframe;
            RETURN format('%s bars of %s, %s', removed, known.symbol, known.timeframe);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- What is stored already.
SELECT market_data_oltp.roll_up_bars(array_agg(symbol), array_agg(source), array_agg(ts_ns))
FROM market_data_oltp.stock_bars_staging WHERE timeframe = '1Min'
HAVING count(*) > 0;
