//! `docker-compose.yml` and the `Dockerfile` say what the rest of the project says. (No image is needed for that.)

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::collections::BTreeSet;

use local_stack::path::project;

fn read(name: &str) -> String {
    std::fs::read_to_string(project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The lines of one service, from its name to the next one.
fn service<'a>(compose: &'a str, name: &str) -> &'a str {
    let begin = compose.find(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("no service {name}")) + 1;
    let body = &compose[begin..];
    let mut end = body.find('\n').unwrap() + 1;
    while let Some(line) = body[end..].lines().next() {
        if !line.is_empty() && !line.starts_with("    ") {
            break;
        }
        end += line.len() + 1;
    }
    &body[..end.min(body.len())]
}

/// Names that are set here in an `environment`, and names that are taken from `.env`.
fn variables(compose: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let set = compose.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name);
    let taken = compose.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
    (set.filter(|name| is_name(name)).collect(), taken.filter(|name| is_name(name)).collect())
}

/// Names of `.env.example`, those that are commented out included.
fn known() -> BTreeSet<String> {
    let text = read(".env.example");
    let names = text.lines().filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// Names that the head of `docker-compose.yml` explains, because no service reads them.
fn explained(compose: &str) -> BTreeSet<&str> {
    let head = compose.lines().take_while(|line| line.starts_with('#'));
    head.filter_map(|line| line.strip_prefix("#   ")?.split_once(' ')).map(|(name, _)| name).collect()
}

#[test]
fn every_variable_of_ours_is_explained() {
    let (compose, known) = (read("docker-compose.yml"), known());
    let (set, taken) = variables(&compose);
    assert!(set.len() > 20 && taken.len() >= 5, "the file was not understood: {set:?} {taken:?}");
    let explained = explained(&compose);
    // Settings of other people's images are theirs to explain; the simulator's are in its `--help`.
    let elsewhere = |name: &str| {
        (name.starts_with("KAFKA_") && name != "KAFKA_BOOTSTRAP_SERVERS")
            || name.starts_with("SIMULATOR_")
            || name == "JAVA_OPTS"
    };
    let is_known = |name: &str| known.contains(name) || explained.contains(name) || elsewhere(name);
    let unknown: Vec<&&str> = set.union(&taken).filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "neither in .env.example nor explained in docker-compose.yml: {unknown:?}");
}

#[test]
fn ports_are_the_ones_that_the_readme_promises() {
    let compose = read("docker-compose.yml");
    for (name, ports) in [
        ("realtime-gateway", "\"5000:5000\""),
        ("bars-api", "\"8000:8000\""),
        ("kafka-ui", "\"127.0.0.1:8080:8080\""),
        ("kafka", "\"127.0.0.1:9093:9093\""),
        ("redis", "\"127.0.0.1:6379:6379\""),
        ("postgres", "\"127.0.0.1:5432:5432\""),
        ("producer", "\"127.0.0.1:9101:9101\""),
        ("consumer-trades", "\"127.0.0.1:9102:9102\""),
        ("consumer-bars", "\"127.0.0.1:9103:9103\""),
        ("feed-simulator", "\"127.0.0.1:8090:8090\""),
    ] {
        let body = service(&compose, name);
        assert!(body.contains(&format!("ports: [{ports}]")), "{name}: {body}");
        assert!(body.contains("healthcheck:"), "{name} has no health check");
    }
}

#[test]
fn the_broker_is_the_one_that_the_tests_use() {
    let pom = read("local-stack/kafka/pom.xml");
    let version = pom.split_once("<kafka.version>").unwrap().1.split_once('<').unwrap().0;
    assert!(read("docker-compose.yml").contains(&format!("image: apache/kafka:{version}\n")), "not {version}");
}

#[test]
fn the_image_is_built_from_every_member_of_the_workspace() {
    let (manifest, dockerfile, ignore) = (read("Cargo.toml"), read("Dockerfile"), read(".dockerignore"));
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let members: Vec<&str> =
        members.split(',').map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty()).collect();
    assert!(members.contains(&"producer"), "{members:?}");
    for name in members {
        assert!(dockerfile.contains(&format!("COPY {name}/ {name}/\n")), "the Dockerfile does not copy {name}");
        assert!(ignore.contains(&format!("\n!{name}\n")), ".dockerignore hides {name}");
    }
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split_once("channel = \"").unwrap().1.split_once('"').unwrap().0;
    let minor = channel.rsplit_once('.').unwrap().0;
    assert!(dockerfile.contains(&format!("FROM rust:{minor}-")), "the image compiles with another Rust than {channel}");
}

#[test]
fn no_container_gets_a_secret_that_it_does_not_need() {
    let compose = read("docker-compose.yml");
    assert!(!compose.contains("env_file"), "a whole .env would carry every secret into every container");
    for name in ["consumer-trades", "consumer-bars", "bars-api", "realtime-gateway", "kafka", "redis", "postgres"] {
        let body = service(&compose, name);
        assert!(
            !body.contains("ALPACA_API") && !body.contains("FINNHUB_API") && !body.contains("MASSIVE_API"),
            "{name}"
        );
        assert!(body.contains("mem_limit:") || body.contains("*service"), "{name} has no limit");
        assert!(body.contains("*logging") || body.contains("*service"), "{name}: its log is not rotated");
    }
    for name in ["consumer-trades", "consumer-bars", "bars-api"] {
        assert!(!service(&compose, name).contains("REDIS_PASSWORD"), "{name}");
    }
    assert!(!service(&compose, "realtime-gateway").contains("POSTGRES_PASSWORD"));
    assert!(!compose.contains("PASSWORD:-postgres") && !compose.contains("PASSWORD:-reader"), "a default password");
}
