//! Compares minute bars built from recorded trades with the recorded minute bars: `bar_agreement FOLDER`, by default the folder that
//! `TAPELINE_RECORDED_DAYS` names.

use std::path::PathBuf;

use anyhow::Context as _;
use feed_simulator::replay::agreement::{Agreement, measure};

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).or_else(|| std::env::var_os("TAPELINE_RECORDED_DAYS"));
    let folder = PathBuf::from(folder.context("name the folder of recorded days, or set TAPELINE_RECORDED_DAYS")?);
    let mut total = Agreement::default();
    for (file, agreement) in measure(&folder)? {
        println!("{:5} {}  {agreement}", file.symbol, file.date);
        total += agreement;
    }
    println!("all               {total}");
    Ok(())
}
