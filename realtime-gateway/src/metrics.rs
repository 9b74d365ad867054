//! Every number that the gateway shows.

use service::metric::Metric;

const STREAMS: &[&str] = &["trades", "bars", "quotes", "status", "gaps", "heals", "missed", "forming_bars"];
const CUT: &[&str] =
    &["stalled", "lossless", "unread", "silent", "gone", "expired", "misuse", "message_rate", "draining", "replaced"];

/// The list, in the order of a record's way: Redis, hub, clients, doors.
pub(crate) const METRICS: &[Metric] = &[
    Metric::counter("gateway_records_in_total", "Records that Redis delivered, by stream.").each("stream", STREAMS),
    Metric::counter("gateway_records_refused_total", "Payloads on Redis that are no records, by reason.")
        .each("reason", &["not_json", "no_symbol"]),
    Metric::counter("gateway_records_missed_total", "Records that positions show to be missing, by stream.")
        .each("stream", STREAMS),
    Metric::histogram("gateway_fanout_seconds", "From a batch of Redis to the queues of its clients."),
    Metric::counter("gateway_deliveries_total", "Records put into the queues of clients."),
    Metric::gauge("gateway_clients", "Clients with a session."),
    Metric::gauge("gateway_connections", "Open connections."),
    Metric::gauge("gateway_sessions", "Sessions of all transports."),
    Metric::gauge("gateway_replay_bytes", "Bytes of records that are kept for recovery."),
    Metric::gauge("gateway_replay_unsent_bytes", "Bytes of replays that clients have not read yet."),
    Metric::gauge("gateway_answers_unsent_bytes", "Bytes of answers that clients have not read yet."),
    Metric::gauge("gateway_gates_waiting", "Conflated records that wait for their turn."),
    Metric::counter("gateway_recoveries_total", "Reconnects with a position, by whether all was recovered.")
        .each("recovered", &["true", "false"]),
    Metric::counter("gateway_cut_total", "Clients that were disconnected, by reason.").each("reason", CUT),
    Metric::counter("gateway_connects_refused_total", "Connections that were refused, by reason.")
        .each("reason", &["connections", "per_address", "connect_rate", "origin"]),
];
