//! Every number that the producer shows.

use service::metric::Metric;

const STREAMS: &[&str] = &["trades", "bars", "quotes", "gaps", "corrections", "status", "forming_bars"];
const SKIPPED: &[&str] = &["malformed_frame", "not_an_object", "unknown_type", "bad_field", "out_of_limits"];

/// The list, in the order of a record's way: feed, gaps, demand, hot path, cold path, leadership.
pub(crate) const METRICS: &[Metric] = &[
    Metric::counter("producer_records_total", "Records taken from feeds and histories, by stream.")
        .each("stream", STREAMS),
    Metric::counter("producer_skipped_total", "Elements of a frame that are no valid record, by reason.")
        .each("reason", SKIPPED),
    Metric::counter("producer_other_messages_total", "Messages of a feed that are no records, by kind.").later(),
    Metric::counter("producer_feed_reconnects_total", "Connections to a feed after the first one.").later(),
    Metric::counter("producer_feed_errors_total", "Errors that a feed reported, by its code.").later(),
    Metric::counter(
        "producer_feed_violations_total",
        "Connections that were closed because the feed broke the WebSocket protocol, by close code.",
    )
    .later(),
    Metric::counter("producer_feed_notes_total", "Messages of a feed that ask for nothing."),
    Metric::histogram("producer_feed_lag_seconds", "From a record's own time to its arrival.").later(),
    Metric::gauge("producer_feed_lag_growth_seconds", "How much later than usual records arrive."),
    Metric::counter("producer_feed_lag_alarms_total", "How often records began to arrive later than usual.").later(),
    Metric::counter("producer_gaps_total", "Gaps that were declared."),
    Metric::counter("producer_heals_refused_total", "Backfills that did not prove that their gap is complete."),
    Metric::counter("producer_backfilled_total", "Records that backfills handed on."),
    Metric::counter(
        "producer_second_looks_total",
        "Second looks at a history for trades that were stamped ahead of their gap's end.",
    ),
    Metric::counter("producer_history_failures_total", "Questions to a history that failed, by reason.").later(),
    Metric::counter("producer_demand_refused_total", "Wishes of gateways that are no symbols or are beyond the limit."),
    Metric::counter("producer_subscriptions_refused_total", "Symbols that a feed refused."),
    Metric::gauge("producer_symbols_subscribed", "Symbols that a feed delivers."),
    Metric::gauge("producer_symbols_unavailable", "Wanted symbols that a feed does not deliver."),
    Metric::counter("producer_hot_published_total", "Records that Redis took."),
    Metric::counter("producer_hot_dropped_total", "Records that did not reach Redis because it was away or behind."),
    Metric::counter("producer_kafka_acknowledged_total", "Records that Kafka acknowledged."),
    Metric::counter("producer_kafka_failed_total", "Records that Kafka refused; they are sent again."),
    Metric::gauge("producer_kafka_unacknowledged", "Records that wait for Kafka's acknowledgement."),
    Metric::counter(
        "producer_cold_missed_total",
        "Records that found no room in memory or spool, by stream; a gap is declared for them.",
    )
    .each("stream", STREAMS),
    Metric::gauge("producer_cold_queue_bytes", "Bytes that wait in memory for Kafka, by lane."),
    Metric::counter("producer_spooled_total", "Records written to the spool."),
    Metric::gauge("producer_spool_bytes", "Bytes in the spool."),
    Metric::counter("producer_spool_failures_total", "Failed writes to the spool."),
    Metric::counter(
        "producer_spool_unreadable_total",
        "Records of the spool that cannot be read; their segment is set aside.",
    ),
    Metric::counter("producer_bars_not_revised_total", "Voids of trades whose bar is too old to be revised."),
    Metric::counter("producer_ledger_reports_total", "Reports of what was sent that were handed to Kafka."),
    Metric::counter(
        "producer_ledger_reports_dropped_total",
        "Reports that were dropped because too many waited; the audit cannot judge those records.",
    ),
    Metric::counter(
        "producer_ledger_uncounted_total",
        "Trades that were sent and not counted, because the ledger's disk is behind.",
    ),
    Metric::counter("producer_ledger_failures_total", "Failed writes to the ledger."),
    Metric::counter("producer_journal_failures_total", "Failed writes to the journal."),
    Metric::gauge("producer_leader", "1 while this producer leads, 0 while it stands by."),
];
