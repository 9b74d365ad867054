//! Who may come in: API keys ask for tokens, tokens open sockets. A token is a JWT signed with HMAC-SHA-256.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use market::Symbol;
use serde::{Deserialize, Serialize};
use service::Secret;
use sha2::Sha256;

use crate::config::AccessConfig;
use crate::records::channel::{Channel, Channels};
use crate::subscriptions::scope::Scope;

/// The only header that tokens of this gateway have.
static HEADER: LazyLock<String> = LazyLock::new(|| BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#));
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8_192;

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// When it runs out, in Unix seconds.
    pub exp: u64,
    /// When it was made, in Unix seconds.
    #[serde(default)]
    pub iat: u64,
    /// Symbols that it opens; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols: Option<Vec<String>>,
    /// Streams that it opens; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<String>>,
    /// `notification`: the token alone subscribes, and the client is sent key-value notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

/// What a valid token or key grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Unix milliseconds after which it is over; never where `None`.
    pub expires_ms: Option<u64>,
    /// What may be followed; everything where `None`.
    pub scope: Option<Scope>,
    /// Whether it is a subscription by itself.
    pub notification: bool,
}

impl Grant {
    /// Everything, for ever.
    const ALL: Self = Self { expires_ms: None, scope: None, notification: false };
}

/// Why somebody stays outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token where one is needed.
    #[error("a token or key is needed: ask POST /api/token for one")]
    Missing,
    /// Not a token of this gateway, or not a key that it knows.
    #[error("this token or key is not valid here")]
    Invalid,
    /// Was a token once.
    #[error("this token has expired: ask for a new one")]
    Expired,
}

/// Checks keys and tokens.
pub struct Access {
    required: bool,
    keys: Vec<Secret>,
    signer: Hmac<Sha256>,
    token_life: Duration,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("required", &self.required)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Access {
    /// As the settings say.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn new(config: &AccessConfig) -> Self {
        let random: [u8; 32] = rand::random();
        let key = config.signing_key.as_ref().map_or(random.as_slice(), |key| key.expose().as_bytes());
        let signer = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { required: config.required, keys: config.keys.clone(), signer, token_life: config.token_life }
    }

    /// Makes a token. Its life is the configured one, or `life` where that is shorter.
    #[must_use]
    pub fn issue(&self, mut claims: Claims, life: Option<Duration>) -> (String, Claims) {
        let life = life.map_or(self.token_life, |life| life.min(self.token_life));
        claims.iat = unix_ms() / 1_000;
        claims.exp = claims.iat + life.as_secs();
        let body = BASE64.encode(serde_json::to_vec(&claims).unwrap_or_default());
        let signed = format!("{}.{body}", *HEADER);
        let signature = BASE64.encode(self.sign(signed.as_bytes()));
        (format!("{signed}.{signature}"), claims)
    }

    /// Lets a client in by what it brought: a token, a key, or nothing where none is needed.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, credential: Option<&str>) -> Result<Grant, Denied> {
        match credential {
            None if self.required => Err(Denied::Missing),
            None => Ok(Grant::ALL),
            Some(key) if self.knows(key) => Ok(Grant::ALL),
            Some(token) => self.verify(token, unix_ms()),
        }
    }

    /// Whether tokens may be had by whoever brings this: a known key, or anybody where none is needed.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_issue(&self, credential: Option<&str>) -> Result<(), Denied> {
        match credential {
            Some(key) if self.knows(key) => Ok(()),
            _ if !self.required && self.keys.is_empty() => Ok(()),
            Some(_) => Err(Denied::Invalid),
            None => Err(Denied::Missing),
        }
    }

    fn verify(&self, token: &str, now_ms: u64) -> Result<Grant, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Denied::Invalid);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Denied::Invalid)?;
        let signature = BASE64.decode(signature).map_err(|_| Denied::Invalid)?;
        let mut signer = self.signer.clone();
        signer.update(signed.as_bytes());
        signer.verify_slice(&signature).map_err(|_| Denied::Invalid)?; // in constant time
        let (head, body) = signed.split_once('.').ok_or(Denied::Invalid)?;
        // The signature already proves who wrote the header; still, no other algorithm is ever looked at.
        let claims = BASE64.decode(body).ok().filter(|_| head == *HEADER).ok_or(Denied::Invalid)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| Denied::Invalid)?;
        let expires_ms = claims.exp.saturating_mul(1_000);
        if expires_ms <= now_ms {
            return Err(Denied::Expired);
        }
        Ok(Grant {
            expires_ms: Some(expires_ms),
            scope: claims.scope()?,
            notification: claims.purpose.as_deref() == Some("notification"),
        })
    }

    fn knows(&self, key: &str) -> bool {
        // Comparing signatures takes the same time wherever the texts differ.
        let given = self.sign(key.as_bytes());
        self.keys.iter().any(|known| self.sign(known.expose().as_bytes()) == given)
    }

    fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        let mut signer = self.signer.clone();
        signer.update(bytes);
        signer.finalize().into_bytes().into()
    }
}

