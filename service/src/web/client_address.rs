//! Whose address a request came from, behind proxies: `TRUSTED_PROXIES`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::Vars;

/// Proxies whose word about the client's address counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// An address or a network in `TRUSTED_PROXIES`.
struct Network(IpNet);

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| "not an address or network")
    }
}

impl TrustedProxies {
    /// Reads `TRUSTED_PROXIES`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let hint = "addresses or networks such as 10.0.0.0/8, comma-separated";
        let list = vars.read_list::<Network>("TRUSTED_PROXIES", "", hint);
        Self(list.into_iter().map(|network| network.0).collect())
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: the peer's, or, when that is a trusted proxy, the last address in `X-Forwarded-For` (without that header: in
    /// `Forwarded`) that is not one. Read from right to left, because everything left of the first untrusted address is that client's own
    /// claim.
    ///
    /// `headers` gives all values of a header, in order.
    pub fn client<'a, Values>(&self, peer: IpAddr, headers: impl Fn(&'static str) -> Values) -> IpAddr
    where
        Values: Iterator<Item = &'a [u8]>,
    {
        let mut client = peer.to_canonical();
        if !self.trust(client) {
            return client;
        }
        let text = |name| {
            let values: Vec<_> = headers(name).map(String::from_utf8_lossy).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let hops: Vec<Option<IpAddr>> = match text("x-forwarded-for") {
            Some(list) => list.split(',').map(read_address).collect(),
            None => text("forwarded").iter().flat_map(|list| list.split(',')).map(read_forwarded).collect(),
        };
        for hop in hops.into_iter().rev() {
            let Some(address) = hop else { break }; // the proxy itself says it does not know
            client = address;
            if !self.trust(client) {
                break;
            }
        }
        client
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn read_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.split_once(']')).map_or(text, |(address, _)| address);
    let address: Option<IpAddr> = bare.parse().ok();
    let address = address.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

/// One element of `Forwarded` (RFC 7239): `for="[2001:db8::1]:4711";proto=https`.
fn read_forwarded(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    read_address(named.next()?.1.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&str, &str)]) -> String {
        let trusted = Vars::from_pairs(&[("TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1,2001:db8::/32")]);
        let trusted = trusted.load(TrustedProxies::from_vars).unwrap();
        let values = |name: &'static str| {
            headers.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_bytes())
        };
        trusted.client(peer.parse().unwrap(), values).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        assert_eq!(client("192.0.2.9", &[("x-forwarded-for", "198.51.100.1")]), "192.0.2.9");
        assert_eq!(client("192.0.2.9", &[("forwarded", "for=198.51.100.1")]), "192.0.2.9");
        let claimed = [("x-forwarded-for", "1.1.1.1, 198.51.100.1, 10.0.0.7")];
        assert_eq!(client("127.0.0.1", &claimed), "198.51.100.1", "left of the first stranger is only a claim");
        let split = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.1")];
        assert_eq!(client("127.0.0.1", &split), "198.51.100.1", "the last of several headers counts");
        let both = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "198.51.100.1")];
        assert_eq!(client("127.0.0.1", &both), "198.51.100.1");
    }

    #[test]
    fn a_trusted_proxy_names_the_client_in_every_notation() {
        for (header, value) in [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-for", "198.51.100.1:4711"),
            ("forwarded", "for=198.51.100.1;proto=https"),
            ("forwarded", "proto=https; For=\"198.51.100.1:4711\""),
            ("x-forwarded-for", "::ffff:198.51.100.1"),
        ] {
            assert_eq!(client("::ffff:127.0.0.1", &[(header, value)]), "198.51.100.1", "{value}");
        }
        assert_eq!(client("2001:db8::7", &[("forwarded", "for=\"[2001:db9::1]:80\"")]), "2001:db9::1");
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", "unknown")]), "10.1.1.1");
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn a_network_that_makes_no_sense_is_reported() {
        let vars = Vars::from_pairs(&[("TRUSTED_PROXIES", "10.0.0.0/40,nginx")]);
        let error = vars.load(TrustedProxies::from_vars).unwrap_err().to_string();
        assert!(error.contains("10.0.0.0/40") && error.contains("nginx"), "{error}");
    }
}
