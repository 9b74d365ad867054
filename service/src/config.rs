//! Typed settings from environment variables; one failed start names every mistake.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// A value that no log line may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must not be shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Every mistake in the environment, one a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot start, these settings are wrong or missing (see .env.example):\n{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Gives a variable's value by its name.
type Lookup = dyn Fn(&str) -> Option<String>;

/// Reads variables and remembers what was wrong with them.
///
/// A reader always returns a value, a stand-in where the variable is wrong; [`Vars::load`] throws the whole config away if there
/// was any mistake, so a stand-in is never used.
pub struct Vars {
    get: Box<Lookup>,
    problems: Vec<String>,
}

impl Vars {
    /// The process's environment.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Fixed values, for tests.
    #[must_use]
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        let map: HashMap<String, String> =
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::new(move |name| map.get(name).cloned())
    }

    fn new(get: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { get: Box::new(get), problems: Vec::new() }
    }

    /// Builds a config with `read`.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake that `read` met.
    pub fn load<C>(mut self, read: impl FnOnce(&mut Self) -> C) -> Result<C, ConfigError> {
        let config = read(&mut self);
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError(self.problems)) }
    }

    /// A variable with a default. `hint` says what is expected, with the unit: `"milliseconds, 1 or more"`.
    /// A variable that is set but empty counts as not set.
    pub fn read<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: T, hint: &str) -> T {
        match self.text(name) {
            None => default,
            Some(text) => text.trim().parse().unwrap_or_else(|error| {
                self.problem(name, format_args!("{error} (expected {hint})"));
                default
            }),
        }
    }

    /// A variable without a default; `None` where it is not set.
    pub fn read_optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, hint: &str) -> Option<T> {
        let text = self.text(name)?;
        text.trim().parse().map_err(|error| self.problem(name, format_args!("{error} (expected {hint})"))).ok()
    }

    /// A number with bounds, both included.
    pub fn read_within<T>(&mut self, name: &str, default: T, bounds: std::ops::RangeInclusive<T>, unit: &str) -> T
    where
        T: FromStr<Err: fmt::Display> + PartialOrd + fmt::Display + Copy,
    {
        let (low, high) = (*bounds.start(), *bounds.end());
        let value = self.read(name, default, &format!("{unit}, {low} to {high}"));
        if bounds.contains(&value) {
            return value;
        }
        self.problem(name, format_args!("{value} is out of range (expected {unit}, {low} to {high})"));
        default
    }

    /// A comma-separated list; blanks around items are dropped, empty items too.
    pub fn read_list<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: &str, hint: &str) -> Vec<T> {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let (good, bad): (Vec<_>, Vec<_>) =
            items.map(|item| item.parse().map_err(|error| (item.to_owned(), error))).partition(Result::is_ok);
        for (item, error) in bad.into_iter().filter_map(Result::err) {
            self.problem(name, format_args!("`{item}`: {error} (expected {hint})"));
        }
        good.into_iter().filter_map(Result::ok).collect()
    }

    /// `true`, `1`, `on`, `yes` or `false`, `0`, `off`, `no`.
    pub fn read_switch(&mut self, name: &str, default: bool) -> bool {
        let Some(text) = self.text(name) else { return default };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => true,
            "false" | "0" | "off" | "no" => false,
            other => {
                self.problem(name, format_args!("`{other}` is not a switch (expected true or false)"));
                default
            }
        }
    }

    /// A variable that must be set.
    pub fn require(&mut self, name: &str, hint: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.problem(name, format_args!("not set (expected {hint})"));
            String::new()
        })
    }

    /// A secret that must be set.
    pub fn require_secret(&mut self, name: &str, hint: &str) -> Secret {
        Secret::new(self.require(name, hint))
    }

    /// A secret that may be absent.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// Adds a mistake that only the caller can see, such as two settings that exclude each other. Must not show a secret.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        self.problems.push(format!("  {name}: {what}"));
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|text| !text.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_start_names_every_mistake() {
        let vars = Vars::from_pairs(&[("BATCH_SIZE", "many"), ("PORT", "0"), ("FLAG", "perhaps"), ("LIST", "1,x,3")]);
        let error = vars
            .load(|vars| {
                vars.read("BATCH_SIZE", 1_u32, "rows, 1 or more");
                vars.read_within("PORT", 5000_u16, 1..=65535, "port");
                vars.read_switch("FLAG", true);
                vars.read_list::<u32>("LIST", "", "numbers");
                vars.require_secret("KEY", "the key of your account");
            })
            .unwrap_err()
            .to_string();
        for part in ["BATCH_SIZE", "rows, 1 or more", "PORT: 0 is out of range", "FLAG", "LIST: `x`", "KEY: not set"] {
            assert!(error.contains(part), "{part} is missing in\n{error}");
        }
    }

    #[test]
    fn defaults_stand_where_nothing_is_set_and_empty_is_not_set() {
        let vars = Vars::from_pairs(&[("EMPTY", " ")]);
        let values =
            vars.load(|vars| (vars.read("EMPTY", 7, ""), vars.read_list::<String>("NAMES", "a, b,", ""))).unwrap();
        assert_eq!(values, (7, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("swordfish")), "(secret)");
    }
}