impl Claims {
    fn scope(&self) -> Result<Option<Scope>, Denied> {
        if self.symbols.is_none() && self.streams.is_none() {
            return Ok(None);
        }
        let symbols =
            self.symbols.as_ref().map(|names| names.iter().map(|name| Symbol::new(name)).collect()).transpose();
        let channels = match &self.streams {
            None => Channels::ALL,
            Some(names) => {
                let channels: Result<Vec<Channel>, _> = names.iter().map(|name| name.parse()).collect();
                Channels::of(channels.map_err(|_| Denied::Invalid)?)
            }
        };
        Ok(Some(Scope { symbols: symbols.map_err(|_| Denied::Invalid)?, channels }))
    }
}

/// What a request brings: `?token=`, `X-API-Key`, or `Authorization: Bearer`.
#[must_use]
pub fn credential(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let from_query = query_value(query, "token").filter(|token| !token.is_empty());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || text(header::AUTHORIZATION.as_str())?.strip_prefix("Bearer ");
    from_query.or_else(|| text("x-api-key").or_else(bearer).map(str::to_owned)).filter(|text| !text.is_empty())
}

/// The value of one query parameter, decoded.
#[must_use]
pub fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).and_then(|(_, value)| percent_decode(value))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// Now, in Unix milliseconds.
#[must_use]
pub fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(required: bool, keys: &[&str]) -> Access {
        Access::new(&AccessConfig {
            required,
            keys: keys.iter().map(|key| Secret::new(*key)).collect(),
            signing_key: None,
            token_life: Duration::from_secs(300),
        })
    }

    fn scoped() -> Claims {
        Claims { symbols: Some(vec!["AAPL".to_owned()]), streams: Some(vec!["trades".to_owned()]), ..Claims::default() }
    }

    #[test]
    fn a_token_opens_what_it_says_until_it_runs_out() {
        let access = access(true, &[]);
        let (token, claims) = access.issue(scoped(), None);
        let grant = access.admit(Some(&token)).unwrap();
        let scope = grant.scope.unwrap();
        assert!(scope.symbols.unwrap().contains(b"AAPL".as_slice()));
        assert!(scope.channels.has(Channel::Trades) && !scope.channels.has(Channel::Bars));
        assert_eq!(claims.exp - claims.iat, 300);
        assert_eq!(access.verify(&token, claims.exp * 1_000), Err(Denied::Expired));
    }

    #[test]
    fn a_token_that_was_touched_opens_nothing() {
        let (ours, theirs) = (access(true, &[]), access(true, &[]));
        let (token, _) = ours.issue(scoped(), None);
        let parts: Vec<&str> = token.split('.').collect();
        let wider = BASE64.encode(r#"{"exp":99999999999}"#);
        let unsigned = BASE64.encode(r#"{"alg":"none"}"#);
        let forged = [
            format!("{}.{wider}.{}", parts[0], parts[2]),
            format!("{unsigned}.{wider}."),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            token[..token.len() - 2].to_owned(),
            "..".to_owned(),
            "x".repeat(10_000),
        ];
        for token in forged {
            assert_eq!(ours.admit(Some(&token)), Err(Denied::Invalid), "{token}");
        }
        assert_eq!(theirs.admit(Some(&token)), Err(Denied::Invalid), "another gateway's key");
    }

    #[test]
    fn keys_get_tokens_and_open_everything() {
        let access = access(true, &["a key of some length"]);
        assert_eq!(access.admit(Some("a key of some length")), Ok(Grant::ALL));
        assert_eq!(access.may_issue(Some("a key of some length")), Ok(()));
        assert_eq!(access.may_issue(Some("another")), Err(Denied::Invalid));
        assert_eq!(access.may_issue(None), Err(Denied::Missing));
        assert_eq!(access.admit(None), Err(Denied::Missing));
        assert_eq!(self::access(false, &[]).admit(None), Ok(Grant::ALL));
    }

    #[test]
    fn credentials_are_found_where_clients_put_them() {
        let mut headers = HeaderMap::new();
        assert_eq!(credential(&headers, Some("EIO=4&token=a%2Eb+c")), Some("a.b c".to_owned()));
        headers.insert("authorization", "Bearer xyz".parse().unwrap());
        assert_eq!(credential(&headers, Some("token=")), Some("xyz".to_owned()));
        headers.insert("x-api-key", "key".parse().unwrap());
        assert_eq!(credential(&headers, None), Some("key".to_owned()));
        assert_eq!(query_value(Some("token=%zz"), "token"), None);
    }
}
