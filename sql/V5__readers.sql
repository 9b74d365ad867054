-- For people at a psql prompt: a role that can read everything and spoil nothing, and views that answer the first questions.
-- Where this user may not create roles (some managed databases), the role is left out; create it by hand and grant it SELECT.
DO $$
BEGIN
    BEGIN
        CREATE ROLE tapeline_reader LOGIN;
        ALTER ROLE tapeline_reader SET statement_timeout = '30s';
        ALTER ROLE tapeline_reader SET idle_in_transaction_session_timeout = '60s';
        ALTER ROLE tapeline_reader SET default_transaction_read_only = on;
        ALTER ROLE tapeline_reader SET search_path = market_data_oltp, public;
        COMMENT ON ROLE tapeline_reader IS 'Reads Tapeline''s tables, 30 s a statement, writes nothing. Give it a password before use from other hosts.';
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server has it already
        WHEN insufficient_privilege THEN RAISE NOTICE 'this user may not create roles: tapeline_reader is left out';
    END;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tapeline_reader') THEN
        GRANT USAGE ON SCHEMA market_data_oltp TO tapeline_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA market_data_oltp TO tapeline_reader;
        ALTER DEFAULT PRIVILEGES IN SCHEMA market_data_oltp GRANT SELECT ON TABLES TO tapeline_reader;
    END IF;
END $$;

CREATE VIEW market_data_oltp.tapeline_progress AS
SELECT topic, partition, next_offset, updated_at, now() - updated_at AS unchanged_for
FROM market_data_oltp.kafka_offsets
ORDER BY topic, partition;

COMMENT ON VIEW market_data_oltp.tapeline_progress IS 'How far each Kafka partition is stored, and for how long it has not moved.';

CREATE VIEW market_data_oltp.tapeline_freshness AS
SELECT known.symbol, known.timeframe, newest.ts AS newest_bar, newest.is_final, now() - newest.ts AS age
FROM market_data_oltp.stock_bar_versions known
JOIN market_data_oltp.stock_bars_latest newest USING (symbol, timeframe)
ORDER BY known.symbol, known.timeframe;

COMMENT ON VIEW market_data_oltp.tapeline_freshness IS 'The newest bar of every symbol and timeframe and its age.';

CREATE VIEW market_data_oltp.tapeline_counts AS
SELECT to_date(right(child.relname, 8), 'YYYYMMDD') AS day,
       CASE WHEN child.reltuples < 0 THEN NULL ELSE child.reltuples::bigint END AS trades_estimated,
       pg_total_relation_size(child.oid) AS bytes
FROM pg_inherits
JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = 'market_data_oltp.stock_trades_realtime'::regclass
ORDER BY day;

COMMENT ON VIEW market_data_oltp.tapeline_counts IS 'Trades a UTC day, as PostgreSQL''s statistics estimate them (NULL before the first ANALYZE), and their size in bytes. Instant; count(*) is exact and slow.';
