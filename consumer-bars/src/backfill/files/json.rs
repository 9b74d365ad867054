//! JSON lines (of Kafka, of the history API, of Alpaca) and JSON documents (of the history API, Alpaca and Massive).

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};

use anyhow::{Context as _, bail, ensure};
use market::{Position, Source, Symbol, Timeframe};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::delimited::symbol;
use super::draft::{Draft, Rows, Tapped};
use super::value::{self, Number, Spelling};
use super::when::{self, EpochUnit, When};

/// Longest line, and largest document, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// One object a line.
pub(super) fn lines(bytes: Tapped) -> Rows {
    let mut bytes = BufReader::new(bytes);
    let mut number = 0_u64;
    let mut next = move || -> anyhow::Result<Option<Draft>> {
        loop {
            let mut line = Vec::new();
            number += 1;
            let place = format!("line {number}");
            bytes.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).with_context(|| place.clone())?;
            if line.is_empty() {
                return Ok(None);
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let strict: Strict =
                serde_json::from_slice(&line).with_context(|| format!("{place}: not one JSON object"))?;
            return draft(strict.0, &Shared::default(), place.clone()).with_context(|| place).map(Some);
        }
    };
    Box::new(std::iter::from_fn(move || next().transpose()))
}

/// What a document says about all of its bars.
#[derive(Clone, Default)]
struct Shared {
    symbol: Option<Symbol>,
    timeframe: Option<Timeframe>,
}

/// A whole document.
///
/// # Errors
/// If it is too large, or has none of the known shapes.
pub(super) fn document(bytes: Tapped) -> anyhow::Result<Rows> {
    let mut text = Vec::new();
    bytes.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut text)?;
    ensure!(text.len() as u64 <= DOCUMENT_BYTES_MAX, "larger than 256 MiB; write one bar a line (.ndjson)");
    let Strict(value) = serde_json::from_slice(&text).context("not a JSON document")?;
    let mut groups: Vec<(Shared, Vec<Value>)> = Vec::new();
    match value {
        Value::Array(bars) => groups.push((Shared::default(), bars)),
        Value::Object(mut fields) => {
            ensure!(
                fields.get("adjusted") != Some(&Value::Bool(true)),
                "prices are adjusted for splits, but raw ones are stored; ask for adjusted=false"
            );
            let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
            let of_all = Shared {
                symbol: text("symbol").or(text("ticker")).map(|text| symbol(&text)).transpose()?,
                timeframe: text("timeframe").map(|text| text.parse()).transpose()?,
            };
            match fields.remove("bars").or_else(|| fields.remove("results")) {
                Some(Value::Array(bars)) => groups.push((of_all, bars)),
                Some(Value::Object(by_symbol)) => {
                    for (name, bars) in by_symbol {
                        let Value::Array(bars) = bars else { bail!("`bars` of `{name}` is not a list") };
                        groups.push((Shared { symbol: Some(symbol(&name)?), ..of_all.clone() }, bars));
                    }
                }
                _ => bail!("expected a list of bars, or an object with `bars` or `results`"),
            }
        }
        _ => bail!("expected a list of bars, or an object with `bars` or `results`"),
    }
    let bars = groups.into_iter().flat_map(|(shared, bars)| {
        let numbered = bars.into_iter().enumerate();
        numbered.map(move |(at, bar)| {
            let of = shared.symbol.map(|symbol| format!(" of {symbol}")).unwrap_or_default();
            let place = format!("bar {}{of}", at + 1);
            draft(bar, &shared, place.clone()).with_context(|| place)
        })
    });
    Ok(Box::new(bars))
}

