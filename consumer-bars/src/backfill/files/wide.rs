//! Tables with a group of columns for each symbol, as yfinance's data frames write them: a line of fields, a line of symbols, and a line
//! that names the index.

use std::collections::VecDeque;

use anyhow::{Context as _, ensure};
use csv::StringRecord;
use market::Symbol;

use super::delimited::{Input, line, next_record, simple, symbol};
use super::draft::{Draft, Rows};
use super::{value, when};

const FIELDS: [&str; 5] = ["Open", "High", "Low", "Close", "Volume"];

/// Where the five fields of each symbol are.
pub(super) struct Groups(Vec<(Symbol, [usize; 5])>);

/// Understands a header of three lines; `None` if the first line is none of those.
///
/// # Errors
/// If a symbol lacks a field, or has one twice.
pub(super) fn rows(reader: &mut Input, first: &StringRecord) -> anyhow::Result<Option<Groups>> {
    let corner = first.get(0).unwrap_or_default();
    let repeated = FIELDS.iter().any(|field| first.iter().filter(|name| name == field).count() > 1);
    if !(corner == "Price" || (corner.is_empty() && repeated)) {
        return Ok(None);
    }
    let (mut symbols, mut index) = (StringRecord::new(), StringRecord::new());
    let whole = next_record(reader, &mut symbols)? && next_record(reader, &mut index)?;
    let named = matches!(symbols.get(0), Some("Ticker" | "")) && matches!(index.get(0), Some("Date" | "Datetime"));
    ensure!(whole && named, "lines 1 to 3 look like a header of yfinance, but do not name `Ticker` and `Date`");
    let mut groups: Vec<(Symbol, [Option<usize>; 5])> = Vec::new();
    for (at, (field, name)) in first.iter().zip(&symbols).enumerate().skip(1) {
        let Some(place) = FIELDS.iter().position(|known| *known == field) else { continue };
        let symbol = symbol(name).context("line 2")?;
        let known = groups.iter().position(|(known, _)| *known == symbol);
        let group = known.unwrap_or_else(|| {
            groups.push((symbol, [None; 5]));
            groups.len() - 1
        });
        ensure!(groups[group].1[place].replace(at).is_none(), "line 1: `{field}` of {symbol} stands there twice");
    }
    let complete = groups.into_iter().map(|(symbol, group)| {
        let missing = FIELDS.iter().zip(group).find(|(_, at)| at.is_none());
        ensure!(missing.is_none(), "line 1: {symbol} has no column `{}`", missing.map_or("", |(field, _)| field));
        Ok((symbol, group.map(Option::unwrap_or_default)))
    });
    Ok(Some(Groups(complete.collect::<anyhow::Result<_>>()?)))
}

impl Groups {
    /// The bars of the lines that follow.
    pub(super) fn over(self, reader: Input) -> Rows {
        Box::new(Wide { groups: self.0, reader, ready: VecDeque::new() })
    }
}

struct Wide {
    groups: Vec<(Symbol, [usize; 5])>,
    reader: Input,
    ready: VecDeque<Draft>,
}

impl Wide {
    fn bars(&self, record: &StringRecord) -> anyhow::Result<VecDeque<Draft>> {
        let field = |at: usize| record.get(at).unwrap_or_default().trim();
        let when = when::parse(field(0), None).context("field `Date`")?;
        let mut bars = VecDeque::new();
        for (symbol, group) in &self.groups {
            // Where a symbol did not trade, its fields are empty.
            if group.iter().all(|at| field(*at).is_empty()) {
                continue;
            }
            let mut numbers = Vec::with_capacity(group.len());
            for (at, name) in group.iter().zip(FIELDS) {
                numbers.push(value::number(field(*at)).with_context(|| format!("field `{name}` of {symbol}"))?);
            }
            let numbers = numbers.try_into().ok().context("five numbers")?;
            bars.push_back(simple(format!("line {}", line(record)), Some(*symbol), when, numbers));
        }
        Ok(bars)
    }
}

impl Iterator for Wide {
    type Item = anyhow::Result<Draft>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = StringRecord::new();
        while self.ready.is_empty() {
            match next_record(&mut self.reader, &mut record) {
                Ok(false) => return None,
                Ok(true) => match self.bars(&record).with_context(|| format!("line {}", line(&record))) {
                    Ok(bars) => self.ready = bars,
                    Err(error) => return Some(Err(error)),
                },
                Err(error) => return Some(Err(error)),
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
