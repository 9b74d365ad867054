//! The `.env` file: `NAME=value` lines, read literally.
//!
//! Nothing is substituted: a `$` or a backslash in a value stays as it is, because passwords contain them. A value ends at the end of its
//! line, or before a `#` that follows a blank. Quotes keep blanks and `#`: everything between single quotes is literal; between double
//! quotes `\"`, `\\`, `\$`, `\n`, `\r` and `\t` are understood.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One variable of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it stands, counted from 1.
    pub line: usize,
    /// Its value, without quotes.
    pub value: String,
}

/// The variables of one `.env` file.
#[derive(Clone, Default)]
pub struct DotEnv {
    /// Where it was found; `None` if there is none.
    pub path: Option<PathBuf>,
    /// Variables by name.
    pub entries: BTreeMap<String, Entry>,
}

impl DotEnv {
    /// Reads `.env` of `folder`, or of the nearest folder above it that has one.
    ///
    /// # Errors
    /// Every mistake of the file, one a line, with file, line number and variable name, never with a value.
    pub fn find(folder: &Path) -> Result<Self, Vec<String>> {
        for folder in folder.ancestors() {
            let path = folder.join(".env");
            match fs::read(&path) {
                Ok(bytes) => return Self::parse(path, &bytes),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {}
                Err(error) => return Err(vec![format!("cannot read {}: {error}", path.display())]),
            }
        }
        Ok(Self::default())
    }

    fn parse(path: PathBuf, bytes: &[u8]) -> Result<Self, Vec<String>> {
        let (mut entries, mut problems) = (BTreeMap::<String, Entry>::new(), Vec::new());
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (index, raw) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = index + 1;
            let mut problem = |what: String| problems.push(format!("{}, line {line}: {what}", path.display()));
            match read_line(raw) {
                Ok(None) => {}
                Ok(Some((name, value))) => {
                    if let Some(first) = entries.get(name) {
                        problem(format!("{name} is already set on line {}: keep one of the two", first.line));
                    } else {
                        entries.insert(name.to_owned(), Entry { line, value });
                    }
                }
                Err((Some(name), what)) => problem(format!("{name}: {what}")),
                Err((None, what)) => problem(what.to_owned()),
            }
        }
        if problems.is_empty() { Ok(Self { path: Some(path), entries }) } else { Err(problems) }
    }
}

/// What is wrong with a line, and the variable's name if it has a valid one. Neither shows any other part of the line.
type LineProblem<'a> = (Option<&'a str>, &'static str);

fn read_line(raw: &[u8]) -> Result<Option<(&str, String)>, LineProblem<'_>> {
    let text = std::str::from_utf8(raw).map_err(|_| (name_of_bytes(raw), "is not valid UTF-8"))?;
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let text = text.strip_prefix("export ").map_or(text, str::trim_start);
    let (name, value) = text.split_once('=').ok_or((None, "no `=` (expected NAME=value, or # before a comment)"))?;
    if name.ends_with(char::is_whitespace) && is_name(name.trim_end()) {
        return Err((Some(name.trim_end()), "remove the blank before `=`"));
    }
    if !is_name(name) {
        let rule = "the text before `=` is not a variable name (expected letters, digits and _)";
        return Err((None, rule));
    }
    let value = read_value(value.trim_start()).map_err(|what| (Some(name), what))?;
    if value.contains('\0') { Err((Some(name), "contains a zero byte")) } else { Ok(Some((name, value))) }
}

fn is_name(text: &str) -> bool {
    let letter = |first: char| first.is_ascii_alphabetic() || first == '_';
    text.starts_with(letter) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn name_of_bytes(raw: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(raw.split(|&byte| byte == b'=').next()?).ok()?.trim();
    is_name(name).then_some(name)
}

fn read_value(text: &str) -> Result<String, &'static str> {
    let unclosed = "its quote is not closed on the same line";
    let (value, rest) = match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'').ok_or(unclosed)?;
            (value.to_owned(), rest)
        }
        Some('"') => read_double_quoted(&text[1..])?.ok_or(unclosed)?,
        _ => {
            let comment = text.match_indices('#').map(|(at, _)| at).find(|&at| text[..at].ends_with([' ', '\t']));
            let start = if text.starts_with('#') { Some(0) } else { comment };
            return Ok(start.map_or(text, |at| &text[..at]).trim_end().to_owned());
        }
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(value);
    }
    Err(
        "there is text after its closing quote; put the whole value between single quotes if it contains double quotes, and the other way round",
    )
}

