//! Typed settings from environment variables; one failed start names every mistake.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::dotenv::DotEnv;
use crate::{address, reference};

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

/// Gives a variable's value by its name, or what is wrong with the value.
type Lookup = dyn Fn(&str) -> Option<Result<String, &'static str>>;

/// One variable that a program reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What is expected, with the unit.
    pub hint: String,
    /// Whether its value must not be shown. Such a variable can also be given as a file: `NAME_FILE`.
    pub secret: bool,
}

/// Reads variables and remembers what was wrong with them.
///
/// A reader always returns a value, a stand-in if the variable is wrong; [`Vars::load`] throws the whole config away if there
/// was any mistake, so a stand-in is never used.
pub struct Vars {
    get: Box<Lookup>,
    problems: Vec<String>,
    read: Vec<Setting>,
}

impl Vars {
    /// The process's environment, and below it the variables of a `.env` file.
    #[must_use]
    pub fn from_env(file: DotEnv) -> Self {
        Self::new(move |name| match std::env::var_os(name) {
            Some(value) => Some(value.into_string().map_err(|_| "is not valid UTF-8")),
            None => file.entries.get(name).map(|entry| Ok(entry.value.clone())),
        })
    }

    /// Fixed values, for tests.
    #[must_use]
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        let map: HashMap<String, String> =
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::new(move |name| map.get(name).cloned().map(Ok))
    }

    fn new(get: impl Fn(&str) -> Option<Result<String, &'static str>> + 'static) -> Self {
        Self { get: Box::new(get), problems: Vec::new(), read: Vec::new() }
    }

    /// Builds a config with `read`.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake that `read` met.
    pub fn load<C>(mut self, read: impl FnOnce(&mut Self) -> C) -> Result<C, ConfigError> {
        let config = read(&mut self);
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError(self.problems)) }
    }

    /// The variables that `read` asks for when all feeds are in use, in its order, each once.
    #[must_use]
    pub fn settings<C>(read: impl FnOnce(&mut Self) -> C) -> Vec<Setting> {
        let mut vars = Self::from_pairs(&[("FEED", "alpaca,finnhub,massive")]);
        read(&mut vars);
        let mut settings: Vec<Setting> = Vec::new();
        for setting in vars.read {
            if settings.iter().all(|known| known.name != setting.name) {
                settings.push(setting);
            }
        }
        settings
    }

    /// A variable with a default. `hint` says what is expected, with the unit: `"milliseconds, 1 or more"`.
    /// A variable that is set but empty counts as not set.
    pub fn read<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: T, hint: &str) -> T {
        self.read_optional(name, hint).unwrap_or(default)
    }

    /// A variable without a default; `None` if it is not set.
    pub fn read_optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, hint: &str) -> Option<T> {
        self.parse(name, hint, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A variable that `parse` reads; `None` if it is not set or wrong.
    pub fn parse<T>(&mut self, name: &str, hint: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name, hint)?;
        parse(text.trim()).map_err(|error| self.invalid(name, &text, error, hint)).ok()
    }

    /// A number with bounds, both included.
    pub fn read_within<T>(&mut self, name: &str, default: T, bounds: std::ops::RangeInclusive<T>, unit: &str) -> T
    where
        T: FromStr<Err: fmt::Display> + PartialOrd + fmt::Display + Copy,
    {
        let hint = format!("{unit}, {} to {}", bounds.start(), bounds.end());
        let parse = |text: &str| match text.parse() {
            Ok(value) if bounds.contains(&value) => Ok(value),
            Ok(_) => Err("is out of range".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        self.parse(name, &hint, parse).unwrap_or(default)
    }

    /// A comma-separated list; blanks around items are dropped, empty items too.
    pub fn read_list<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: &str, hint: &str) -> Vec<T> {
        let text = self.text(name, hint).unwrap_or_else(|| default.to_owned());
        let mut good = Vec::new();
        for item in items(&text) {
            match item.parse() {
                Ok(value) => good.push(value),
                Err(error) => self.invalid(name, item, error, hint),
            }
        }
        good
    }

    /// A comma-separated list of words, at least one, each of `allowed` and none twice.
    pub fn read_choices(&mut self, name: &str, default: &str, allowed: &[&str]) -> Vec<String> {
        let hint = format!("one or more of {}", allowed.join(", "));
        let chosen: Vec<String> = self.read_list(name, default, &hint);
        for (at, word) in chosen.iter().enumerate() {
            if !allowed.contains(&word.as_str()) {
                let near = reference::nearest(word, allowed.iter().copied());
                let what = near.map_or_else(|| "unknown".to_owned(), |near| format!("unknown, did you mean {near}?"));
                self.invalid(name, word, what, &hint);
            } else if chosen[..at].contains(word) {
                self.invalid(name, word, "is named twice", &hint);
            }
        }
        if chosen.is_empty() {
            self.problem(name, format_args!("names nothing (expected {hint})"));
        }
        chosen
    }

    /// `true`, `1`, `on`, `yes` or `false`, `0`, `off`, `no`.
    pub fn read_switch(&mut self, name: &str, default: bool) -> bool {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Ok(true),
            "false" | "0" | "off" | "no" => Ok(false),
            _ => Err("is not a switch".to_owned()),
        };
        self.parse(name, "true or false", parse).unwrap_or(default)
    }

    /// A secret that must be set.
    pub fn require_secret(&mut self, name: &str, hint: &str) -> Secret {
        self.secret_text(name, hint).unwrap_or_else(|| {
            self.problem(name, format_args!("not set (expected {hint}; or {name}_FILE, the path of a file with it)"));
            Secret::new("")
        })
    }

    /// A secret that may be absent. `NAME_FILE` can name a file that holds it instead.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.secret_text(name, "a secret")
    }

    /// A comma-separated list of secrets, from `NAME` or from the file that `NAME_FILE` names.
    pub fn secret_list(&mut self, name: &str) -> Vec<Secret> {
        let text = self.secret_text(name, "secrets, comma-separated");
        text.iter()
            .flat_map(|text| text.expose().split([',', '\n']))
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(Secret::new)
            .collect()
    }

    fn secret_text(&mut self, name: &str, hint: &str) -> Option<Secret> {
        self.read.push(Setting { name: name.to_owned(), hint: hint.to_owned(), secret: true });
        let file = format!("{name}_FILE");
        let (text, path) = (self.look_up(name), self.look_up(&file));
        let Some(path) = path else { return text.map(Secret::new) };
        if text.is_some() {
            self.problem(name, format_args!("{name} and {file} are both set: keep one of the two"));
        }
        match std::fs::read_to_string(&path) {
            Ok(content) if content.trim().is_empty() => {
                self.problem(&file, format_args!("`{path}`: the file is empty"))
            }
            Ok(content) => return Some(Secret::new(content.trim_end_matches(['\r', '\n']))),
            Err(error) => self.problem(&file, format_args!("`{path}`: cannot be read: {error}")),
        }
        None
    }

    /// Adds a mistake that only the caller can see, such as two settings that exclude each other. Must not show a secret.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        self.problems.push(format!("  {name}: {what}"));
    }

    /// Adds a mistake of a value that may be shown.
    fn invalid(&mut self, name: &str, text: &str, what: impl fmt::Display, hint: &str) {
        let shown = address::without_credentials(text.trim());
        self.problem(name, format_args!("`{shown}`: {what} (expected {hint})"));
    }

    pub(crate) fn text(&mut self, name: &str, hint: &str) -> Option<String> {
        self.read.push(Setting { name: name.to_owned(), hint: hint.to_owned(), secret: false });
        self.look_up(name)
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        match (self.get)(name)? {
            Ok(text) => Some(text).filter(|text| !text.trim().is_empty()),
            Err(what) => {
                self.problem(name, what);
                None
            }
        }
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
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
        for part in
            ["BATCH_SIZE: `many`", "rows, 1 or more", "PORT: `0`: is out of range", "FLAG", "LIST: `x`", "KEY: not set"]
        {
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

    #[test]
    fn a_secret_can_come_from_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sword fish $1\n").unwrap();
        let path = path.to_str().unwrap();
        let read = |pairs: &[(&str, &str)]| Vars::from_pairs(pairs).load(|vars| vars.require_secret("KEY", "a key"));
        assert_eq!(read(&[("KEY_FILE", path)]).unwrap().expose(), "sword fish $1");
        let both = read(&[("KEY_FILE", path), ("KEY", "swordfish")]).unwrap_err().to_string();
        assert!(both.contains("KEY_FILE are both set") && !both.contains("swordfish"), "{both}");
        let gone = read(&[("KEY_FILE", "/nowhere/key")]).unwrap_err().to_string();
        assert!(gone.contains("KEY_FILE: `/nowhere/key`: cannot be read"), "{gone}");
        std::fs::write(path, " \n").unwrap();
        assert!(read(&[("KEY_FILE", path)]).unwrap_err().to_string().contains("the file is empty"));
        let list = Vars::from_pairs(&[("KEYS", "a, b,,")]).load(|vars| vars.secret_list("KEYS")).unwrap();
        assert_eq!(list, [Secret::new("a"), Secret::new("b")]);
    }

    #[test]
    fn a_list_of_words_takes_only_known_ones_once() {
        let read = |text: &str| {
            let vars = Vars::from_pairs(&[("CHANNELS", text)]);
            vars.load(|vars| vars.read_choices("CHANNELS", "trades", &["trades", "quotes"]))
                .map_err(|error| error.to_string())
        };
        assert_eq!(read("").unwrap(), ["trades"]);
        assert_eq!(read("quotes, trades").unwrap(), ["quotes", "trades"]);
        for (text, part) in [
            ("trades,foo", "`foo`: unknown (expected one or more of trades, quotes)"),
            ("trade", "did you mean trades?"),
            ("Trades", "did you mean trades?"),
            ("trades,trades", "named twice"),
            (",", "names nothing"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }
}
