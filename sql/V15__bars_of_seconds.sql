-- Some feeds send a bar a second. They are kept as they come, nothing longer is made of them, and they go with the minutes: as before, and
-- bars of a second too.
CREATE OR REPLACE FUNCTION market_data_oltp.delete_oldest_bars(keep_days integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    before_ns bigint := market_data_oltp.bar_start('1Day', market_data_oltp.ns(now()) - (keep_days + 1) * 86400000000000);
    known     record;
    removed   bigint;
BEGIN
    FOR known IN
        SELECT symbol, timeframe FROM market_data_oltp.stock_bar_versions
        WHERE timeframe LIKE '%Sec' OR timeframe LIKE '%Min' OR timeframe LIKE '%Hour'
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
