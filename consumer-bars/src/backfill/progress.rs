//! How far it is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WIDTH: usize = 30;
const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Counts units and bars.
pub(crate) struct Progress {
    total: usize,
    before: usize,
    began: Instant,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    units: usize,
    bars: usize,
    new: u64,
    shown: Option<Instant>,
}

impl Progress {
    /// Of `total` units `before` were done in an earlier run.
    pub(crate) fn new(total: usize, before: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { total, before, began: Instant::now(), terminal, state: Mutex::default() }
    }

    /// One more unit of so many bars is stored.
    pub(crate) fn add(&self, bars: usize, new: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner); // only counts
        state.units += 1;
        state.bars += bars;
        state.new += new;
        let every = if self.terminal { TERMINAL_EVERY } else { LOG_EVERY };
        if state.shown.is_none_or(|shown| shown.elapsed() >= every) {
            state.shown = Some(Instant::now());
            self.show(&state, "");
        }
    }

    /// Shows how it ended.
    pub(crate) fn end(&self) {
        self.show(&self.state.lock().unwrap_or_else(PoisonError::into_inner), "\n");
    }

    fn show(&self, state: &State, end: &str) {
        let line = self.line(state, self.began.elapsed());
        if self.terminal {
            let mut err = std::io::stderr();
            let shown = write!(err, "\r\x1b[K{line}{end}").and_then(|()| err.flush());
            drop(shown); // a closed terminal is no reason to stop
        } else {
            tracing::info!("{line}");
        }
    }

    fn line(&self, state: &State, spent: Duration) -> String {
        let done = self.before + state.units;
        let share = if self.total == 0 { 1.0 } else { done as f64 / self.total as f64 };
        let full = done * WIDTH / self.total.max(1);
        let rate = state.bars as f64 / spent.as_secs_f64().max(0.001);
        let left = spent.mul_f64((self.total - done) as f64 / state.units.max(1) as f64);
        let bar = "█".repeat(full) + &"░".repeat(WIDTH.saturating_sub(full));
        let rest =
            if done == self.total { format!("in {} s", spent.as_secs()) } else { format!("{} s left", left.as_secs()) };
        format!("{bar} {:3.0} %  {} bars, {} of them new, {rate:.0}/s, {rest}", share * 100.0, state.bars, state.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let progress = Progress::new(10, 4);
        let state = State { units: 2, bars: 8_000, new: 5_000, shown: None };
        let line = progress.line(&state, Duration::from_secs(4));
        assert!(line.contains(" 60 %  8000 bars, 5000 of them new, 2000/s, 8 s left"), "{line}");
        assert_eq!(line.matches('█').count(), 18);
        let line = Progress::new(0, 0).line(&State::default(), Duration::ZERO);
        assert!(line.contains("100 %") && line.contains("in 0 s"), "{line}");
    }
}
