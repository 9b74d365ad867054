//! `local-stack demo`: everything at once, for people.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::folder::Lock;
use crate::infra::Plan;
use crate::past;
use crate::process::{self, Group, Process};
use crate::run::STOP_MAX;
use crate::stack::{Feed, Stack};
use crate::stop;

/// What to start, and what to do then.
pub struct Demo {
    /// The servers.
    pub plan: Plan,
    /// What the simulator plays.
    pub feed: Feed,
    /// Runs as long as this command; without one, until Ctrl-C.
    pub command: Vec<String>,
}

/// Starts everything, tells where it is, and stops it when asked or when the command has ended.
///
/// # Errors
/// A part does not start; the message says what to do.
pub async fn run(demo: Demo) -> Result<ExitCode> {
    let Demo { plan, feed, command } = demo;
    let say = plan.say;
    process::adopt_strays();
    // A service beside the folder of an earlier, still running demo would spoil both.
    let _lock = plan.folder.as_deref().map(Lock::take).transpose()?;
    let begin = Instant::now();
    let mut stack = tokio::select! {
        started = Stack::start(&plan, &feed) => started?,
        () = stop::requested() => {
            say("stopped before everything was up");
            process::end_strays();
            return Ok(ExitCode::from(130));
        }
    };
    say(&format!("everything is up after {:.1} s", begin.elapsed().as_secs_f64()));
    if feed.is_simulated() {
        let past = tokio::spawn(past::fill(stack.ports().api, stack.logs().to_path_buf(), stack.env(), say));
        // Behind the live path. Only a command waits for it: it is to find everything there.
        if !command.is_empty() {
            past.await?;
        }
    }
    let code = if command.is_empty() {
        println!("{}", welcome(&mut stack, &feed, plan.folder.as_ref()));
        tokio::select! {
            () = stack.keep(say) => {}
            () = stop::requested() => {}
        }
        ExitCode::SUCCESS
    } else {
        accompany(&mut stack, &command, say).await?
    };
    let begin = Instant::now();
    say("stopping: feed, producer, consumers, gateway and API, servers");
    // A second Ctrl-C does not wait any longer.
    tokio::select! {
        () = stack.stop(say) => say(&format!("everything is stopped after {:.1} s", begin.elapsed().as_secs_f64())),
        () = stop::requested() => say("killed the rest"),
    }
    process::end_strays();
    Ok(code)
}

/// Runs `command` with the variables that name everything; its exit code is ours.
async fn accompany(stack: &mut Stack, command: &[String], say: fn(&str)) -> Result<ExitCode> {
    let (program, args) = command.split_first().context("no command given")?;
    let mut child = std::process::Command::new(program);
    child.args(args).envs(stack.env());
    let child = Process::spawn(child, Signal::SIGTERM, Group::Ours).with_context(|| format!("cannot run {program}"))?;
    let status = tokio::select! {
        status = child.wait() => status,
        () = stop::requested() => child.stop(Signal::SIGTERM, STOP_MAX).await,
        () = stack.keep(say) => child.kill().await,
    };
    Ok(crate::run::exit_code(status))
}

/// What a newcomer can do now.
fn welcome(stack: &mut Stack, feed: &Feed, folder: Option<&PathBuf>) -> String {
    let ports = stack.ports();
    let logs = stack.logs().display().to_string();
    let infra = stack.infra();
    let var = |name: &str| infra.var(name).to_owned();
    let kept = match (infra.forgets(), folder) {
        (true, _) => "PostgreSQL's data stay; Kafka's are gone at the end (mock broker)".to_owned(),
        (false, Some(folder)) => format!("in {}: the next start finds them again", folder.display()),
        (false, None) => "temporary: gone at the end".to_owned(),
    };
    let bars = match feed.options.iter().any(|option| option == "--replay") {
        true => "latest?timeframe=1Min".to_owned(),
        false => format!("{}?limit=3", first_symbol(feed)),
    };
    let (host, port, user, database) =
        (var("POSTGRES_HOST"), var("POSTGRES_PORT"), var("POSTGRES_USER"), var("POSTGRES_DB"));
    format!(
        "
  dashboard     http://localhost:{gateway}
  history API   http://localhost:{api}/docs
  simulator     http://localhost:{simulator}/control/stats
  Kafka         {kafka}
  Redis         {redis_host}:{redis_port}
  logs          {logs}
  data          {kept}

Try:
  curl 'http://localhost:{api}/bars/{bars}'
  psql -h {host} -p {port} -U {user} -d {database} -c 'SELECT count(*) FROM market_data_oltp.stock_trades_realtime'
  redis-cli -h {redis_host} -p {redis_port} SUBSCRIBE stock:trades:pubsub

Ctrl-C stops everything.
",
        gateway = ports.gateway,
        api = ports.api,
        simulator = ports.simulator,
        kafka = var("KAFKA_BOOTSTRAP_SERVERS"),
        redis_host = var("REDIS_HOST"),
        redis_port = var("REDIS_PORT"),
    )
}

/// A symbol that will have bars: the first one asked for, else the simulator's busiest.
fn first_symbol(feed: &Feed) -> String {
    let chosen = feed.options.iter().skip_while(|option| *option != "--symbols").nth(1);
    let first = chosen.and_then(|list| list.split(',').next()).map(str::trim);
    first.filter(|symbol| !symbol.starts_with('*') && !symbol.is_empty()).unwrap_or("AAPL").to_owned()
}
