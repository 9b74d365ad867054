-- Of several producers for the same feeds one leads. Its lease is a row: it counts beats while it is alive, and keeps what its successor
-- has to know. A producer that finds no such table makes the same one.
CREATE TABLE IF NOT EXISTS market_data_oltp.producer_leases (
    name       text        PRIMARY KEY,
    holder     text        NOT NULL,
    epoch      bigint      NOT NULL,
    beats      bigint      NOT NULL,
    renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    standby_at timestamptz,
    frontier   text,
    symbols    text
);

COMMENT ON TABLE market_data_oltp.producer_leases IS 'Which producer leads, by group (LEADER_GROUP).';
COMMENT ON COLUMN market_data_oltp.producer_leases.name IS 'Group of producers for the same feeds (LEADER_GROUP).';
COMMENT ON COLUMN market_data_oltp.producer_leases.holder IS 'The leader; empty when it has stopped in order.';
COMMENT ON COLUMN market_data_oltp.producer_leases.epoch IS 'Counts the changes of leader: a producer with an older one must not publish.';
COMMENT ON COLUMN market_data_oltp.producer_leases.beats IS 'Counts the renewals of this epoch. A standby takes over when it has watched this number stand still for 3.5 seconds.';
COMMENT ON COLUMN market_data_oltp.producer_leases.renewed_at IS 'When the leader last counted, by the server''s clock; for people, nothing is decided by it.';
COMMENT ON COLUMN market_data_oltp.producer_leases.standby_at IS 'When a standby last looked.';
COMMENT ON COLUMN market_data_oltp.producer_leases.frontier IS 'JSON: how far the leader''s records are safe, by feed, and which gaps are not settled.';
COMMENT ON COLUMN market_data_oltp.producer_leases.symbols IS 'JSON: the symbols that had records, by feed.';
