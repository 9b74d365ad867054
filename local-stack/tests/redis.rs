//! Redis starts, freezes, dies and comes back on the same port.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::time::Duration;

use local_stack::{Folder, Redis, testing};

async fn connection(url: &str) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    redis::Client::open(url)?.get_multiplexed_async_connection().await
}

#[tokio::test]
async fn it_comes_back_empty_on_the_same_port() {
    let mut server = Redis::start_temporary().await.unwrap();
    let url = server.url();
    let mut client = connection(&url).await.unwrap();
    let () = redis::cmd("SET").arg("a").arg(1).query_async(&mut client).await.unwrap();
    let first = server.pid();
    server.kill().await;
    assert!(connection(&url).await.is_err(), "a killed server took a connection");
    server.restart().await.unwrap();
    assert_ne!(server.pid(), first);
    let mut client = connection(&url).await.unwrap();
    let kept: Option<i32> = redis::cmd("GET").arg("a").query_async(&mut client).await.unwrap();
    assert_eq!(kept, None, "nothing is kept on disk");
    assert!(server.stop().await, "it ended by itself when asked");
}

#[tokio::test]
async fn frozen_means_silent_but_open() {
    let server = Redis::start_temporary().await.unwrap();
    let mut client = connection(&server.url()).await.unwrap();
    server.pause();
    let ping = async { redis::cmd("PING").query_async::<String>(&mut client).await };
    assert!(tokio::time::timeout(Duration::from_millis(300), ping).await.is_err(), "a frozen server answered");
    server.resume();
    server.ready().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_said_in_one_sentence() {
    let first = Redis::start_temporary().await.unwrap();
    let error = Redis::start(Folder::temporary().unwrap(), first.port()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("port {} is in use, so Redis cannot start: stop the", first.port())), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[tokio::test]
async fn tests_share_one_server() {
    assert_eq!(testing::redis().await, testing::redis().await);
}
