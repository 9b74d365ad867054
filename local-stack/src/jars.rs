//! Kafka's jars: asked for once through Maven, then found again by a file with their class path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::path;

/// The oldest Java that Kafka's broker runs on.
const JAVA_MIN: u32 = 17;

/// A Java program that is new enough.
///
/// # Errors
/// There is none; the message says what to install.
pub fn java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let program = home
        .filter(|program| program.exists())
        .or_else(|| path::find("java", &[]))
        .with_context(|| {
            format!("Java is not installed: run `make deps`, or install Java {JAVA_MIN} or newer (package openjdk-17-jre-headless)")
        })?;
    let output = Command::new(&program).arg("-version").output().context("cannot run java")?;
    let text = String::from_utf8_lossy(&output.stderr);
    match version(&text) {
        Some(found) if found >= JAVA_MIN => Ok(program),
        Some(found) => bail!(
            "Kafka needs Java {JAVA_MIN} or newer, and {} is Java {found}: install a newer one, or point JAVA_HOME to it",
            program.display()
        ),
        None => bail!("{} does not say its version: install Java {JAVA_MIN} or newer", program.display()),
    }
}

/// Reads `openjdk version "17.0.15" 2025-04-15`.
fn version(text: &str) -> Option<u32> {
    text.split('"').nth(1)?.split(['.', '-', '+']).next()?.parse().ok()
}

/// True when Kafka's jars were fetched before and are still there.
#[must_use]
pub fn known() -> bool {
    let (stored, pom) = files();
    read(&stored, &pom).is_some()
}

/// Where the class path is kept, and the list of jars that it comes from.
fn files() -> (PathBuf, PathBuf) {
    let project = path::project();
    (project.join(".local-stack/kafka-class-path.txt"), project.join("local-stack/kafka/pom.xml"))
}

/// The class path of Kafka, its jars fetched from Maven Central where they are missing.
///
/// # Errors
/// Maven is not installed, or cannot reach a repository.
pub fn class_path() -> Result<String> {
    let project = path::project();
    let (stored, pom) = files();
    if let Some(known) = read(&stored, &pom) {
        return Ok(known);
    }
    fs::create_dir_all(project.join(".local-stack"))?;
    // Several test programs may come here at once: one asks, the others find its answer.
    let lock = fs::File::create(project.join(".local-stack/kafka-class-path.lock"))?;
    lock.lock()?;
    if let Some(known) = read(&stored, &pom) {
        return Ok(known);
    }
    let maven = path::find("mvn", &[]).context(
        "Maven is not installed, and Kafka's jars come through it: run `make deps`, or install the package maven",
    )?;
    let fresh = stored.with_extension("new");
    let output = Command::new(maven)
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .arg("dependency:build-classpath")
        .arg(format!("-Dmdep.outputFile={}", fresh.display()))
        .output()
        .context("cannot run mvn")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let why = said.lines().find(|line| line.contains("ERROR")).unwrap_or("no reason given");
        bail!(
            "Kafka's jars could not be fetched from Maven Central: check the network, then try again ({})",
            why.trim_start_matches("[ERROR] ")
        );
    }
    fs::rename(&fresh, &stored)?;
    read(&stored, &pom)
        .context("Maven named jars that are not there: remove ~/.m2/repository/org/apache/kafka and try again")
}

/// The stored class path, if it is newer than the list of jars and every jar is still there.
fn read(stored: &Path, pom: &Path) -> Option<String> {
    let written = stored.metadata().ok()?.modified().ok()?;
    let text = fs::read_to_string(stored).ok()?.trim().to_owned();
    let fresh = pom.metadata().ok()?.modified().ok()? <= written;
    let whole = !text.is_empty() && text.split(':').all(|jar| Path::new(jar).exists());
    (fresh && whole).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn java_versions_old_and_new_are_understood() {
        assert_eq!(version("openjdk version \"17.0.15\" 2025-04-15\n…"), Some(17));
        assert_eq!(version("java version \"1.8.0_402\""), Some(1));
        assert_eq!(version("openjdk version \"24-ea\" 2025-03-18"), Some(24));
        assert_eq!(version("not java at all"), None);
    }
}
