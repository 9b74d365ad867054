//! How clients of Kafka prove who they are, and whether what they say is encrypted.

use std::str::FromStr;

use rdkafka::ClientConfig;

use crate::config::{Secret, Vars};
use crate::tls::TlsFiles;

/// Whether this program was built with OpenSSL, which librdkafka needs for TLS and SCRAM.
const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// `KAFKA_SECURITY_PROTOCOL` and what belongs to it.
#[derive(Clone, Debug, Default)]
pub struct KafkaSecurity {
    protocol: Protocol,
    login: Option<Login>,
    tls: TlsFiles,
}

#[derive(Clone, Debug)]
struct Login {
    mechanism: Mechanism,
    user: String,
    password: Secret,
}

/// Kafka's names for the four combinations of encryption and login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    fn encrypts(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn logs_in(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

impl FromStr for Protocol {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];
        all.into_iter().find(|protocol| protocol.name() == text).ok_or("unknown protocol")
    }
}

/// How a client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram256,
    Scram512,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
        }
    }
}

impl FromStr for Mechanism {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Plain, Self::Scram256, Self::Scram512];
        all.into_iter().find(|mechanism| mechanism.name() == text).ok_or("unknown mechanism")
    }
}

impl KafkaSecurity {
    /// Reads `KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_MECHANISM`, `KAFKA_SASL_USERNAME`, `KAFKA_SASL_PASSWORD`, `KAFKA_SSL_CA`,
    /// `KAFKA_SSL_CERT` and `KAFKA_SSL_KEY`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let hint = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
        let protocol = vars.read("KAFKA_SECURITY_PROTOCOL", Protocol::Plaintext, hint);
        let hint = "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
        let mechanism = vars.read("KAFKA_SASL_MECHANISM", Mechanism::Plain, hint);
        let user = vars.read_optional::<String>("KAFKA_SASL_USERNAME", "user name");
        let password = vars.secret("KAFKA_SASL_PASSWORD");
        let tls = TlsFiles::from_vars(vars, ["KAFKA_SSL_CA", "KAFKA_SSL_CERT", "KAFKA_SSL_KEY"]);
        let name = "KAFKA_SECURITY_PROTOCOL";
        if !HAS_TLS && (protocol.encrypts() || (protocol.logs_in() && mechanism != Mechanism::Plain)) {
            let what = "TLS and SCRAM need programs that were built with `--features service/kafka-tls`";
            vars.problem(name, format_args!("`{}`: {what}", protocol.name()));
        }
        if tls != TlsFiles::default() && !protocol.encrypts() {
            vars.problem(
                name,
                format_args!("`{}`: certificates are named (expected SSL or SASL_SSL)", protocol.name()),
            );
        }
        for read in [tls.ca_pem().map(drop), tls.client_pem().map(drop)] {
            if let Err(error) = read {
                vars.problem(name, format_args!("TLS cannot be set up: {error:#}"));
            }
        }
        let login = match (user, password) {
            (Some(user), Some(password)) => Some(Login { mechanism, user, password }),
            (None, None) => None,
            _ => {
                vars.problem("KAFKA_SASL_USERNAME", "set both or none of KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD");
                None
            }
        };
        match (protocol.logs_in(), &login) {
            (true, None) => vars.problem(name, "SASL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
            (false, Some(_)) => vars.problem(name, "a user is named (expected SASL_SSL or SASL_PLAINTEXT)"),
            _ => {}
        }
        Self { protocol, login, tls }
    }

    /// Sets what librdkafka needs.
    pub(crate) fn apply(&self, client: &mut ClientConfig) {
        client.set("security.protocol", self.protocol.name());
        if let Some(Login { mechanism, user, password }) = &self.login {
            client.set("sasl.mechanisms", mechanism.name());
            client.set("sasl.username", user).set("sasl.password", password.expose());
        }
        let mut path = |name: &str, path: &std::path::Path| {
            client.set(name, path.to_string_lossy());
        };
        if let Some(ca) = &self.tls.ca {
            path("ssl.ca.location", ca);
        }
        if let Some((certificate, key)) = &self.tls.client {
            path("ssl.certificate.location", certificate);
            path("ssl.key.location", key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(pairs: &[(&str, &str)]) -> String {
        let read = Vars::from_pairs(pairs).load(KafkaSecurity::from_vars);
        read.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn settings_that_do_not_fit_together_are_named() {
        let (user, password) = (("KAFKA_SASL_USERNAME", "u"), ("KAFKA_SASL_PASSWORD", "swordfish"));
        assert_eq!(problem(&[]), "");
        assert_eq!(problem(&[("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"), user, password]), "");
        for (pairs, part) in [
            (&[("KAFKA_SECURITY_PROTOCOL", "TLS")][..], "`TLS`: unknown protocol"),
            (&[("KAFKA_SASL_MECHANISM", "SCRAM")], "`SCRAM`: unknown mechanism"),
            (&[("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")], "SASL needs"),
            (&[user, password], "a user is named"),
            (&[("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"), user], "set both or none"),
            (&[("KAFKA_SSL_CA", "/nowhere/ca.pem")], "cannot read /nowhere/ca.pem"),
            (&[("KAFKA_SSL_KEY", "/nowhere/key.pem")], "KAFKA_SSL_CERT: not set although KAFKA_SSL_KEY is"),
        ] {
            let found = problem(pairs);
            assert!(found.contains(part) && !found.contains("swordfish"), "{part} is missing in {found}");
        }
    }
}
