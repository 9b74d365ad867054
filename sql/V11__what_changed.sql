-- Charts ask for the newest thousand minutes of a symbol again and again while only the last of them changes. Who remembers bars
-- together with their version may keep those that no change has reached since, if the writer says how far back its changes went.
-- Where a writer only raises the version, nothing is said and nothing may be kept.
ALTER TABLE market_data_oltp.stock_bar_versions
    ADD COLUMN steady_since    bigint NOT NULL DEFAULT 0,
    ADD COLUMN steady_until    bigint NOT NULL DEFAULT 0,
    ADD COLUMN changed_from_ns bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN market_data_oltp.stock_bar_versions.steady_since IS 'Since this version only bars that start at changed_from_ns or later have changed; holds where steady_until is the version.';
COMMENT ON COLUMN market_data_oltp.stock_bar_versions.steady_until IS 'Last version that steady_since and changed_from_ns speak of; another one than version means that they say nothing.';
COMMENT ON COLUMN market_data_oltp.stock_bar_versions.changed_from_ns IS 'Start of the oldest bar that has changed after steady_since, in Unix nanoseconds.';

-- Raises the version. What it says about older versions stands as long as changes stay within half an hour: a correction further back
-- would hide that the rest is steady, and with time the changed part would grow.
CREATE FUNCTION market_data_oltp.bars_changed(symbol text, timeframe text, from_ns bigint) RETURNS bigint
LANGUAGE sql AS $$
    INSERT INTO market_data_oltp.stock_bar_versions AS known (symbol, timeframe)
    VALUES ($1, $2)
    ON CONFLICT (symbol, timeframe) DO UPDATE
    SET (version, steady_until, steady_since, changed_from_ns) = (
        SELECT known.version + 1, known.version + 1,
               CASE WHEN goes_on THEN known.steady_since ELSE known.version END,
               CASE WHEN goes_on THEN known.changed_from_ns ELSE $3 END
        FROM (SELECT known.steady_until = known.version
                     AND $3 BETWEEN known.changed_from_ns AND known.changed_from_ns + 1800000000000 AS goes_on) AS now
    )
    RETURNING version
$$;

COMMENT ON FUNCTION market_data_oltp.bars_changed(text, text, bigint) IS 'To be called in the transaction that changes bars of a symbol and timeframe, with the start of the oldest of them; raises their version.';
