//! What the producer's runs report to have sent, added up. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use market::{Sent, SentReport};

use super::{MINUTE_NS, Minute};

/// A run that still goes on reports every five seconds; one that has been silent for this long was killed, or cannot reach Kafka.
const SILENT_MS: i64 = 60_000;

/// Reports as they are read, in any order and any number of times.
#[derive(Debug, Default)]
pub(crate) struct Reports(BTreeMap<i64, BTreeMap<u64, BTreeMap<u32, SentReport>>>);

impl Reports {
    /// Adds one part of a report. Of two versions the one that counts more stays: a run that was killed while its disk was full leaves less in its
    /// files than it had sent.
    pub(crate) fn add(&mut self, report: SentReport) {
        let parts = self.0.entry(report.epoch).or_default().entry(report.report).or_default();
        let count = |report: &SentReport| -> u64 {
            report.trades.values().flat_map(BTreeMap::values).map(|sent| sent.count).sum()
        };
        match parts.entry(report.part) {
            Entry::Occupied(mut known) if count(&report) > count(known.get()) => drop(known.insert(report)),
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => drop(place.insert(report)),
        }
    }

    /// What each run sent, by epoch.
    pub(crate) fn runs(self) -> Runs {
        Runs(self.0.into_iter().map(|(epoch, reports)| (epoch, Run::of(reports))).collect())
    }
}

/// All runs, by epoch.
#[derive(Debug, Default)]
pub(crate) struct Runs(BTreeMap<i64, Run>);

/// One run of the producer.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Numbered trades by symbol and minute.
    pub(crate) cells: BTreeMap<Minute, Sent>,
    /// First and last number that is counted, by symbol.
    pub(crate) numbers: HashMap<String, (u64, u64)>,
    closed: bool,
    /// When it reported last, Unix milliseconds.
    at_ms: i64,
    /// The first report that is missing although later ones are there.
    hole: Option<u64>,
}

impl Run {
    fn of(reports: BTreeMap<u64, BTreeMap<u32, SentReport>>) -> Self {
        let mut run = Self::default();
        let newest = reports.last_key_value().map(|(number, _)| *number);
        let first = reports.first_key_value().map_or(1, |(number, _)| *number);
        for (expected, (number, parts)) in (first..).zip(reports) {
            let whole = parts.values().next().is_some_and(|part| parts.len() == part.parts as usize);
            let counted = parts.values().all(|part| part.uncounted == 0) && run.goes_on_with(parts.values());
            if number != expected || !whole || !counted {
                // The newest one may be on its way; behind any other nothing can be added up.
                run.hole = (number != expected || !counted || newest != Some(number)).then_some(expected);
                break;
            }
            for part in parts.into_values() {
                run.at_ms = run.at_ms.max(part.at);
                run.closed |= part.last;
                run.add(part);
            }
        }
        run
    }

    /// Whether the numbers of each symbol go on where they ended, without a step: a ledger that could not be written has one.
    fn goes_on_with<'a>(&self, parts: impl Iterator<Item = &'a SentReport>) -> bool {
        parts.flat_map(|part| &part.trades).all(|(symbol, minutes)| {
            let (mut count, mut first, mut last) = (0, u64::MAX, 0);
            for sent in minutes.values() {
                (count, first, last) = (count + sent.count, first.min(sent.first), last.max(sent.last));
            }
            let expected = self.numbers.get(symbol).map_or(first, |(_, last)| last + 1);
            first == expected && last.saturating_sub(first) + 1 == count
        })
    }

    fn add(&mut self, part: SentReport) {
        for (symbol, minutes) in part.trades {
            for (minute, sent) in minutes {
                let known = self.numbers.entry(symbol.clone()).or_insert((sent.first, sent.last));
                *known = (known.0.min(sent.first), known.1.max(sent.last));
                let minute = (symbol.clone(), minute.saturating_mul(MINUTE_NS));
                self.cells.entry(minute).and_modify(|known| known.add(sent)).or_insert(sent);
            }
        }
    }
}

impl Runs {
    /// The run of this epoch.
    pub(crate) fn get(&self, epoch: i64) -> Option<&Run> {
        self.0.get(&epoch)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&i64, &Run)> {
        self.0.iter()
    }

