-- Minute bars of a feed that its trades contradict: the bar counts trades that a correction has voided since (docs/decisions/0043).
CREATE INDEX stock_trade_corrections_by_arrival ON market_data_oltp.stock_trade_corrections USING brin (stored_at);

-- Looks at the minutes of the newest corrections that met their trade, by key, so that its cost does not grow with the table.
CREATE FUNCTION market_data_oltp.contradicted_minutes(lookback interval, at_most integer)
RETURNS TABLE (symbol text, source text, minute timestamptz, bar_trades bigint, trades bigint, bar_volume double precision, shares double precision)
LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
    SELECT bar.symbol, bar.source, bar.ts, bar.trade_count, held.trades, bar.volume, held.shares
    FROM (
        SELECT DISTINCT newest.symbol, newest.source, newest.void_ts_ns - newest.void_ts_ns % 60000000000 AS minute_ns
        FROM (
            SELECT correction.symbol, correction.source, correction.void_ts_ns
            FROM market_data_oltp.stock_trade_corrections correction
            WHERE correction.stored_at > now() - lookback AND correction.void_ts_ns IS NOT NULL
            ORDER BY correction.stored_at DESC
            LIMIT at_most
        ) newest
    ) touched
    JOIN market_data_oltp.stock_bars_staging bar
      ON bar.symbol = touched.symbol AND bar.timeframe = '1Min' AND bar.ts_ns = touched.minute_ns AND bar.source = touched.source
    CROSS JOIN LATERAL (
        SELECT count(*) AS trades, coalesce(sum(trade.size), 0) AS shares
        FROM market_data_oltp.stock_trades_realtime trade
        WHERE trade.symbol = touched.symbol AND trade.source = touched.source AND trade.void_at IS NULL
          AND trade.ts_ns >= touched.minute_ns AND trade.ts_ns < touched.minute_ns + 60000000000
    ) held
    WHERE bar.trade_count > held.trades OR bar.volume > held.shares * (1 + 1e-9)
$$;

COMMENT ON FUNCTION market_data_oltp.contradicted_minutes(interval, integer) IS 'Minute bars that count more than the trades that hold, among the minutes of at most so many of the newest corrections that were stored within a time; one row a bar. For all minutes see tapeline_minutes.';
