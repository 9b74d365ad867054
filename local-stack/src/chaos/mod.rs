//! The cold path under fire: a plan from a seed says who is killed, frozen or out of disk space and when; meanwhile a simulated market
//! counts what it sends. In the end PostgreSQL must hold exactly that, and everybody must agree.
//!
//! The faults are real: `kill -9`, `SIGSTOP`, a full file system. Several parts are often broken at once, one part never twice.

mod disk;
mod plan;
mod scene;
mod verify;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep, sleep_until};

pub use plan::{Fault, Options, PARTS, Part, Step, plan};
use scene::{Scene, until};

/// How long everything may take to recover, and to store what is left. A test waits for facts, never for this.
const PATIENCE: Duration = Duration::from_secs(240);
/// The same under sabotage, where nothing is to be waited for.
const SABOTAGE_PATIENCE: Duration = Duration::from_secs(60);
/// A stretch of quiet at the end, with the market open, so that every outage is followed by a record that ends it.
const CALM: Duration = Duration::from_secs(3);

/// Breaks things as planned, then waits for everything to recover and compares.
///
/// # Errors
/// A sentence that says what was lost, doubled or left in trouble; the line before it names the seed.
pub async fn run(options: &Options, say: fn(&str)) -> Result<()> {
    let seed = options.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    say(&format!(
        "chaos: --seed {seed} --kills {} --seconds {} --rate {} --kafka-away {} --outage-max {} --mute {} --late-max {} --early-max {}{}",
        options.kills,
        options.seconds,
        options.rate,
        options.kafka_away,
        options.outage_max,
        options.mute,
        options.late_max,
        options.early_max,
        if options.sabotage { " --sabotage" } else { "" }
    ));
    let mut scene = Scene::start(options, seed).await?;
    if !scene.has_disks() {
        say("chaos: this user may not mount file systems, so no disk is ever full");
    }
    if options.sabotage {
        scene.sabotage().await?;
    }
    let steps = plan(options, seed);
    perform(&mut scene, &steps, say).await.with_context(|| format!("seed {seed}"))?;
    let patience = if options.sabotage { SABOTAGE_PATIENCE } else { PATIENCE };
    settle_and_compare(&scene, patience, say).await.with_context(|| format!("seed {seed}"))?;
    scene.stop().await;
    Ok(())
}

/// Begins and ends every fault in its time.
async fn perform(scene: &mut Scene, steps: &[Step], say: fn(&str)) -> Result<()> {
    let begins = steps.iter().map(|step| (step.at, true, *step));
    let ends = steps.iter().map(|step| (step.end(), false, *step));
    let mut moments: Vec<(Duration, bool, Step)> = begins.chain(ends).collect();
    moments.sort_by_key(|(at, begins, _)| (*at, *begins));
    let start = Instant::now();
    for (at, begins, Step { fault, lasts, .. }) in moments {
        sleep_until(start + at).await;
        if begins {
            say(&format!("{fault:?} for {:.1} s", lasts.as_secs_f64()));
            scene.begin(fault, lasts).await.with_context(|| format!("at the beginning of {fault:?}"))?;
        } else {
            scene.end(fault).await.with_context(|| format!("at the end of {fault:?}"))?;
        }
    }
    let kills = steps.iter().filter(|step| matches!(step.fault, Fault::Kill(_))).count();
    say(&format!(
        "{} faults are over, {kills} of them kills, after {:.0} s",
        steps.len(),
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

async fn settle_and_compare(scene: &Scene, patience: Duration, say: fn(&str)) -> Result<()> {
    scene.all_alive()?;
    // A fault of the feed may have begun later than planned, and lasts as long as it was asked to.
    let before = scene.sent().await?;
    until(patience, "the feed sends trades again", async || {
        ensure!(scene.sent().await? > before, "none since the last fault");
        Ok(())
    })
    .await?;
    scene.healthy(patience).await?;
    sleep(CALM).await;
    // Before the pause: a market that is open and sends nothing is a gap of its own, while the judge waits for what was stamped ahead.
    until(patience, "every gap is healed", async || {
        let gaps = verify::gaps(scene).await?;
        ensure!(gaps > 0, "no gap is stored, although the feed was away");
        Ok(())
    })
    .await?;
    scene.pause_market().await?;
    let made = scene.made().await?;
    until(patience, "every trade is stored", async || {
        let stored: i64 = scene
            .database()
            .await
            .query_one("SELECT count(*) FROM market_data_oltp.stock_trades_realtime", &[])
            .await?
            .get(0);
        ensure!(stored >= made, "{stored} of {made} trades are stored");
        verify::gaps(scene).await?;
        // What is stamped ahead of its time enters the market's own history when that time has come.
        let told: i64 = verify::sent(scene).await?.values().map(|sums| sums.trades).sum();
        ensure!(told >= made, "the market's history has {told} of {made} trades");
        Ok(())
    })
    .await?;
    let (trades, minutes) = verify::compare(&verify::sent(scene).await?, &verify::stored(scene).await?)?;
    ensure!(trades == made, "the simulator made {made} trades and its history has {trades}");
    verify::agree(scene).await?;
    scene.all_alive()?;
    let gaps = verify::gaps(scene).await?;
    say(&format!(
        "{trades} trades sent and stored, each once; sums equal in all {minutes} minutes; {gaps} gaps, all healed; no dead letters; the audit agrees"
    ));
    Ok(())
}
