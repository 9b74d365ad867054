//! Which column is what, by its name.

use std::collections::HashMap;

use anyhow::{bail, ensure};

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Field {
    /// The start of the bar.
    Time,
    /// The day alone, if another column has the time of day.
    Date,
    /// The time of day.
    TimeOfDay,
    Symbol,
    Timeframe,
    Source,
    Open,
    High,
    Low,
    Close,
    Volume,
    TradeCount,
    Vwap,
    Final,
    Revision,
}

/// Positions of the columns that are understood.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    at: HashMap<Field, usize>,
    /// Names of the columns that are not used.
    pub(super) unused: Vec<String>,
    /// Written by this project: times are Unix milliseconds.
    pub(super) ours: bool,
    /// Written by Stooq, which puts the country behind a symbol.
    pub(super) stooq: bool,
}

impl Columns {
    pub(super) fn at(&self, field: Field) -> Option<usize> {
        self.at.get(&field).copied()
    }
}

/// What a field is called here and elsewhere: upper and lower case, blanks, `_` and `-` make no difference.
fn field(name: &str) -> Option<Field> {
    Some(match name {
        "timestamp" | "datetime" | "time" | "date" | "t" | "windowstart" => Field::Time,
        "symbol" | "ticker" | "sym" | "s" => Field::Symbol,
        "timeframe" | "per" => Field::Timeframe,
        "source" => Field::Source,
        "open" | "o" => Field::Open,
        "high" | "h" => Field::High,
        "low" | "l" => Field::Low,
        "close" | "c" => Field::Close,
        "volume" | "vol" | "v" => Field::Volume,
        "tradecount" | "transactions" | "n" => Field::TradeCount,
        "vwap" | "vw" => Field::Vwap,
        "final" => Field::Final,
        "revision" => Field::Revision,
        _ => return None,
    })
}

/// The name without what writers of files vary.
fn plain(name: &str) -> String {
    let name = name.trim().trim_start_matches('<').trim_end_matches('>');
    name.chars().filter(|one| !matches!(one, ' ' | '_' | '-')).collect::<String>().to_ascii_lowercase()
}

/// Understands a header.
///
/// # Errors
/// If a column is missing, or two claim to be the same.
pub(super) fn columns(names: &[&str]) -> anyhow::Result<Columns> {
    let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let day_and_time = plain.iter().any(|name| name == "date") && plain.iter().any(|name| name == "time");
    let mut at: HashMap<Field, usize> = HashMap::new();
    let (mut unused, mut seen) = (Vec::new(), HashMap::new());
    for (position, name) in names.iter().enumerate() {
        let known = match plain[position].as_str() {
            "date" if day_and_time => Some(Field::Date),
            "time" if day_and_time => Some(Field::TimeOfDay),
            other => field(other),
        };
        if !name.trim().is_empty() && seen.insert(name.trim(), position).is_some() {
            bail!("the header names the column `{}` twice; remove one of them", name.trim());
        }
        match known {
            None => unused.push(if name.trim().is_empty() { "(no name)".to_owned() } else { name.trim().to_owned() }),
            Some(field) => {
                if let Some(other) = at.insert(field, position) {
                    let (one, two) = (names[other].trim(), name.trim());
                    bail!("the columns `{one}` and `{two}` would both be the bar's {field:?}; remove one of them");
                }
            }
        }
    }
    let dated = at.contains_key(&Field::Date);
    ensure!(
        !(dated && at.contains_key(&Field::Time)),
        "a column beside `date` and `time` holds a time too; remove one"
    );
    let needed = [
        (Field::Open, "open"),
        (Field::High, "high"),
        (Field::Low, "low"),
        (Field::Close, "close"),
        (Field::Volume, "volume"),
    ];
    let time = (!dated && !at.contains_key(&Field::Time)).then_some("timestamp (or date)");
    let missing: Vec<&str> = time
        .into_iter()
        .chain(needed.iter().filter(|(field, _)| !at.contains_key(field)).map(|(_, name)| *name))
        .collect();
    if !missing.is_empty() {
        let shown: String = names.join(",").chars().take(200).collect();
        bail!("the first line must name the columns, and has none named {}; it is: {shown}", missing.join(", "));
    }
    let ours = plain.iter().any(|name| name == "timestamp")
        && at.contains_key(&Field::Final)
        && at.contains_key(&Field::Revision);
    let stooq = names.iter().any(|name| name.trim().eq_ignore_ascii_case("<ticker>"));
    Ok(Columns { at, unused, ours, stooq })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let found = columns(&["Volume", "close", " LOW ", "High", "Open", "Adj Close", "Date", "Ticker"]).unwrap();
        let fields = [Field::Volume, Field::Close, Field::Low, Field::High, Field::Open, Field::Time, Field::Symbol];
        assert_eq!(fields.map(|field| found.at(field)), [0, 1, 2, 3, 4, 6, 7].map(Some));
        assert_eq!(found.unused, ["Adj Close"]);
    }

    #[test]
    fn two_columns_for_one_thing_are_rejected() {
        let whole = ["date", "open", "high", "low", "close", "volume"];
        for extra in ["close", "Close", "vol", "timestamp", "datetime"] {
            let names: Vec<&str> = whole.iter().copied().chain([extra]).collect();
            assert!(columns(&names).is_err(), "{extra}");
        }
        let twice: Vec<&str> = whole.iter().copied().chain(["name", "name"]).collect();
        assert!(columns(&twice).unwrap_err().to_string().contains("twice"));
        for missing in 0..whole.len() {
            let names: Vec<&str> =
                whole.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, name)| *name).collect();
            let error = columns(&names).unwrap_err().to_string();
            assert!(error.contains(whole[missing]), "{error}");
        }
    }
}
