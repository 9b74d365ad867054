//! Sends random requests of every route to a running API, and looks at each answer: never a 500 or 503, and nothing in an error that
//! the caller did not send.
//!
//! ```text
//! cargo run --release -p bars-api --example api_fuzz -- http://127.0.0.1:8000 --requests 1000000 --connections 4 --seed 7
//! ```
//!
//! It knows the symbols `AAPL`, `MSFT`, `BRK.B` and `BTC/USD` and the days around 3 June 2024: fill some bars and trades in there.
//! A request that fails is printed with its path; the seed of the whole run is printed first. `--seconds` ends it early.

mod requests;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, Url, header};

use requests::Fuzz;

/// Findings that are printed of each connection before it gives up.
const FINDINGS_MAX: usize = 10;
const USAGE: &str = "usage: api_fuzz http://host:port [--requests N] [--connections N] [--seed N] [--seconds N]";

struct Plan {
    base: String,
    requests: u64,
    connections: u64,
    seed: u64,
    /// When it ends, however many requests are left.
    seconds: u64,
}

impl Plan {
    fn read() -> anyhow::Result<Self> {
        let mut plan = Self {
            base: String::new(),
            requests: 100_000,
            connections: 4,
            seed: rand::random(),
            seconds: u64::from(u32::MAX),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number =
                || words.next().and_then(|value| value.parse().ok()).with_context(|| format!("{word} needs a number"));
            match word.as_str() {
                "--requests" => plan.requests = number()?,
                "--connections" => plan.connections = number()?,
                "--seed" => plan.seed = number()?,
                "--seconds" => plan.seconds = number()?,
                "--help" => bail!("{USAGE}"),
                base if base.starts_with("http://") => plan.base = base.trim_end_matches('/').to_owned(),
                _ => bail!("`{word}` is neither http://host:port nor an option\n{USAGE}"),
            }
        }
        ensure!(!plan.base.is_empty() && plan.connections > 0, "{USAGE}");
        Ok(plan)
    }
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    statuses: BTreeMap<u16, u64>,
    findings: Vec<String>,
    slowest: (Duration, String),
    /// Requests that were sent again because the connection ended, as one that was idle for long may at any time.
    hang_ups: u64,
    /// Paths that are no part of an address and were not sent.
    unsent: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("api_fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How many findings there were.
async fn run() -> anyhow::Result<usize> {
    let plan = Plan::read()?;
    println!("{} requests, --connections {} --seed {}", plan.requests, plan.connections, plan.seed);
    let began = Instant::now();
    let until = began + Duration::from_secs(plan.seconds);
    let tasks: Vec<_> = (0..plan.connections)
        .map(|number| {
            let share = plan.requests / plan.connections + u64::from(number < plan.requests % plan.connections);
            tokio::spawn(send(plan.base.clone(), share, plan.seed.wrapping_add(number), until))
        })
        .collect();
    let mut all = Seen::default();
    for task in tasks {
        let seen = task.await??;
        for (status, count) in seen.statuses {
            *all.statuses.entry(status).or_default() += count;
        }
        all.findings.extend(seen.findings);
        all.slowest = all.slowest.max(seen.slowest);
        all.hang_ups += seen.hang_ups;
        all.unsent += seen.unsent;
    }
    let answers: u64 = all.statuses.values().sum();
    let seconds = began.elapsed().as_secs_f64();
    println!("{answers} answers in {seconds:.0} s, {} asked for twice, {} not sent", all.hang_ups, all.unsent);
    for (status, count) in &all.statuses {
        println!("  {status}: {count}");
    }
    println!("slowest: {:?} for {}", all.slowest.0, all.slowest.1);
    for finding in &all.findings {
        println!("FOUND {finding}");
    }
    println!("{} findings", all.findings.len());
    Ok(all.findings.len())
}

async fn send(base: String, requests: u64, seed: u64, until: Instant) -> anyhow::Result<Seen> {
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let (mut fuzz, mut seen) = (Fuzz::new(seed), Seen::default());
    for _ in 0..requests {
        if Instant::now() >= until {
            break;
        }
        let request = fuzz.request();
        let Ok(address) = Url::parse(&format!("{base}{}", request.path)) else {
            seen.unsent += 1;
            continue;
        };
        let asked = Instant::now();
        let (status, content_type, body) = match answer(&client, &address, request.accept).await {
            Ok(answer) => answer,
            Err(_) => {
                seen.hang_ups += 1;
                let again = answer(&client, &address, request.accept).await;
                again.with_context(|| format!("twice no answer to {}", request.path))?
            }
        };
        let took = asked.elapsed();
        if took > seen.slowest.0 {
            seen.slowest = (took, request.path.clone());
        }
        *seen.statuses.entry(status).or_default() += 1;
        if let Err(wrong) = fuzz.look(&request.path, status, &content_type, &body) {
            seen.findings.push(format!("{wrong} for {} ({})", request.path, request.accept));
            if seen.findings.len() >= FINDINGS_MAX {
                break;
            }
        }
    }
    Ok(seen)
}

/// Status, media type and body.
async fn answer(client: &Client, address: &Url, accept: &str) -> reqwest::Result<(u16, String, Vec<u8>)> {
    let response = client.get(address.clone()).header(header::ACCEPT, accept).send().await?;
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    Ok((response.status().as_u16(), content_type, response.bytes().await?.to_vec()))
}
