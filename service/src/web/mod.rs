//! What both front doors, the gateway and the history API, decide in the same way. Nothing here knows a web framework.
//!
//! | module | decides |
//! | --- | --- |
//! | [`access`] | who may come in: API keys and signed tokens, and the [`Grant`](access::Grant) that they stand for |
//! | [`scope`] | what a grant covers: symbols, streams, history |
//! | [`routes`] | which routes of the history there are, and what each of them needs of a scope |
//! | [`admission`] | how many connections and sessions, in all and per client address, and how fast |
//! | [`client_address`] | whose address that is behind trusted proxies |
//! | [`origin`] | which web pages may ask from a browser |
//! | [`problem`] | the one shape of errors, `application/problem+json` |
//! | [`request_id`] | the one name of a request, from the client to every log |

pub mod access;
pub mod admission;
pub mod client_address;
pub mod origin;
pub mod problem;
pub mod request_id;
pub mod routes;
pub mod scope;

/// The value of one query parameter, decoded; the first where a name occurs more than once.
#[must_use]
pub fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The query as it came, without the parameter `token`, which is nobody else's business.
#[must_use]
pub fn without_token(query: &str) -> String {
    let is_token = |pair: &str| form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == "token");
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !is_token(pair)).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_passes_as_it_came_and_the_token_does_not() {
        let kept = without_token("start=2024-01-02T10%3A00:00Z&token=abc&limit=5&%74oken=abc");
        assert_eq!(kept, "start=2024-01-02T10%3A00:00Z&limit=5");
        assert_eq!(without_token("token=abc"), "");
    }

    #[test]
    fn query_values_are_decoded() {
        assert_eq!(query_value(Some("EIO=4&token=a%2Eb+c"), "token").as_deref(), Some("a.b c"));
        assert_eq!(query_value(Some("EIO=4"), "token"), None);
        assert_eq!(query_value(None, "token"), None);
    }
}
