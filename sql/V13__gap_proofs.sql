-- What a gap's healing rests on (docs/decisions/0041).

ALTER TABLE market_data_oltp.stock_feed_gaps
    ADD COLUMN records     bigint,
    ADD COLUMN unknown     bigint,
    ADD COLUMN verified_at timestamptz,
    ADD COLUMN reason      text,
    ADD COLUMN attempts    bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.started_at IS 'From here on records may be missing, by the feed''s clock: when the last record before the outage arrived, less the lateness of this feed''s reports.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.ended_at IS 'Until then: when the first record after it arrived; NULL while it lasts.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.healed_at IS 'When the missed records had been fetched from the feed''s history, handed on and verified; NULL until then.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.records IS 'Trades that the history has for the gap and the margin before it; NULL until it is healed.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.unknown IS 'Trades that the stream delivered around the gap and the history lacks: cancelled or wrong ones; NULL when there are none.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.verified_at IS 'When a second reading of the history agreed, symbol by symbol and minute by minute, with what was handed on; NULL until then.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.reason IS 'Why it could not be healed so far; NULL when nothing stood against it.';
COMMENT ON COLUMN market_data_oltp.stock_feed_gaps.attempts IS 'How often healing was tried in vain.';

CREATE OR REPLACE VIEW market_data_oltp.tapeline_gaps AS
SELECT source, symbol, started_at, ended_at,
       CASE WHEN healed_at IS NOT NULL THEN 'healed' WHEN ended_at IS NOT NULL THEN 'ended' ELSE 'open' END AS state,
       coalesce(ended_at, now()) - started_at AS lasted, cause, healed_at,
       records, unknown, verified_at, reason, attempts
FROM market_data_oltp.stock_feed_gaps
ORDER BY started_at DESC;
