//! Redis and PostgreSQL with TLS and identities: real servers, our connectors, right and wrong certificates.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use local_stack::{Postgres, port};
use service::Vars;
use service::postgres::PostgresConfig;
use service::redis::RedisConfig;
use tempfile::TempDir;

/// A folder with two authorities (`ca`, `other-ca`), certificates for `localhost` (`server`, `expired`), and one for us (`client`).
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let made = Self(folder);
        for authority in ["ca", "other-ca"] {
            let subject = format!("/CN={authority}");
            let key = format!("{authority}.key");
            let pem = format!("{authority}.pem");
            made.openssl(
                &[&["req", "-x509"], &KEY[..], &["-keyout", &key, "-out", &pem, "-days", "2", "-subj", &subject]]
                    .concat(),
            );
        }
        std::fs::write(made.0.path().join("ext"), "subjectAltName=DNS:localhost\n").unwrap();
        for (name, days) in [("server", "2"), ("expired", "-1"), ("client", "2")] {
            let (key, request, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
            made.openssl(
                &[&["req"], &KEY[..], &["-keyout", &key, "-out", &request, "-subj", "/CN=localhost"]].concat(),
            );
            let sign =
                ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", &pem];
            made.openssl(&[&sign[..], &["-days", days, "-extfile", "ext"]].concat());
            // The user postgres copies it.
            std::fs::set_permissions(made.0.path().join(key), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        made
    }

    fn openssl(&self, arguments: &[&str]) {
        let output =
            Command::new("openssl").args(arguments).current_dir(self.0.path()).output().expect("openssl is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// Ends a server that the test started.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn redis(folder: &Path, certificates: &Certificates, server: &str) -> (Server, u16) {
    let port = port::free().unwrap();
    let path = |name: &str| certificates.path(name);
    let (pem, key, ca) = (path(&format!("{server}.pem")), path(&format!("{server}.key")), path("ca.pem"));
    let config = format!(
        "port 0\ntls-port {port}\nbind 127.0.0.1\nsave \"\"\ntls-cert-file {pem}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n\
         tls-auth-clients yes\nuser default off\nuser tape on >swordfish ~* &* +@all\n"
    );
    std::fs::write(folder.join("redis.conf"), config).unwrap();
    let child =
        Command::new("redis-server").arg("redis.conf").current_dir(folder).stdout(Stdio::null()).spawn().unwrap();
    (Server(child), port)
}

/// `PING` with these settings: the answer, or what is wrong.
async fn ping(port: u16, pairs: &[(&str, &str)]) -> Result<String, String> {
    let port = port.to_string();
    let mut all = vec![("REDIS_HOST", "localhost"), ("REDIS_PORT", port.as_str())];
    all.retain(|(name, _)| pairs.iter().all(|(other, _)| other != name));
    all.extend_from_slice(pairs);
    let config = Vars::from_pairs(&all).load(RedisConfig::from_vars).map_err(|error| error.to_string())?;
    let client = config.client().map_err(|error| format!("{error:#}"))?;
    let ping = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    tokio::time::timeout(Duration::from_secs(20), ping)
        .await
        .map_err(|_| "no answer")?
        .map_err(|error| format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_with_tls_client_certificate_and_user_and_by_nothing_less() {
    let (folder, certificates) = (tempfile::tempdir().unwrap(), Certificates::new());
    let (_server, port) = redis(folder.path(), &certificates, "server");
    let path = |name: &str| certificates.path(name);
    let (ca, other, cert, key) = (path("ca.pem"), path("other-ca.pem"), path("client.pem"), path("client.key"));
    let right = [
        ("REDIS_TLS", "true"),
        ("REDIS_TLS_CA", ca.as_str()),
        ("REDIS_TLS_CERT", &cert),
        ("REDIS_TLS_KEY", &key),
        ("REDIS_USER", "tape"),
        ("REDIS_PASSWORD", "swordfish"),
    ];
    let mut answer = ping(port, &right).await;
    for _ in 0..100 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // the server is starting
        answer = ping(port, &right).await;
    }
    assert_eq!(answer.unwrap(), "PONG");
    let with = |name: &str, value: &str| -> Vec<(String, String)> {
        let changed =
            |&(known, old): &(&str, &str)| (known.to_owned(), if known == name { value } else { old }.to_owned());
        right.iter().map(changed).collect()
    };
    for (changed, part) in [
        (with("REDIS_TLS_CA", &other), "UnknownIssuer"),
        (with("REDIS_PASSWORD", "wrong"), "AuthenticationFailed"),
        (with("REDIS_USER", ""), "AuthenticationFailed"),
        (with("REDIS_TLS_CA", "/nowhere/ca.pem"), "REDIS_TLS: TLS cannot be set up: cannot read /nowhere/ca.pem"),
    ] {
        let pairs: Vec<_> = changed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let error = ping(port, &pairs).await.unwrap_err();
        assert!(error.contains(part) && !error.contains("swordfish"), "{part} is missing in {error}");
    }
    let not_for_this_host = [&right[..], &[("REDIS_HOST", "127.0.0.1")]].concat();
    let error = ping(port, &not_for_this_host).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    ping(port, &right[4..]).await.expect_err("a plain connection");
    ping(port, &[&right[..2], &right[4..]].concat()).await.expect_err("no client certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_with_an_expired_certificate_is_not_trusted() {
    let (folder, certificates) = (tempfile::tempdir().unwrap(), Certificates::new());
    let (_server, port) = redis(folder.path(), &certificates, "expired");
    let (ca, cert, key) =
        (certificates.path("ca.pem"), certificates.path("client.pem"), certificates.path("client.key"));
    let pairs =
        [("REDIS_TLS", "true"), ("REDIS_TLS_CA", ca.as_str()), ("REDIS_TLS_CERT", &cert), ("REDIS_TLS_KEY", &key)];
    let mut error = String::new();
    for _ in 0..100 {
        error = ping(port, &pairs).await.unwrap_err();
        if error.contains("Expired") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // the server is starting
    }
    panic!("{error}");
}

/// Runs a shell command as the server's own user, in its data folder.
async fn as_server(client: &tokio_postgres::Client, command: &str) {
    let copy = format!(
        "CREATE TEMP TABLE said (line text); COPY said FROM PROGRAM '{}'; DROP TABLE said",
        command.replace('\'', "''")
    );
    client.batch_execute(&copy).await.unwrap();
}

/// Serves the certificate `name` to `hostssl` connections alone, except that the socket's owner may come in plainly.
async fn encrypt(client: &tokio_postgres::Client, certificates: &Certificates, name: &str, rule: &str) {
    let path = |name: &str| certificates.path(name);
    let (pem, key, ca) = (path(&format!("{name}.pem")), path(&format!("{name}.key")), path("ca.pem"));
    as_server(
        client,
        &format!("install -m 600 {pem} server.crt && install -m 600 {key} server.key && install -m 600 {ca} ca.crt"),
    )
    .await;
    as_server(client, &format!("echo \"{rule}\" > pg_hba.conf")).await;
    for setting in ["ssl = on", "ssl_ca_file = 'ca.crt'"] {
        client.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await.unwrap();
    }
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// Whether a connection with these settings is encrypted, or what is wrong.
async fn encrypted(port: u16, pairs: &[(&str, &str)]) -> Result<bool, String> {
    let port = port.to_string();
    let mut all = vec![("POSTGRES_HOST", "localhost"), ("POSTGRES_PORT", port.as_str()), ("POSTGRES_DB", "postgres")];
    all.retain(|(name, _)| pairs.iter().all(|(other, _)| other != name));
    all.extend_from_slice(pairs);
    let config = Vars::from_pairs(&all).load(PostgresConfig::from_vars).map_err(|error| error.to_string())?;
    let (client, connection) =
        config.connection("test").connect(config.tls.clone()).await.map_err(|error| format!("{error:?}"))?;
    let driver = tokio::spawn(connection);
    let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await;
    let encrypted = row.map(|row| row.get(0)).map_err(|error| format!("{error:?}"));
    driver.abort();
    encrypted
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_verified_as_far_as_its_mode_says() {
    let certificates = Certificates::new();
    let server = Postgres::start_temporary().await.unwrap();
    let (port, admin) = (server.port(), server.connect("postgres").await.unwrap());
    let (ca, other) = (certificates.path("ca.pem"), certificates.path("other-ca.pem"));
    let (ca, other) = (ca.as_str(), other.as_str());
    assert_eq!(encrypted(port, &[]).await, Ok(false), "the server offers no TLS, and prefer does without");
    let error = encrypted(port, &[("POSTGRES_SSLMODE", "require")]).await.unwrap_err();
    assert!(error.contains("TLS"), "{error}");

    encrypt(&admin, &certificates, "server", "hostssl all all all trust").await;
    let mode = |mode: &'static str| ("POSTGRES_SSLMODE", mode);
    let root = |path| ("POSTGRES_SSLROOTCERT", path);
    for _ in 0..100 {
        if encrypted(port, &[mode("require")]).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // the server reads its settings anew
    }
    let ip = ("POSTGRES_HOST", "127.0.0.1");
    for pairs in [
        &[][..],
        &[mode("require")],
        &[mode("require"), root(ca)],
        &[mode("verify-ca"), root(ca)],
        &[mode("verify-ca"), root(ca), ip],
        &[mode("verify-full"), root(ca)],
    ] {
        assert_eq!(encrypted(port, pairs).await, Ok(true), "{pairs:?}");
    }
    for (pairs, part) in [
        (&[mode("disable")][..], "no encryption"),
        (&[mode("require"), root(other)], "UnknownIssuer"),
        (&[mode("verify-ca"), root(other)], "UnknownIssuer"),
        (&[mode("verify-full"), root(ca), ip], "NotValidForName"),
        (&[mode("disable"), root(ca)], "is disable although certificates are named"),
    ] {
        let error = encrypted(port, pairs).await.unwrap_err();
        assert!(error.contains(part), "{pairs:?}: {part} is missing in {error}");
    }

    encrypt(&admin, &certificates, "server", "hostssl all all all trust clientcert=verify-ca").await;
    let (cert, key) = (certificates.path("client.pem"), certificates.path("client.key"));
    let ours = [mode("verify-full"), root(ca), ("POSTGRES_SSLCERT", cert.as_str()), ("POSTGRES_SSLKEY", key.as_str())];
    for _ in 0..100 {
        if encrypted(port, &ours[..2]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    encrypted(port, &ours[..2]).await.expect_err("no client certificate");
    assert_eq!(encrypted(port, &ours).await, Ok(true));

    encrypt(&admin, &certificates, "expired", "hostssl all all all trust").await;
    let full = [mode("verify-ca"), root(ca)];
    for _ in 0..100 {
        match encrypted(port, &full).await {
            Err(error) if error.contains("Expired") => return,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("an expired certificate was trusted");
}
