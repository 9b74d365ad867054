-- The producer gives a trade without an id one that stream and history agree on, so that an overlap of both is stored once. A correction
-- that names no id means such a trade, too.

COMMENT ON COLUMN market_data_oltp.stock_trades_realtime.trade_id IS 'The exchange''s id of the trade, unique only with symbol, ts_ns, exchange and source. Where the feed gave none: none:<what it says>-<how many equal ones came before>, the same however often it is heard; kafka:<partition>-<offset> where not even the producer gave one.';

CREATE OR REPLACE FUNCTION market_data_oltp.settle_trade_corrections(symbols text[], first_ns bigint, last_ns bigint) RETURNS bigint
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
          AND CASE WHEN waiting.trade_id = '' THEN trade.trade_id ~ '^(none|kafka):' ELSE trade.trade_id = waiting.trade_id END
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
