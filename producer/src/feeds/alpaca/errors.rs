//! Alpaca's error codes and what each of them means for the connection.

/// What an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// No retry can help: stop, and tell a person what to do.
    Fatal(&'static str),
    /// Try again later on a new connection.
    Reconnect,
    /// Count it and go on.
    GoOn,
    /// The server says that authentication is already done.
    AlreadyAuthenticated,
    /// Authenticate once more on this connection.
    AuthenticateAgain,
}

/// The remedy for `code`. `streaming`: whether the first subscription has been acknowledged.
#[must_use]
pub fn remedy(code: Option<i64>, streaming: bool) -> Remedy {
    match (code, streaming) {
        (Some(400), false) => {
            Remedy::Fatal("Alpaca does not understand a message: check SUBSCRIBED_SYMBOLS for a malformed symbol")
        }
        (Some(401), _) => Remedy::AuthenticateAgain,
        (Some(402), _) => Remedy::Fatal("the keys are wrong: check ALPACA_API_KEY and ALPACA_API_SECRET"),
        (Some(403), false) => Remedy::AlreadyAuthenticated,
        (Some(404 | 406 | 407 | 500), _) => Remedy::Reconnect,
        (Some(405), false) => Remedy::Fatal(
            "the plan allows fewer symbols (30 on Alpaca's free one): shorten SUBSCRIBED_SYMBOLS or upgrade the plan",
        ),
        (Some(408), _) => Remedy::Fatal("this account has no access to data API v2"),
        (Some(409), _) => Remedy::Fatal(
            "the plan does not include this feed: choose another in ALPACA_DATA_WS_URL (…/v2/iex is free)",
        ),
        (Some(410), false) => {
            Remedy::Fatal("this feed does not offer a channel that was asked for: shorten ALPACA_CHANNELS")
        }
        (Some(411), _) => Remedy::Fatal("the OAuth token lacks the scope for market data"),
        (Some(412 | 413), false) => {
            Remedy::Fatal("option streams are not supported: set ALPACA_DATA_WS_URL to a stock feed")
        }
        (_, false) => Remedy::Reconnect,
        (_, true) => Remedy::GoOn,
    }
}

/// What a person can do about an error after which the connection is tried again by itself; empty where only waiting helps.
#[must_use]
pub fn advice_while_retrying(code: Option<i64>) -> &'static str {
    match code {
        Some(406) => {
            ": another connection uses this key, and the plan allows no more; stop that one, or give this producer a key of its own"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_its_remedy() {
        let fatal = |code, streaming| matches!(remedy(Some(code), streaming), Remedy::Fatal(_));
        for code in [402, 408, 409, 411] {
            assert!(fatal(code, false) && fatal(code, true), "{code} never heals by itself");
        }
        for code in [400, 405, 410, 412, 413] {
            assert!(fatal(code, false), "{code}");
            assert_eq!(remedy(Some(code), true), Remedy::GoOn, "{code}");
        }
        for code in [404, 406, 407, 500] {
            assert_eq!(remedy(Some(code), false), Remedy::Reconnect, "{code}");
            assert_eq!(remedy(Some(code), true), Remedy::Reconnect, "{code}");
        }
        assert_eq!(remedy(Some(401), false), Remedy::AuthenticateAgain);
        assert_eq!(remedy(Some(403), false), Remedy::AlreadyAuthenticated);
        assert_eq!(remedy(Some(403), true), Remedy::GoOn);
        for code in [None, Some(999)] {
            assert_eq!(remedy(code, false), Remedy::Reconnect);
            assert_eq!(remedy(code, true), Remedy::GoOn);
        }
    }
}
