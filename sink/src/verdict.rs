//! What to do about an error of PostgreSQL.

use std::error::Error as _;

use tokio_postgres::error::{DbError, Severity, SqlState};

/// What an error means for the batch in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The database or the way to it is in trouble: wait, then the same again.
    Retry,
    /// A row is there already.
    Duplicate,
    /// A row of a day that has no partition: make it, and where that does not help treat the row as bad.
    NoPartition,
    /// A row cannot be stored: find it, keep the others.
    BadData,
    /// What the session had prepared is gone, or somebody else's: the session is not ours alone.
    SessionState,
    /// A mistake that repeats for ever: stop with a sentence.
    Stop,
}

/// Sorts an error.
#[must_use]
pub fn verdict(error: &tokio_postgres::Error) -> Verdict {
    match error.as_db_error() {
        Some(server) if is_no_partition(server) => Verdict::NoPartition,
        Some(server) if ended_by_server(server) || is_created_twice(server) => Verdict::Retry,
        Some(server) => verdict_of(server.code()),
        None if lost_connection(error) => Verdict::Retry,
        None => Verdict::Stop, // such as a value that the driver cannot bind: our mistake
    }
}

/// The server gave up the session for an inner reason: on a full disk, say, a new session dies with "could not write init file", XX000.
fn ended_by_server(error: &DbError) -> bool {
    let ended = matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    ended && error.code().code().starts_with("XX")
}

/// Another session has created the schema, table or object, and committed while this one waited: the duplicate is one of the server's own
/// catalog, not of a row of ours. The next attempt finds what was created.
fn is_created_twice(error: &DbError) -> bool {
    *error.code() == SqlState::UNIQUE_VIOLATION && error.schema() == Some("pg_catalog")
}

/// It has the code of a check violation, but no check that was violated.
fn is_no_partition(error: &DbError) -> bool {
    *error.code() == SqlState::CHECK_VIOLATION && error.constraint().is_none()
}

fn verdict_of(state: &SqlState) -> Verdict {
    match state.code() {
        "23505" => Verdict::Duplicate,
        // A value too large for an index entry is the record's fault, though its class (program limits) is not.
        "54000" => Verdict::BadData,
        // Read-only after a fail-over (0A000: a standby cannot begin a transaction that writes), a lock that was not granted in time.
        // 0A000 is also what a prepared statement says whose table has changed; a new session knows the new one.
        "25006" | "0A000" | "55P03" => Verdict::Retry,
        // Another session has created the schema, table or object at the same moment; the next attempt finds it.
        "42P06" | "42P07" | "42710" => Verdict::Retry,
        "26000" | "42P05" => Verdict::SessionState,
        code => match code.get(..2).unwrap_or_default() {
            // connection, rollback by the server, resources (disk full), operator action, system error (I/O)
            "08" | "40" | "53" | "57" | "58" => Verdict::Retry,
            "22" | "23" => Verdict::BadData,
            _ => Verdict::Stop, // missing table, wrong SQL, no permission
        },
    }
}

fn lost_connection(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_verdict() {
        let expected = [
            (SqlState::UNIQUE_VIOLATION, Verdict::Duplicate),
            (SqlState::CHECK_VIOLATION, Verdict::BadData),
            (SqlState::NOT_NULL_VIOLATION, Verdict::BadData),
            (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, Verdict::BadData),
            (SqlState::CHARACTER_NOT_IN_REPERTOIRE, Verdict::BadData),
            (SqlState::PROGRAM_LIMIT_EXCEEDED, Verdict::BadData),
            (SqlState::CONNECTION_FAILURE, Verdict::Retry),
            (SqlState::T_R_DEADLOCK_DETECTED, Verdict::Retry),
            (SqlState::T_R_SERIALIZATION_FAILURE, Verdict::Retry),
            (SqlState::DISK_FULL, Verdict::Retry),
            (SqlState::TOO_MANY_CONNECTIONS, Verdict::Retry),
            (SqlState::ADMIN_SHUTDOWN, Verdict::Retry),
            (SqlState::CANNOT_CONNECT_NOW, Verdict::Retry),
            (SqlState::QUERY_CANCELED, Verdict::Retry),
            (SqlState::READ_ONLY_SQL_TRANSACTION, Verdict::Retry),
            (SqlState::LOCK_NOT_AVAILABLE, Verdict::Retry),
            (SqlState::FEATURE_NOT_SUPPORTED, Verdict::Retry),
            (SqlState::DUPLICATE_TABLE, Verdict::Retry),
            (SqlState::DUPLICATE_SCHEMA, Verdict::Retry),
            (SqlState::DUPLICATE_OBJECT, Verdict::Retry),
            (SqlState::INVALID_SQL_STATEMENT_NAME, Verdict::SessionState),
            (SqlState::DUPLICATE_PSTATEMENT, Verdict::SessionState),
            (SqlState::IO_ERROR, Verdict::Retry),
            (SqlState::UNDEFINED_TABLE, Verdict::Stop),
            (SqlState::INSUFFICIENT_PRIVILEGE, Verdict::Stop),
            (SqlState::INVALID_PASSWORD, Verdict::Stop),
            (SqlState::INVALID_CATALOG_NAME, Verdict::Stop),
            (SqlState::SYNTAX_ERROR, Verdict::Stop),
        ];
        for (state, verdict) in expected {
            assert_eq!(verdict_of(&state), verdict, "{state:?}");
        }
    }
}
