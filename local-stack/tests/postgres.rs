//! A real PostgreSQL keeps what it committed, whatever happens to it.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::time::{Duration, Instant};

use local_stack::{Postgres, testing};

#[tokio::test]
async fn kill_9_in_the_middle_of_a_stream_loses_nothing_that_was_committed() {
    let mut server = Postgres::start_temporary().await.unwrap();
    server.create_database("market").await.unwrap();
    server.create_database("market").await.expect("making it again is fine");
    let client = server.connect("market").await.unwrap();
    client.batch_execute("CREATE TABLE trades (name integer PRIMARY KEY)").await.unwrap();

    let (progress, mut seen) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(async move {
        let mut committed = 0;
        while client.execute("INSERT INTO trades VALUES ($1)", &[&(committed + 1)]).await.is_ok() {
            committed += 1;
            progress.send_replace(committed);
        }
        committed
    });
    seen.wait_for(|committed| *committed >= 100).await.unwrap();
    server.kill().await;
    let committed = writing.await.unwrap();

    server.restart().await.unwrap();
    let client = server.connect("market").await.unwrap();
    let row = client.query_one("SELECT count(*), max(name) FROM trades", &[]).await.unwrap();
    let (rows, newest): (i64, i32) = (row.get(0), row.get(1));
    assert_eq!(rows, i64::from(newest), "the rows have no hole");
    // The last one may have been committed without anybody having heard of it.
    assert!((committed..=committed + 1).contains(&newest), "{committed} were committed, {newest} are there");
}

#[tokio::test]
async fn durable_settings_are_the_defaults_and_stay_so() {
    let server = Postgres::start_temporary().await.unwrap();
    let client = server.connect("postgres").await.unwrap();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let row = client.query_one("SELECT current_setting($1)", &[&setting]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "on", "{setting}");
    }
    assert!(server.stop().await, "it ended by itself when asked");
}

#[tokio::test]
async fn freezing_stops_open_connections_too() {
    let server = Postgres::start_temporary().await.unwrap();
    let client = server.connect("postgres").await.unwrap();
    server.pause();
    let asked = tokio::time::timeout(Duration::from_millis(300), client.batch_execute("SELECT 1")).await;
    assert!(asked.is_err(), "a frozen server answered");
    server.resume();
    client.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_stop_with_open_connections_is_quick_and_the_data_are_there_again() {
    let mut server = Postgres::start_temporary().await.unwrap();
    let idle = server.connect("postgres").await.unwrap();
    idle.batch_execute("CREATE TABLE kept (name integer); INSERT INTO kept VALUES (7)").await.unwrap();
    let begin = Instant::now();
    assert!(server.stop().await, "it ended by itself when asked");
    assert!(begin.elapsed() < Duration::from_secs(15), "it waited for its clients");
    server.restart().await.unwrap();
    let client = server.connect("postgres").await.unwrap();
    assert_eq!(client.query_one("SELECT name FROM kept", &[]).await.unwrap().get::<_, i32>(0), 7);
}

#[tokio::test]
async fn every_test_gets_a_database_of_its_own() {
    let (one, two) = (testing::database().await, testing::database().await);
    assert_ne!(one.name, two.name);
    one.connect().await.batch_execute("CREATE TABLE mine ()").await.unwrap();
    two.connect().await.batch_execute("CREATE TABLE mine ()").await.unwrap();
}
