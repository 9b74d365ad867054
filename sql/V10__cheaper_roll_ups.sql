-- The same roll-ups at half the cost. Each level begins with the bars that the level below has touched, not with all the minutes again;
-- and without STRICT PostgreSQL writes the two functions out where they are called instead of calling them for every row.
CREATE OR REPLACE FUNCTION market_data_oltp.bar_start(timeframe text, at_ns bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE timeframe
    WHEN '1Min' THEN at_ns - at_ns % 60000000000
    WHEN '5Min' THEN at_ns - at_ns % 300000000000
    WHEN '15Min' THEN at_ns - at_ns % 900000000000
    WHEN '1Hour' THEN at_ns - at_ns % 3600000000000 -- New York is whole hours from UTC
    WHEN '1Day' THEN market_data_oltp.ns(date_trunc('day', to_timestamp(at_ns / 1000000000), 'America/New_York'))
END;

CREATE OR REPLACE FUNCTION market_data_oltp.bar_end(timeframe text, start_ns bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE timeframe
    WHEN '1Min' THEN start_ns + 60000000000
    WHEN '5Min' THEN start_ns + 300000000000
    WHEN '15Min' THEN start_ns + 900000000000
    WHEN '1Hour' THEN start_ns + 3600000000000
    WHEN '1Day' THEN market_data_oltp.bar_start('1Day', start_ns + 93600000000000) -- 26 h later is tomorrow, also when clocks change
END;

-- Makes the roll-ups anew that hold any of the given minute bars, and finishes those of the same symbols whose time has passed. A
-- roll-up is final when all its parts are and a minute at or after its end is known: the tape's own time decides, not a clock.
-- Returns how many bars changed; where none did, no version grows either.
CREATE OR REPLACE FUNCTION market_data_oltp.roll_up_bars(symbols text[], sources text[], minutes_ns bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    parts         text := '1Min';
    length        text;
    -- The touched bars of the level below: (symbol, source, start in nanoseconds).
    touched       text[] := symbols;
    touched_from  text[] := sources;
    touched_ns    bigint[] := minutes_ns;
    changed       bigint := 0;
    made          bigint;
BEGIN
    FOREACH length IN ARRAY '{5Min,15Min,1Hour,1Day}'::text[] LOOP
        WITH part AS (
            SELECT symbol COLLATE "C" AS symbol, source COLLATE "C" AS source, ts_ns
            FROM unnest(touched, touched_from, touched_ns) AS part (symbol, source, ts_ns)
        ), series AS (
            SELECT symbol, source, newest.ts_ns + 60000000000 AS known_until_ns
            FROM (SELECT DISTINCT symbol, source FROM part) AS series
            CROSS JOIN LATERAL (
                SELECT bar.ts_ns FROM market_data_oltp.stock_bars_staging bar
                WHERE bar.symbol = series.symbol AND bar.timeframe = '1Min' AND bar.source = series.source
                ORDER BY bar.ts_ns DESC LIMIT 1
            ) AS newest
        ), bucket AS (
            SELECT symbol, source, market_data_oltp.bar_start(length, ts_ns) AS start_ns FROM part
            UNION
            SELECT symbol, source, bar.ts_ns
            FROM series JOIN market_data_oltp.stock_bars_staging bar USING (symbol, source)
            WHERE bar.timeframe = length AND bar.rolled AND NOT bar.is_final
        ), rolled AS (
            SELECT symbol, source, start_ns, whole.*,
                   whole.parts_final AND market_data_oltp.bar_end(length, start_ns) <= known_until_ns AS is_final
            FROM bucket JOIN series USING (symbol, source)
            CROSS JOIN LATERAL (
                SELECT (array_agg(part.open ORDER BY part.ts_ns))[1] AS open, max(part.high) AS high, min(part.low) AS low,
                       (array_agg(part.close ORDER BY part.ts_ns DESC))[1] AS close, sum(part.volume) AS volume,
                       sum(part.vwap * part.volume) / nullif(sum(part.volume) FILTER (WHERE part.vwap IS NOT NULL), 0) AS vwap,
                       sum(part.trade_count)::bigint AS trade_count, sum(part.revision)::bigint AS revision,
                       bool_and(part.is_final) AS parts_final
                FROM market_data_oltp.stock_bars_staging part
                WHERE part.symbol = bucket.symbol AND part.timeframe = parts AND part.source = bucket.source
                  AND part.ts_ns >= start_ns AND part.ts_ns < market_data_oltp.bar_end(length, start_ns)
                  AND (part.rolled OR part.timeframe = '1Min')
                HAVING count(*) > 0
            ) AS whole
        ), stored AS (
            INSERT INTO market_data_oltp.stock_bars_staging AS bar
                (ts, open, high, low, close, volume, vwap, trade_count, ts_ns, revision, is_final, symbol, timeframe, source, rolled)
            SELECT to_timestamp(start_ns / 1000000000), open, high, low, close, volume, vwap, trade_count, start_ns, revision, is_final,
                   symbol, length, source, true
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
            SELECT DISTINCT symbol, length FROM stored ORDER BY symbol
            ON CONFLICT (symbol, timeframe) DO UPDATE SET version = known.version + 1
        )
        SELECT (SELECT count(*) FROM stored), array_agg(symbol), array_agg(source), array_agg(start_ns)
        INTO made, touched, touched_from, touched_ns FROM bucket;
        changed := changed + made;
        parts := length;
    END LOOP;
    RETURN changed;
END $$;