/// The value and the text behind the closing quote; `None` if there is no such quote.
fn read_double_quoted(text: &str) -> Result<Option<(String, &str)>, &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok(Some((value, &text[at + 1..]))),
            '\\' => value.push(match chars.next().map(|(_, escaped)| escaped) {
                Some(plain @ ('"' | '\\' | '$')) => plain,
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                _ => {
                    return Err(
                        "unknown escape after a backslash; put the value between single quotes to keep backslashes",
                    );
                }
            }),
            plain => value.push(plain),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
        let file = DotEnv::parse(PathBuf::from("/x/.env"), text.as_bytes()).map_err(|problems| problems.join("\n"))?;
        Ok(file.entries.into_iter().map(|(name, entry)| (name, entry.value)).collect())
    }

    fn value(text: &str) -> String {
        parse(&format!("A={text}")).unwrap().remove("A").unwrap()
    }

    #[test]
    fn values_are_literal() {
        for (written, meant) in [
            ("abc$def", "abc$def"),
            ("${HOME}", "${HOME}"),
            ("swordfish blue 17", "swordfish blue 17"),
            (" padded \r", "padded"),
            ("a#b", "a#b"),
            ("a #b", "a"),
            ("# nothing", ""),
            ("a=b==", "a=b=="),
            (r"back\slash", r"back\slash"),
            ("it's", "it's"),
            (r#"'say "hi" # $x \n' # why"#, r#"say "hi" # $x \n"#),
            (r##""it's \"#1\" \\ \$x" "##, r##"it's "#1" \ $x"##),
            ("", ""),
            ("''", ""),
            ("grün", "grün"),
        ] {
            assert_eq!(value(written), meant, "{written}");
        }
        assert_eq!(
            parse("\u{feff}# c\n\n  export B = 1").unwrap_err(),
            "/x/.env, line 3: B: remove the blank before `=`"
        );
        assert_eq!(parse("\u{feff}export B=1\r\nC=2").unwrap().len(), 2);
    }

    #[test]
    fn every_mistake_names_line_and_variable_and_never_a_value() {
        let error = parse(
            "OK=1\nPASSWORD='swordfish\nswordfish\nTOKEN=\"swordfish\\q\"\nsword fish=1\nKEY='sword'fish\nOK=swordfish",
        )
        .unwrap_err();
        for part in [
            "line 2: PASSWORD:",
            "line 3: no `=`",
            "line 4: TOKEN:",
            "line 5: the text",
            "line 6: KEY:",
            "line 7: OK is",
        ] {
            assert!(error.contains(part), "{part} is missing in\n{error}");
        }
        assert!(!error.contains("swordfish") && !error.contains("sword fish"), "{error}");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_reported_with_the_name() {
        let problems = DotEnv::parse(PathBuf::from(".env"), b"A=1\nSECRET=sword\xff\n").err().unwrap();
        assert_eq!(problems, [".env, line 2: SECRET: is not valid UTF-8"]);
    }

    proptest! {
        #[test]
        fn any_value_survives_double_quotes(value in "[^\0]{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r");
            prop_assert_eq!(parse(&format!("A=\"{escaped}\" # c")).unwrap().remove("A").unwrap(), value);
        }

        #[test]
        fn no_file_panics_and_no_problem_shows_a_value(text in "([A-Z]{1,2} ?=['\"]?swordfish[^\n]{0,8}\n?|[^\n]{0,9}\n?){0,6}") {
            if let Err(problem) = parse(&text) {
                prop_assert!(!problem.contains("swordfish"));
            }
        }
    }
}
