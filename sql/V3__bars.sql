-- One row per source, symbol, timeframe and start; the newest version only. Not partitioned: bars are a few thousandths of the
-- trades, and the queries that matter want the newest thousand of one symbol whatever their day (docs/decisions/0012).
CREATE TABLE market_data_oltp.stock_bars_staging (
    ts          timestamptz      NOT NULL,
    open        double precision NOT NULL,
    high        double precision NOT NULL,
    low         double precision NOT NULL,
    close       double precision NOT NULL,
    volume      double precision NOT NULL,
    vwap        double precision,
    trade_count bigint,
    ts_ns       bigint           NOT NULL,
    revision    bigint           NOT NULL DEFAULT 0,
    epoch       bigint           NOT NULL DEFAULT 0,
    seq         bigint           NOT NULL DEFAULT 0,
    is_final    boolean          NOT NULL DEFAULT true,
    symbol      text COLLATE "C" NOT NULL,
    timeframe   text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    PRIMARY KEY (symbol, timeframe, ts_ns, source)
) WITH (fillfactor = 90); -- a forming bar is updated in place

COMMENT ON TABLE market_data_oltp.stock_bars_staging IS 'Bars, the newest version of each. Which version is newer: see docs/decisions/0013 (revision, then final over forming, then the later record).';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.ts IS 'Start of the interval.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.open IS 'First price in US dollars.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.high IS 'Highest price in US dollars.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.low IS 'Lowest price in US dollars.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.close IS 'Last price in US dollars.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.volume IS 'Shares.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.vwap IS 'Volume-weighted average price in US dollars; NULL where the feed gave none or nothing was traded.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.trade_count IS 'Number of trades; NULL where the feed gave none.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.ts_ns IS 'Start of the interval in nanoseconds since 1970-01-01 UTC.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.revision IS '0 for the first version of the interval; corrections count up, and the highest wins.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.epoch IS 'Run of the producer that sent this version: its start in Unix milliseconds; 0 where the writer gave none.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.seq IS 'Counts the bars of one symbol within one epoch from 1; 0 where the writer gave none.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.is_final IS 'Whether the interval is over; false while the bar is forming.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.symbol IS 'Instrument, as its feed writes it: AAPL, BRK.B, BTC/USD.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.timeframe IS 'Length of the interval: 1Min, 5Min, 15Min, 1Hour, 1Day, …; days are New York trading days.';
COMMENT ON COLUMN market_data_oltp.stock_bars_staging.source IS 'Feed that reported the bar: alpaca, finnhub, massive.';

-- Grows with every change of a symbol's bars, in the transaction that makes the change: whoever remembers an answer together with
-- the version it was made from knows from one small row whether it still holds. The first number is a clock's, so that a database
-- that was made anew does not repeat the numbers of the one before.
CREATE TABLE market_data_oltp.stock_bar_versions (
    symbol    text COLLATE "C" NOT NULL,
    timeframe text COLLATE "C" NOT NULL,
    version   bigint           NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    PRIMARY KEY (symbol, timeframe)
) WITH (fillfactor = 50); -- every batch updates these rows in place

COMMENT ON TABLE market_data_oltp.stock_bar_versions IS 'One row per symbol and timeframe that has bars; its version grows with every change of them.';
COMMENT ON COLUMN market_data_oltp.stock_bar_versions.symbol IS 'Instrument.';
COMMENT ON COLUMN market_data_oltp.stock_bar_versions.timeframe IS 'Length of the interval.';
COMMENT ON COLUMN market_data_oltp.stock_bar_versions.version IS 'Grows with every change; only equality means anything to a reader.';

-- Costs one backward index step per symbol and source instead of a second copy of the newest bars.
CREATE VIEW market_data_oltp.stock_bars_latest AS
SELECT newest.*
FROM market_data_oltp.stock_bar_versions known
CROSS JOIN LATERAL (
    SELECT * FROM market_data_oltp.stock_bars_staging bar
    WHERE bar.symbol = known.symbol AND bar.timeframe = known.timeframe
    ORDER BY bar.ts_ns DESC, bar.source
    LIMIT 1
) newest;

COMMENT ON VIEW market_data_oltp.stock_bars_latest IS 'The newest bar of every symbol and timeframe.';

-- Removes bars shorter than a day that started more than keep_days ago, one symbol and timeframe at a time (the key's order), and
-- says what it removed; NULL when none are left. Daily and longer bars stay: they are few, and are what long charts are made of.
CREATE FUNCTION market_data_oltp.delete_oldest_bars(keep_days integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    before_ns bigint := ((now() AT TIME ZONE 'UTC')::date - keep_days - DATE '1970-01-01')::bigint * 86400000000000;
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

COMMENT ON FUNCTION market_data_oltp.delete_oldest_bars(integer) IS 'Deletes intraday bars of one symbol and timeframe that are more than keep_days old and says how many; NULL when none are left. Bars of a day and longer stay.';
