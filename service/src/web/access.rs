//! Who may come in: API keys open everything, tokens open what they say. A token is a JWT signed with HMAC-SHA-256; with a common
//! `TOKEN_SIGNING_KEY` the same token is good at every instance of the gateway and of the history API.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use market::Symbol;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::scope::{Scope, Stream, Streams};
use crate::{Secret, Vars};

/// The only header that our tokens have. No other algorithm is ever looked at.
static HEADER: LazyLock<String> = LazyLock::new(|| BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#));
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8_192;
/// Shortest API key, in bytes.
const KEY_BYTES_MIN: usize = 16;
/// Shortest signing key, in bytes.
const SIGNING_KEY_BYTES_MIN: usize = 32;

/// The settings.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// Whether a token or key is needed.
    pub required: bool,
    /// Keys that open everything and may ask for tokens.
    pub keys: Vec<Secret>,
    /// Signs tokens. When not set it is random, so tokens are good at this instance alone.
    pub signing_key: Option<Secret>,
    /// How long a token is good for.
    pub token_life: Duration,
}

impl AccessConfig {
    /// Reads `AUTH_REQUIRED`, `API_KEYS`, `TOKEN_SIGNING_KEY` and `TOKEN_LIFE_S`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let config = Self {
            required: vars.read_switch("AUTH_REQUIRED", false),
            keys: vars.secret_list("API_KEYS"),
            signing_key: vars.secret("TOKEN_SIGNING_KEY"),
            token_life: Duration::from_secs(vars.read_within("TOKEN_LIFE_S", 300, 10..=86_400, "seconds")),
        };
        if config.signing_key.as_ref().is_some_and(|key| key.expose().len() < SIGNING_KEY_BYTES_MIN) {
            vars.problem("TOKEN_SIGNING_KEY", "needs at least 32 characters");
        }
        if config.keys.iter().any(|key| key.expose().len() < KEY_BYTES_MIN) {
            vars.problem("API_KEYS", "every key needs at least 16 characters");
        }
        if config.required && config.keys.is_empty() {
            vars.problem("API_KEYS", "not set (expected keys, comma-separated, because AUTH_REQUIRED is on)");
        }
        config
    }
}

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// When it expires, in Unix seconds.
    pub exp: u64,
    /// When it was issued, in Unix seconds.
    #[serde(default)]
    pub iat: u64,
    /// Symbols that it opens; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols: Option<Vec<String>>,
    /// Streams that it opens; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<String>>,
    /// Whether it opens what is stored; yes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<bool>,
    /// `notification`: the token alone subscribes, and the client is sent key-value notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

impl Claims {
    /// The scope that they describe.
    ///
    /// # Errors
    /// The invalid claim, and why it is invalid.
    pub fn scope(&self) -> Result<Scope, String> {
        let symbol = |name: &String| name.parse::<Symbol>().map_err(|reject| format!("symbols: `{name}`: {reject}"));
        let symbols: Option<BTreeSet<Symbol>> =
            self.symbols.as_ref().map(|names| names.iter().map(symbol).collect()).transpose()?;
        let stream = |name: &String| name.parse::<Stream>().map_err(|reject| format!("streams: `{name}`: {reject}"));
        let streams: Option<Vec<Stream>> =
            self.streams.as_ref().map(|names| names.iter().map(stream).collect()).transpose()?;
        let streams = streams.map_or(Streams::ALL, |streams| Streams::of(&streams));
        Ok(Scope::new(symbols, streams, self.history.unwrap_or(true)))
    }
}

/// What a credential opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who came.
    pub caller: Caller,
    /// Unix milliseconds after which it is over; never when `None`.
    pub expires_ms: Option<u64>,
    /// What it covers.
    pub scope: Scope,
    /// Whether it is a subscription by itself.
    pub notification: bool,
}

/// Who came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody without a key or token.
    Anonymous,
    /// Who has this key (its place in the list).
    Key(usize),
    /// Who has a token.
    Token,
}

impl Grant {
    fn all(caller: Caller) -> Self {
        Self { caller, expires_ms: None, scope: Scope::ALL, notification: false }
    }
}

