-- Everything of Tapeline lives in one schema, so that it can share a database and be dropped as a whole.
-- The runner makes the schema before the first migration, because it keeps its own history there.
CREATE SCHEMA IF NOT EXISTS market_data_oltp;

COMMENT ON SCHEMA market_data_oltp IS 'Tapeline: trades and bars of the market tape, written by consumer-trades and consumer-bars.';
COMMENT ON TABLE market_data_oltp.schema_history IS 'Which numbered migration ran when; kept by the migration runner.';
COMMENT ON COLUMN market_data_oltp.schema_history.version IS 'Number of the migration.';
COMMENT ON COLUMN market_data_oltp.schema_history.name IS 'Name of the migration.';
COMMENT ON COLUMN market_data_oltp.schema_history.applied_on IS 'When it ran, RFC 3339.';
COMMENT ON COLUMN market_data_oltp.schema_history.checksum IS 'Hash of its text; a changed file is refused.';
