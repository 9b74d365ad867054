//! `.env.example` as the reference of every variable: `--help` prints from it, unknown names are compared with it, and tests hold the code
//! to it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::config::{Setting, Vars};
use crate::dotenv::DotEnv;

/// The file itself.
pub const TEXT: &str = include_str!("../../.env.example");

/// One variable as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// The heading under which it stands.
    pub section: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its default; empty for none.
    pub default: &'a str,
    /// What it means. Variables that share a comment share a meaning.
    pub meaning: String,
}

/// Every variable, in the order of the file.
#[must_use]
pub fn variables() -> Vec<Variable<'static>> {
    let (mut found, mut section, mut comment, mut fresh) = (Vec::new(), "", Vec::new(), true);
    for line in TEXT.lines() {
        if let Some(heading) = line.strip_prefix("# --- ") {
            (section, comment, fresh) = (heading.trim_end_matches(['-', ' ']), Vec::new(), true);
        } else if let Some(text) = line.strip_prefix("# ") {
            if !fresh {
                comment.clear();
            }
            comment.push(text);
            fresh = true;
        } else if let Some((name, default)) = line.split_once('=') {
            found.push(Variable { section, name, default, meaning: comment.join(" ") });
            fresh = false;
        } else {
            (comment, fresh) = (Vec::new(), true);
        }
    }
    found
}

/// The part of `--help` that lists a program's variables with default and meaning.
pub fn help<C>(read: impl FnOnce(&mut Vars) -> C) -> String {
    let variables = variables();
    let mut text =
        "Settings are environment variables, or lines of a file .env in the working folder or above it:\n".to_owned();
    let mut settings = Vars::settings(read);
    settings.extend(Vars::settings(crate::telemetry::LogConfig::from_vars));
    for Setting { name, hint, secret } in settings {
        let known = variables.iter().find(|variable| variable.name == name);
        let default = known.map(|variable| variable.default).filter(|default| !default.is_empty());
        let _ = write!(text, "\n  {name}");
        let _ = match default {
            Some(default) => write!(text, " [default: {default}]"),
            None if secret => write!(text, " (or {name}_FILE: the path of a file that holds it)"),
            None => Ok(()),
        };
        let meaning = known.map(|variable| variable.meaning.as_str()).filter(|meaning| !meaning.is_empty());
        let _ = write!(text, "\n      {}", meaning.unwrap_or(&hint));
    }
    text
}

/// Names that look like ours and that no program reads, one sentence each. `environment`: the names that are set there.
#[must_use]
pub fn unknown<'a>(file: &DotEnv, environment: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let known: BTreeSet<&str> = variables().iter().map(|variable| variable.name).collect();
    let is_known =
        |name: &str| known.contains(name) || name.strip_suffix("_FILE").is_some_and(|name| known.contains(name));
    let sentence = |name: &str, place: String| {
        let near = nearest(name, known.iter().copied());
        let advice = near.map_or_else(|| "see .env.example".to_owned(), |near| format!("did you mean {near}?"));
        format!("unknown variable {name}{place}: {advice}")
    };
    let path = file.path.as_deref().unwrap_or(std::path::Path::new(".env"));
    let in_file = file.entries.iter().filter(|(name, _)| !is_known(name) && !elsewhere(name));
    let in_file = in_file.map(|(name, entry)| sentence(name, format!(" in {}, line {}", path.display(), entry.line)));
    let ours = |name: &&str| !is_known(name) && !elsewhere(name) && !of_kubernetes(name) && like_ours(name, &known);
    let in_environment =
        environment.into_iter().filter(ours).map(|name| sentence(name, " in the environment".to_owned()));
    in_file.chain(in_environment).collect()
}

/// Variables of the simulator, of `local-stack`, of `docker-compose.yml`, and of the tests: those explain theirs themselves.
fn elsewhere(name: &str) -> bool {
    ["SIMULATOR_", "LOCAL_STACK_", "TAPELINE_", "COMPOSE_"].iter().any(|prefix| name.starts_with(prefix))
        || ["POSTGRES_IMAGE", "POSTGRES_READER_PASSWORD", "ALPACA_API_BASE_URL"].contains(&name)
}

/// What Kubernetes sets for every service that it knows: `REDIS_SERVICE_HOST`, `REDIS_PORT_6379_TCP_ADDR`.
fn of_kubernetes(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_")
        || name.ends_with("_PORT")
}

/// Whether a name begins as ours do, or is nearly one of them.
fn like_ours(name: &str, known: &BTreeSet<&str>) -> bool {
    const PREFIXES: [&str; 11] = [
        "ALPACA_",
        "FINNHUB_",
        "MASSIVE_",
        "KAFKA_",
        "REDIS_",
        "POSTGRES_",
        "TOPIC_",
        "PRODUCER_",
        "CONSUMER_",
        "GATEWAY_",
        "BARS_API_",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || nearest(name, known.iter().copied()).is_some()
}

/// The word that `text` was probably meant to be.
pub(crate) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let upper = text.to_ascii_uppercase();
    let distance = |word: &str| strsim::damerau_levenshtein(&upper, &word.to_ascii_uppercase());
    let near = words.map(|word| (distance(word), word)).min()?;
    (near.0 <= 2 && near.0 * 3 <= text.len()).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dotenv::Entry;

    fn file(names: &[&str]) -> DotEnv {
        let entry =
            |at: usize, name: &&str| ((*name).to_owned(), Entry { line: at + 1, value: "swordfish".to_owned() });
        DotEnv {
            path: Some(".env".into()),
            entries: names.iter().enumerate().map(|(at, name)| entry(at, name)).collect(),
        }
    }

    #[test]
    fn misspelt_names_are_reported_with_the_name_that_was_meant() {
        let unknown = unknown(
            &file(&["ALPACA_API_KEY", "ALPACA_SECRET_API", "SUBSCRIBED_SYMBOL", "REDIS_PASSWORD_FILE", "HTTPS_PROXY"]),
            ["REDIS_HOTS", "PATH", "REDIS_SERVICE_HOST", "KAFKA_BROKERS", "BATCH_SZIE", "HOME"],
        );
        assert_eq!(
            unknown,
            [
                "unknown variable ALPACA_SECRET_API in .env, line 2: see .env.example",
                "unknown variable HTTPS_PROXY in .env, line 5: see .env.example",
                "unknown variable SUBSCRIBED_SYMBOL in .env, line 3: did you mean SUBSCRIBED_SYMBOLS?",
                "unknown variable REDIS_HOTS in the environment: did you mean REDIS_HOST?",
                "unknown variable KAFKA_BROKERS in the environment: see .env.example",
                "unknown variable BATCH_SZIE in the environment: did you mean BATCH_SIZE?",
            ]
        );
    }

    #[test]
    fn every_variable_has_a_section() {
        let variables = variables();
        assert!(variables.len() > 50 && variables.iter().all(|variable| !variable.section.is_empty()));
        let api = variables.iter().find(|variable| variable.name == "API_CONNECTIONS_MAX").unwrap();
        assert!(api.meaning.starts_with("Most connections"), "{api:?}");
    }

    #[test]
    fn help_lists_default_and_meaning() {
        let text = help(|vars| (vars.read("REDIS_HOST", String::new(), "host"), vars.secret("REDIS_PASSWORD")));
        assert!(text.contains("  REDIS_HOST [default: localhost]") && text.contains("REDIS_PASSWORD_FILE"), "{text}");
        assert!(text.contains("RUST_LOG [default: info]"), "{text}");
    }
}
