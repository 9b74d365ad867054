//! What was measured, as a table for people and as JSON for comparison.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

/// Figures in the order in which they were taken.
pub(crate) struct Report {
    figures: Vec<Value>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { figures: Vec::new() }
    }

    /// Adds a figure and prints it. `goal` is text from the design, or empty.
    pub(crate) fn add(&mut self, section: &str, what: &str, value: f64, unit: &str, goal: &str) {
        let shown = match value {
            value if value.abs() < 0.0005 => "0".to_owned(), // a difference within the noise has no sign
            value if value >= 1000.0 => format!("{value:.0}"),
            value if value >= 10.0 => format!("{value:.1}"),
            value => format!("{value:.3}"),
        };
        let goal_shown = if goal.is_empty() { String::new() } else { format!("   (goal {goal})") };
        println!("  {what:<62} {shown:>12} {unit}{goal_shown}");
        self.figures.push(json!({"section": section, "what": what, "value": value, "unit": unit, "goal": goal}));
    }

    /// Writes `bench/results/<time>.json`.
    pub(crate) fn finish(self) -> Result<()> {
        let time = jiff::Timestamp::now();
        let report = json!({
            "time": time.to_string(),
            "machine": machine(),
            "command": std::env::args().collect::<Vec<_>>().join(" "),
            "figures": self.figures,
        });
        let folder = Path::new("bench/results");
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.json", time.strftime("%Y%m%dT%H%M%SZ")));
        fs::write(&file, serde_json::to_string_pretty(&report)?)?;
        println!("\n{}\nwritten to {}", machine(), file.display());
        Ok(())
    }
}

/// Processor, cores and memory.
fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    format!("{}, {cores} cores, memory {}", field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"))
}

/// The middle value; of an even number, the lower of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    percentile(&mut values, 50.0)
}

/// The value that `percent` of the values do not pass.
pub(crate) fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return f64::NAN;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = ((values.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, values.len()) - 1;
    values[index]
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}
