//! Every number that the history API shows.

use service::metric::Metric;

const SOURCES: &[&str] = &["memory", "database"];

/// The list.
pub(crate) const METRICS: &[Metric] = &[
    Metric::histogram("bars_api_request_seconds", "From a request to its answer, by route and class of status.")
        .later(),
    Metric::counter("bars_api_answers_total", "Answers, by where they came from.").each("from", SOURCES),
    Metric::counter("bars_api_minutes_total", "Minutes read for indicators and roll-ups, by where they came from.")
        .each("from", SOURCES),
    Metric::gauge("bars_api_remembered_bytes", "Bytes of remembered answers."),
];