/// Why somebody stays outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token where one is needed.
    #[error(
        "a token or key is needed: send `Authorization: Bearer …` or `X-API-Key: …`; POST /api/token of the gateway issues tokens"
    )]
    Missing,
    /// Not one of our tokens, and not a known key.
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

    /// Issues a token. It lives as long as configured, or `life` when that is shorter.
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

    /// Admits a client by what it brought: a token, a key, or nothing where none is needed.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, credential: Option<&str>) -> Result<Grant, Denied> {
        let Some(credential) = credential else {
            return if self.required { Err(Denied::Missing) } else { Ok(Grant::all(Caller::Anonymous)) };
        };
        match self.key(credential) {
            Some(key) => Ok(Grant::all(Caller::Key(key))),
            None => self.verify(credential, unix_ms()),
        }
    }

    /// The same for a service whose clients may bring keys that are meant for others: where none is needed, what is not ours counts as
    /// nothing. A token of ours still narrows what its holder may see.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit_lenient(&self, credential: Option<&str>) -> Result<Grant, Denied> {
        match self.admit(credential) {
            Err(Denied::Invalid) if !self.required => Ok(Grant::all(Caller::Anonymous)),
            admitted => admitted,
        }
    }

    /// Whether tokens are issued to whoever brings this: a known key, or anybody where none is needed.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_issue(&self, credential: Option<&str>) -> Result<(), Denied> {
        match credential {
            Some(key) if self.key(key).is_some() => Ok(()),
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
        let claims = BASE64.decode(body).ok().filter(|_| head == *HEADER).ok_or(Denied::Invalid)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| Denied::Invalid)?;
        let expires_ms = claims.exp.saturating_mul(1_000);
        if expires_ms <= now_ms {
            return Err(Denied::Expired);
        }
        Ok(Grant {
            caller: Caller::Token,
            expires_ms: Some(expires_ms),
            scope: claims.scope().map_err(|_| Denied::Invalid)?,
            notification: claims.purpose.as_deref() == Some("notification"),
        })
    }

    fn key(&self, given: &str) -> Option<usize> {
        // Comparing signatures takes the same time wherever the texts differ.
        let given = self.sign(given.as_bytes());
        self.keys.iter().position(|known| self.sign(known.expose().as_bytes()) == given)
    }

    fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        let mut signer = self.signer.clone();
        signer.update(bytes);
        signer.finalize().into_bytes().into()
    }
}

/// What a request brings, wherever clients put it: `?token=`, `X-API-Key`, `Authorization: Bearer`, or Alpaca's `APCA-API-KEY-ID`.
#[must_use]
pub fn credential<'a>(header: impl Fn(&'static str) -> Option<&'a str>, query: Option<&str>) -> Option<String> {
    let bearer = || {
        let (scheme, token) = header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    };
    let given = || header("x-api-key").or_else(bearer).or_else(|| header("apca-api-key-id"));
    let from_query = super::query_value(query, "token").filter(|token| !token.is_empty());
    from_query.or_else(|| given().map(|text| text.trim().to_owned())).filter(|text| !text.is_empty())
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
    fn a_token_opens_what_it_says_until_it_expires() {
        let access = access(true, &[]);
        let (token, claims) = access.issue(scoped(), None);
        let scope = access.admit(Some(&token)).unwrap().scope;
        assert!(scope.allows(&Symbol::new("AAPL").unwrap()) && !scope.allows(&Symbol::new("MSFT").unwrap()));
        assert!(scope.allows_stream(Stream::Trades) && !scope.allows_stream(Stream::Bars) && scope.allows_history());
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
        assert_eq!(theirs.admit(Some(&token)), Err(Denied::Invalid), "signed with another key");
    }

    #[test]
    fn keys_get_tokens_and_open_everything() {
        let access = access(true, &["another one", "a key of some length"]);
        assert_eq!(access.admit(Some("a key of some length")), Ok(Grant::all(Caller::Key(1))));
        assert_eq!(access.may_issue(Some("a key of some length")), Ok(()));
        assert_eq!(access.may_issue(Some("unknown")), Err(Denied::Invalid));
        assert_eq!(access.may_issue(None), Err(Denied::Missing));
        assert_eq!(access.admit(None), Err(Denied::Missing));
        assert_eq!(self::access(false, &[]).admit(None), Ok(Grant::all(Caller::Anonymous)));
    }

    #[test]
    fn keys_meant_for_others_do_no_harm_where_none_is_needed_but_a_narrow_token_stays_narrow() {
        let access = access(false, &[]);
        assert_eq!(access.admit_lenient(Some("a key of another service")), Ok(Grant::all(Caller::Anonymous)));
        let (token, _) = access.issue(scoped(), None);
        assert!(!access.admit_lenient(Some(&token)).unwrap().scope.is_all());
        assert_eq!(self::access(true, &["k"]).admit_lenient(Some("another")), Err(Denied::Invalid));
    }

    #[test]
    fn credentials_are_found_where_clients_put_them() {
        let find = |headers: &[(&str, &'static str)], query| {
            credential(|name| headers.iter().find(|(given, _)| *given == name).map(|(_, value)| *value), query)
        };
        assert_eq!(find(&[], Some("EIO=4&token=a%2Eb+c")).as_deref(), Some("a.b c"));
        assert_eq!(find(&[("authorization", "Bearer xyz")], Some("token=")).as_deref(), Some("xyz"));
        assert_eq!(find(&[("authorization", "bearer xyz")], None).as_deref(), Some("xyz"));
        assert_eq!(find(&[("authorization", "Bearer xyz"), ("x-api-key", "key")], None).as_deref(), Some("key"));
        assert_eq!(find(&[("apca-api-key-id", "key")], None).as_deref(), Some("key"));
        assert_eq!(find(&[("authorization", "Basic eA=="), ("x-api-key", "")], None), None);
    }

    #[test]
    fn a_claim_that_makes_no_sense_is_named() {
        let claims = Claims { streams: Some(vec!["news".to_owned()]), ..Claims::default() };
        assert!(claims.scope().unwrap_err().contains("news"));
        let claims = Claims { symbols: Some(vec!["\u{c9}".to_owned()]), ..Claims::default() };
        assert!(claims.scope().unwrap_err().contains("symbols"));
    }
}