fn draft(value: Value, shared: &Shared, place: String) -> anyhow::Result<Draft> {
    let Value::Object(fields) = value else { bail!("not a JSON object") };
    let fields = Fields(fields);
    // Alpaca's stream says with `T` what a message is.
    let kind = fields.text(&["T"]).ok().flatten().filter(|text| text.len() == 1);
    let by_kind = match kind.as_deref() {
        None => None,
        Some("b" | "u") => Some(Timeframe::MINUTE),
        Some("d") => Some(Timeframe::DAY),
        Some(other) => bail!("a message of type `{other}` is not a bar; leave only bars in the file"),
    };
    let named =
        fields.text(&["symbol", "ticker", "S", "sym"])?.or(if kind.is_none() { fields.text(&["T"])? } else { None });
    let optional = |names: &[&str]| fields.number(names).map(|number| number.map(|number| number.value));
    let needed = |names: &[&str]| fields.number(names)?.with_context(|| format!("field `{}` is missing", names[0]));
    let count = |name: &str| fields.whole(&[name]);
    let ours =
        fields.0.contains_key("timestamp") && fields.0.contains_key("final") && fields.0.contains_key("revision");
    let position = match (fields.0.get("epoch").and_then(Value::as_i64), count("seq")?) {
        (Some(epoch), Some(seq)) => Some(Position { epoch, seq }),
        (None, None) => None,
        _ => bail!("`epoch` and `seq` belong together"),
    };
    Ok(Draft {
        symbol: named.map(|text| symbol(&text)).transpose()?.or(shared.symbol),
        timeframe: match fields.text(&["timeframe"])? {
            Some(text) => {
                Some(text.parse().with_context(|| format!("field `timeframe`: `{text}` is not the length of a bar"))?)
            }
            None => by_kind.or(shared.timeframe),
        },
        source: fields.text(&["source"])?.map(|text| Source::new(&text)).transpose().context("field `source`")?,
        when: fields.when(ours)?,
        open: needed(&["open", "o"])?,
        high: needed(&["high", "h"])?,
        low: needed(&["low", "l"])?,
        close: needed(&["close", "c"])?,
        volume: needed(&["volume", "v"])?,
        trade_count: fields.whole(&["trade_count", "n", "transactions"])?,
        vwap: optional(&["vwap", "vw"])?,
        is_final: match fields.one(&["final"])? {
            None => true,
            Some(Value::Bool(value)) => *value,
            Some(other) => bail!("field `final`: `{other}` is neither true nor false"),
        },
        revision: fields.whole(&["revision"])?.map(u32::try_from).transpose().context("field `revision`")?,
        position,
        place,
    })
}

struct Fields(Map<String, Value>);

impl Fields {
    /// The field that has one of `names`; null is as good as absent.
    fn one(&self, names: &[&str]) -> anyhow::Result<Option<&Value>> {
        let mut found =
            names.iter().filter_map(|name| Some((name, self.0.get(*name).filter(|value| !value.is_null())?)));
        let first = found.next();
        if let (Some((one, _)), Some((two, _))) = (first, found.next()) {
            bail!("the fields `{one}` and `{two}` mean the same; remove one of them");
        }
        Ok(first.map(|(_, value)| value))
    }

    fn text(&self, names: &[&str]) -> anyhow::Result<Option<String>> {
        match self.one(names)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => bail!("field `{}`: `{other}` is not text", names[0]),
        }
    }

    fn number(&self, names: &[&str]) -> anyhow::Result<Option<Number>> {
        Ok(match self.one(names)? {
            None => None,
            Some(Value::Number(number)) => {
                let value = number.as_f64().with_context(|| format!("field `{}`", names[0]))?;
                Some(Number { value, spelling: Spelling::Point })
            }
            Some(Value::String(text)) => Some(value::number(text).with_context(|| format!("field `{}`", names[0]))?),
            Some(other) => bail!("field `{}`: `{other}` is not a number", names[0]),
        })
    }

    fn whole(&self, names: &[&str]) -> anyhow::Result<Option<u64>> {
        match self.one(names)? {
            None => Ok(None),
            Some(Value::Number(number)) => {
                value::count(&number.to_string()).with_context(|| format!("field `{}`", names[0])).map(Some)
            }
            Some(other) => bail!("field `{}`: `{other}` is not a whole number", names[0]),
        }
    }

    fn when(&self, ours: bool) -> anyhow::Result<When> {
        let value = self
            .one(&["timestamp", "t", "time", "datetime", "date", "window_start"])?
            .context("field `timestamp` is missing")?;
        let unit = ours.then_some(EpochUnit::Milliseconds);
        match value {
            Value::String(text) => when::parse(text, unit),
            Value::Number(number) => when::parse(&number.to_string(), unit),
            other => bail!("`{other}` is not a time"),
        }
        .context("field `timestamp`")
    }
}

/// A JSON value in which no object names a field twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut fields = Map::new();
                while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format!("the field `{name}` stands there twice")));
                    }
                    fields.insert(name, value);
                }
                Ok(Strict(Value::Object(fields)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
                let mut values = Vec::new();
                while let Some(Strict(value)) = list.next_element()? {
                    values.push(value);
                }
                Ok(Strict(Value::Array(values)))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict(Value::Null))
            }
        }

        deserializer.deserialize_any(Values)
    }
}
