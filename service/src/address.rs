//! Settings that are addresses and names: URLs, hosts, servers, topics. Each is checked when it is read, so that a mistake is reported at
//! the start and not by the first connection.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use axum::http::Uri;

use crate::Vars;

impl Vars {
    /// A URL with one of `schemes`, a host, and no credentials. Without the slash at its end.
    pub fn read_url(&mut self, name: &str, default: &str, schemes: &[&str]) -> String {
        let hint = format!("a URL such as {default}");
        let default = || default.trim_end_matches('/').to_owned();
        self.parse(name, &hint, |text| check_url(text, schemes)).unwrap_or_else(default)
    }

    /// A host name or IP address, without scheme and port.
    pub fn read_host(&mut self, name: &str, default: &str) -> String {
        let hint = "a host name or IP address, without scheme and port";
        self.parse(name, hint, |text| check_host(text).map(|()| text.to_owned())).unwrap_or_else(|| default.to_owned())
    }

    /// `host:port` of one or more servers, comma-separated.
    pub fn read_servers(&mut self, name: &str, default: &str) -> String {
        let hint = "host:port, comma-separated";
        let parse = |text: &str| {
            let servers: Vec<&str> = text.split(',').map(str::trim).filter(|server| !server.is_empty()).collect();
            if servers.is_empty() {
                return Err("names no server".to_owned());
            }
            servers.iter().try_for_each(|server| check_server(server)).map(|()| servers.join(","))
        };
        self.parse(name, hint, parse).unwrap_or_else(|| default.to_owned())
    }

    /// The address to listen on, from a variable with the host and one with the port. The default `::` takes IPv6 and IPv4.
    pub fn read_listen(&mut self, host: &str, port: &str, default_port: u16) -> SocketAddr {
        let hint =
            "IP address to listen on; :: is every address of this machine, IPv6 and IPv4, 127.0.0.1 this machine alone";
        let parse = |text: &str| {
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            if bare == "localhost" {
                Ok(IpAddr::from([127, 0, 0, 1]))
            } else {
                bare.parse().map_err(|_| "is not an IP address".to_owned())
            }
        };
        let host = self.parse(host, hint, parse).unwrap_or(IpAddr::from([0_u16; 8]));
        SocketAddr::new(host, self.read_within(port, default_port, 1..=65535, "port"))
    }

