-- Days whose trades lie in the archive (Parquet files) instead of in a partition (docs/decisions/0080).
CREATE TABLE market_data_oltp.archived_days (
    day         date        PRIMARY KEY,
    rows        bigint      NOT NULL CHECK (rows >= 0),
    void        bigint      NOT NULL CHECK (void >= 0),
    hash        bigint      NOT NULL,
    bytes       bigint      NOT NULL CHECK (bytes >= 0),
    archived_at timestamptz NOT NULL DEFAULT now(),
    restored_at timestamptz
);

COMMENT ON TABLE market_data_oltp.archived_days IS 'UTC days of trades that lie in the archive. A reader takes a day from the archive if it has a row here with restored_at NULL, else from stock_trades_realtime.';
COMMENT ON COLUMN market_data_oltp.archived_days.day IS 'UTC day.';
COMMENT ON COLUMN market_data_oltp.archived_days.rows IS 'Trades in the file, void ones included.';
COMMENT ON COLUMN market_data_oltp.archived_days.void IS 'Trades that a correction had declared void when the day was archived.';
COMMENT ON COLUMN market_data_oltp.archived_days.hash IS 'Sum of a 64-bit hash of every row; the file and a restored table must give the same.';
COMMENT ON COLUMN market_data_oltp.archived_days.bytes IS 'Size of the file.';
COMMENT ON COLUMN market_data_oltp.archived_days.archived_at IS 'When the file had been verified and the partition was detached.';
COMMENT ON COLUMN market_data_oltp.archived_days.restored_at IS 'When the day was brought back into stock_trades_realtime; NULL while only the archive has it. A restored day is archived again only on request.';

-- Takes a day's partition out of the table and records the day as archived, in one transaction: at every moment a reader finds the day in one of
-- the two places. Returns the name of the detached table, which its caller compares with the file once more and drops. Trades of the day that
-- arrive from now on get a new partition.
CREATE FUNCTION market_data_oltp.detach_archived_day(archived date, rows bigint, void bigint, hash bigint, bytes bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    part     text := 'stock_trades_realtime_p' || to_char(archived, 'YYYYMMDD');
    detached text := 'archived_trades_p' || to_char(archived, 'YYYYMMDD');
BEGIN
    EXECUTE format('ALTER TABLE market_data_oltp.stock_trades_realtime DETACH PARTITION market_data_oltp.%I', part);
    EXECUTE format('ALTER TABLE market_data_oltp.%I RENAME TO %I', part, detached);
    INSERT INTO market_data_oltp.archived_days AS known (day, rows, void, hash, bytes)
    VALUES (archived, rows, void, hash, bytes)
    ON CONFLICT (day) DO UPDATE
    SET (rows, void, hash, bytes, archived_at, restored_at)
      = (excluded.rows, excluded.void, excluded.hash, excluded.bytes, now(), NULL);
    RETURN detached;
END $$;

COMMENT ON FUNCTION market_data_oltp.detach_archived_day(date, bigint, bigint, bigint, bigint) IS 'Detaches the partition of a UTC day whose archive file is verified, and records the day as archived; returns the detached table''s name.';

-- Puts a filled table in the place of a day's partition. What arrived for the day since it was archived is kept.
CREATE FUNCTION market_data_oltp.attach_restored_day(restored date, filled text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    part   text   := 'stock_trades_realtime_p' || to_char(restored, 'YYYYMMDD');
    day_ns bigint := (restored - DATE '1970-01-01')::bigint * 86400000000000;
BEGIN
    IF to_regclass(format('market_data_oltp.%I', part)) IS NOT NULL THEN
        EXECUTE format('LOCK TABLE market_data_oltp.%I IN ACCESS EXCLUSIVE MODE', part);
        EXECUTE format('INSERT INTO market_data_oltp.%I SELECT * FROM market_data_oltp.%I ON CONFLICT DO NOTHING', filled, part);
        EXECUTE format('ALTER TABLE market_data_oltp.stock_trades_realtime DETACH PARTITION market_data_oltp.%I', part);
        EXECUTE format('DROP TABLE market_data_oltp.%I', part);
    END IF;
    EXECUTE format(
        'ALTER TABLE market_data_oltp.%I ADD CONSTRAINT ts_is_of_the_day CHECK (ts >= %L::timestamptz AND ts < %L::timestamptz)',
        filled, restored::text || ' 00:00:00+00', (restored + 1)::text || ' 00:00:00+00');
    EXECUTE format('ALTER TABLE market_data_oltp.%I RENAME TO %I', filled, part);
    EXECUTE format(
        'ALTER TABLE market_data_oltp.stock_trades_realtime ATTACH PARTITION market_data_oltp.%I FOR VALUES FROM (%s) TO (%s)',
        part, day_ns, day_ns + 86400000000000);
    EXECUTE format('COMMENT ON TABLE market_data_oltp.%I IS %L', part, 'Trades of the UTC day ' || restored::text || '.');
    UPDATE market_data_oltp.archived_days SET restored_at = now() WHERE day = restored;
END $$;

COMMENT ON FUNCTION market_data_oltp.attach_restored_day(date, text) IS 'Attaches a table filled from the archive as the partition of its UTC day; readers see the whole day or none of it.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tapeline_reader') THEN
        GRANT SELECT ON market_data_oltp.archived_days TO tapeline_reader;
    END IF;
END $$;
