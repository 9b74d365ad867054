//! The list of a crate's metrics: what `/metrics` says of each, and which series are there before anything has happened.
//!
//! A counter that appears with its first event hides that event from `increase()`, so every series with known labels starts at 0.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, histogram};

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// A value of now, in the unit that its name ends with.
    Gauge,
    /// Samples, in the unit that its name ends with.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As in `/metrics`.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// One sentence for `# HELP`: what is counted or measured.
    pub help: &'static str,
    /// Which of its series exist before anything has happened.
    pub series: Series,
}

/// The series of a metric that exist from the start.
#[derive(Clone, Copy, Debug)]
pub enum Series {
    /// One, without a label.
    One,
    /// One for each value of a label.
    Each(&'static str, &'static [&'static str]),
    /// None: their labels come from outside, such as a feed's error codes.
    Later,
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help, series: Series::One }
    }

    /// A gauge. It appears when it is first set: a 0 that nobody measured would be a claim.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help, series: Series::One }
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, help, series: Series::One }
    }

    /// The same with one series for each value of a label.
    #[must_use]
    pub const fn each(self, label: &'static str, values: &'static [&'static str]) -> Self {
        Self { series: Series::Each(label, values), ..self }
    }

    /// The same with labels that come from outside.
    #[must_use]
    pub const fn later(self) -> Self {
        Self { series: Series::Later, ..self }
    }
}

/// Tells the recorder of every metric of a list, and starts their series.
pub fn declare(list: &[Metric]) {
    for &Metric { name, kind, help, series } in list {
        match kind {
            Kind::Counter => describe_counter!(name, help),
            Kind::Gauge => describe_gauge!(name, help),
            Kind::Histogram => describe_histogram!(name, help),
        }
        match (kind, series) {
            (Kind::Counter, Series::One) => counter!(name).increment(0),
            (Kind::Counter, Series::Each(label, values)) => {
                values.iter().for_each(|value| counter!(name, label => *value).increment(0));
            }
            (Kind::Histogram, Series::One) => drop(histogram!(name)),
            (Kind::Histogram, Series::Each(label, values)) => {
                values.iter().for_each(|value| drop(histogram!(name, label => *value)));
            }
            (Kind::Gauge, _) | (_, Series::Later) => {}
        }
    }
}