    /// Names of one kind (topics, channels), as `(variable, default)`; each is valid by `check`, and no two are the same.
    pub fn read_names<const N: usize>(
        &mut self,
        variables: [(&'static str, &str); N],
        hint: &str,
        check: fn(&str) -> bool,
    ) -> [String; N] {
        let mut first = HashMap::new();
        variables.map(|(variable, default)| {
            let parse =
                |text: &str| if check(text) { Ok(text.to_owned()) } else { Err("is not a valid name".to_owned()) };
            let name = self.parse(variable, hint, parse).unwrap_or_else(|| default.to_owned());
            if let Some(other) = first.insert(name.clone(), variable) {
                self.problem(variable, format_args!("`{name}` is also the name in {other} (expected different names)"));
            }
            name
        })
    }
}

fn check_url(text: &str, schemes: &[&str]) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|_| "is not a URL".to_owned())?;
    let known = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    if !known {
        return Err(format!("does not begin with {}", schemes.each_followed_by("://", " or ")));
    }
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("contains a user name or password; keys have variables of their own".to_owned());
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has no valid port".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

trait MapJoin {
    /// Each word followed by `after`, with `between` between them.
    fn each_followed_by(&self, after: &str, between: &str) -> String;
}

impl MapJoin for [&str] {
    fn each_followed_by(&self, after: &str, between: &str) -> String {
        self.iter().map(|word| format!("{word}{after}")).collect::<Vec<_>>().join(between)
    }
}

fn check_host(text: &str) -> Result<(), String> {
    if text.contains("://") {
        return Err("contains a scheme".to_owned());
    }
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if text.contains(':') {
        return Err("contains a port; ports have a variable of their own".to_owned());
    }
    let label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(label) {
        return Err("is not a host name".to_owned());
    }
    Ok(())
}

fn check_server(text: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("`{text}` {what}"));
    if text.contains("://") {
        return fault("contains a scheme");
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if let Err(what) = check_host(host) {
        return fault(&what);
    }
    match port.map(str::parse::<u16>) {
        Some(Ok(1..)) => Ok(()),
        Some(_) => fault("has no valid port"),
        None => fault("has no port"),
    }
}

/// Whether Kafka takes a topic of this name.
pub(crate) fn is_topic(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != ".."
}

/// Whether a Redis channel may have this name: printable, without blanks.
pub(crate) fn is_channel(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A value as an error may show it: user names, passwords and queries of URLs are left out.
pub(crate) fn without_credentials(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    match rest.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}://…@{host}{query}")),
        None if query.is_empty() => Cow::Borrowed(text),
        None => Cow::Owned(format!("{scheme}://{rest}{query}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T>(pairs: &[(&str, &str)], read: impl FnOnce(&mut Vars) -> T) -> String {
        Vars::from_pairs(pairs).load(read).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_url_needs_scheme_and_host_and_shows_no_credentials() {
        let read = |text: &str| {
            problem(&[("URL", text)], |vars| vars.read_url("URL", "https://a.example", &["http", "https"]))
        };
        for good in ["", "http://a", "https://a.example/b/", "http://127.0.0.1:80", "http://[::1]:8000"] {
            assert_eq!(read(good), "", "{good}");
        }
        for bad in [
            "foo",
            "localhost:8000",
            "ftp://a",
            "https://",
            "https:///x",
            "http://a:0",
            "http://a:99999",
            "http://a b",
            "http:/a",
        ] {
            assert!(read(bad).contains(&format!("URL: `{bad}`: ")), "{bad}: {}", read(bad));
        }
        let error = read("https://user:swordfish@a.example/?token=swordfish");
        assert!(error.contains("variables of their own") && !error.contains("swordfish"), "{error}");
    }

    #[test]
    fn hosts_and_servers_have_no_scheme() {
        let host = |text: &str| problem(&[("H", text)], |vars| vars.read_host("H", "localhost"));
        let servers = |text: &str| problem(&[("S", text)], |vars| vars.read_servers("S", "localhost:9093"));
        for good in ["redis", "10.0.0.1", "::1", "my_redis.svc.local"] {
            assert_eq!(host(good), "", "{good}");
        }
        for bad in ["redis://a", "a:6379", "a b", "a/b", "tcp://10.0.0.1:6379"] {
            assert!(host(bad).contains("`: "), "{bad}");
        }
        for good in ["a:1", "a:9092, b:9092", "[::1]:9092", "10.0.0.1:9092,"] {
            assert_eq!(servers(good), "", "{good}");
        }
        for bad in ["http://a:9092", "a", "a:0", "a:http", "a:9092,b", "::1", ","] {
            assert!(servers(bad).contains(&format!("S: `{bad}`: ")), "{bad}: {}", servers(bad));
        }
    }

    #[test]
    fn a_listener_takes_both_families_unless_told_otherwise() {
        let listen = |pairs: &[(&str, &str)]| Vars::from_pairs(pairs).load(|vars| vars.read_listen("H", "P", 9101));
        assert_eq!(listen(&[]).unwrap().to_string(), "[::]:9101");
        assert_eq!(listen(&[("H", "127.0.0.1"), ("P", "1")]).unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(listen(&[("H", "[::1]")]).unwrap().to_string(), "[::1]:9101");
        assert!(
            listen(&[("H", "example.com")]).unwrap_err().to_string().contains("`example.com`: is not an IP address")
        );
    }

    #[test]
    fn names_of_one_kind_are_valid_and_differ() {
        let read = |pairs: &[(&str, &str)]| {
            problem(pairs, |vars| vars.read_names([("A", "one"), ("B", "two")], "a topic", is_topic))
        };
        assert_eq!(read(&[("A", "three")]), "");
        assert!(read(&[("A", "two")]).contains("B: `two` is also the name in A"));
        assert!(read(&[("A", "a b")]).contains("A: `a b`: is not a valid name"));
    }
}