    /// What the producer could not be asked, in sentences: only its ledger knows what it sent last.
    pub(crate) fn not_asked(&self, now_ms: i64) -> Vec<String> {
        let moment =
            |ms: i64| jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string());
        let mut sentences = Vec::new();
        for (epoch, run) in &self.0 {
            if let Some(report) = run.hole {
                sentences.push(format!("report {report} of the producer's run {epoch} is missing, so what it sent from then on cannot be added up"));
            }
        }
        if let Some((epoch, run)) = self.0.last_key_value()
            && !run.closed
            && now_ms.saturating_sub(run.at_ms) > SILENT_MS
        {
            sentences.push(format!(
                "the producer's run {epoch} was not closed and has not reported since {}: what it sent after that is known only to its ledger; start it with the same SPOOL_DIR, then audit again",
                moment(run.at_ms)
            ));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(number: u64, (part, parts): (u32, u32), first: u64) -> SentReport {
        let sent = Sent { count: 2, millionths: 5, first, last: first + 1 };
        let trades = [(format!("S{part}"), [(1, sent)].into())].into();
        SentReport { epoch: 7, report: number, part, parts, at: 1_000, trades, ..SentReport::default() }
    }

    fn run(reports: impl IntoIterator<Item = SentReport>) -> Runs {
        let mut all = Reports::default();
        reports.into_iter().for_each(|report| all.add(report));
        all.runs()
    }

    proptest! {
        #[test]
        fn reports_add_up_once_in_any_order_and_repeated(order in prop::collection::vec(0_usize..8, 8..40)) {
            let all: Vec<_> = (0..4).flat_map(|at| [(0, 2), (1, 2)].map(|part| report(at + 1, part, at * 2 + 1))).collect();
            let runs = run(order.into_iter().chain(0..8).map(|at| all[at].clone()));
            let whole = runs.get(7).unwrap();
            prop_assert_eq!(whole.cells[&("S1".to_owned(), MINUTE_NS)], Sent { count: 8, millionths: 20, first: 1, last: 8 });
            prop_assert_eq!(whole.numbers["S0"], (1, 8));
        }
    }

    #[test]
    fn a_missing_report_ends_the_sum_and_the_newest_one_may_be_on_its_way() {
        let on_its_way = run([report(1, (0, 1), 1), report(2, (0, 2), 3)]);
        assert_eq!((on_its_way.get(7).unwrap().numbers["S0"], on_its_way.not_asked(1_000)), ((1, 2), vec![]));
        let missing = run([report(1, (0, 1), 1), report(3, (0, 1), 5)]);
        assert_eq!(missing.get(7).unwrap().numbers["S0"], (1, 2));
        assert!(missing.not_asked(1_000)[0].contains("report 2 of the producer's run 7 is missing"));
        let uncounted = run([SentReport { uncounted: 1, ..report(1, (0, 1), 1) }, report(2, (0, 1), 3)]);
        assert!(uncounted.get(7).unwrap().cells.is_empty() && !uncounted.not_asked(1_000).is_empty());
        let torn = SentReport { last: true, trades: BTreeMap::new(), ..report(2, (0, 1), 3) };
        for both in [[torn.clone(), report(2, (0, 1), 3)], [report(2, (0, 1), 3), torn]] {
            let runs = run([report(1, (0, 1), 1)].into_iter().chain(both));
            assert_eq!((runs.get(7).unwrap().numbers["S0"], runs.not_asked(1_000)), ((1, 4), vec![]));
        }
        for (first, count) in [(4, 2), (2, 2), (3, 1)] {
            let mut step = report(2, (0, 1), first);
            if let Some(sent) = step.trades.get_mut("S0").and_then(|minutes| minutes.get_mut(&1)) {
                sent.count = count;
            }
            let stepped = run([report(1, (0, 1), 1), step, report(3, (0, 1), 5)]);
            assert_eq!(stepped.get(7).unwrap().numbers["S0"], (1, 2), "{first} {count}");
            assert!(stepped.not_asked(1_000)[0].contains("report 2"), "a number is in no report or in two");
        }
        let forgotten = run([report(8, (0, 1), 15), report(9, (0, 1), 17)]);
        assert_eq!(
            (forgotten.get(7).unwrap().numbers["S0"], forgotten.not_asked(1_000)),
            ((15, 18), vec![]),
            "Kafka forgets"
        );
    }

    #[test]
    fn a_run_that_was_not_closed_and_is_silent_could_not_be_asked() {
        let silent = 1_000 + SILENT_MS + 1;
        let open = || report(1, (0, 1), 1);
        assert!(run([open()]).not_asked(silent)[0].contains("run 7 was not closed"));
        assert_eq!(run([open()]).not_asked(1_000 + SILENT_MS), Vec::<String>::new());
        assert_eq!(run([SentReport { last: true, ..open() }]).not_asked(silent), Vec::<String>::new());
        let later = SentReport { epoch: 8, last: true, ..open() };
        assert_eq!(
            run([open(), later]).not_asked(silent),
            Vec::<String>::new(),
            "another run has taken over, and the gap between both is declared"
        );
    }
}
