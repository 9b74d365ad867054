//! The server's side of the conversation: welcome, errors, and what is subscribed.

use std::collections::HashSet;

use market::Symbol;
use serde::Deserialize;
use serde::de::Deserializer;

use crate::feeds::event::Skip;
use crate::feeds::raw::Raw;

/// Part of the conversation rather than of the market.
#[derive(Debug, PartialEq)]
pub enum Control {
    /// `connected`, `authenticated`, or something newer.
    Success(String),
    /// An error; a missing or mistyped code is `None`.
    Error {
        /// Number from Alpaca's table.
        code: Option<i64>,
        /// Alpaca's own words.
        message: String,
    },
    /// The whole set of subscriptions as the server sees it now.
    Subscription(Box<Subscriptions>),
}

/// The server's idea of what is subscribed; a missing list is empty.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Subscriptions {
    /// Symbols, or `*`.
    #[serde(deserialize_with = "null_is_empty")]
    pub trades: Vec<String>,
    /// Symbols, or `*`.
    #[serde(deserialize_with = "null_is_empty")]
    pub quotes: Vec<String>,
    /// Symbols, or `*`.
    #[serde(deserialize_with = "null_is_empty")]
    pub bars: Vec<String>,
    /// Symbols, or `*`.
    #[serde(rename = "updatedBars", deserialize_with = "null_is_empty")]
    pub updated_bars: Vec<String>,
    /// Symbols, or `*`.
    #[serde(rename = "dailyBars", deserialize_with = "null_is_empty")]
    pub daily_bars: Vec<String>,
}

/// What an acknowledgement says is carried.
pub(super) struct Carried<'a> {
    names: HashSet<&'a str>,
    /// It says nothing about the channels that were asked for.
    silent: bool,
}

impl<'a> Carried<'a> {
    /// `channels`: those that were asked for.
    pub(super) fn new(set: &'a Subscriptions, channels: &[String]) -> Self {
        let list = |channel: &String| match channel.as_str() {
            "trades" => Some(&set.trades),
            "quotes" => Some(&set.quotes),
            "bars" => Some(&set.bars),
            "updatedBars" => Some(&set.updated_bars),
            "dailyBars" => Some(&set.daily_bars),
            _ => None,
        };
        let mut lists = channels.iter().filter_map(list).peekable();
        let silent = lists.peek().is_none();
        Self { names: lists.flatten().map(String::as_str).collect(), silent }
    }

    /// Whether it names the symbol in any of them.
    pub(super) fn has(&self, symbol: &Symbol) -> bool {
        self.silent || self.names.contains("*") || self.names.contains(symbol.as_str())
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads an element of type `kind`, which is `success`, `error` or `subscription`.
pub(super) fn decode<'a>(raw: impl Raw<'a>, kind: &str) -> Result<Control, Skip> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        code: serde_json::Value,
        #[serde(default)]
        msg: serde_json::Value,
    }
    if kind == "subscription" {
        return raw.parse().map(Control::Subscription);
    }
    let wire: Wire = raw.parse()?;
    let message = wire.msg.as_str().unwrap_or_default().to_owned();
    Ok(match kind {
        "success" => Control::Success(message),
        _ => Control::Error { code: wire.code.as_i64(), message },
    })
}
