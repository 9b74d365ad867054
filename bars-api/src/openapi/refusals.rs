//! The ways in which a request is refused, written once.
#![expect(missing_docs, reason = "the comment of a variant is the response's description")]

use utoipa::IntoResponses;

use crate::problem::ProblemBody;

#[derive(IntoResponses)]
pub enum Refused {
    /// A parameter is wrong; `parameter` and `detail` say which and what would do.
    #[response(status = 400, content_type = "application/problem+json")]
    Parameter(ProblemBody),
    /// A key or token is needed (where `AUTH_REQUIRED` is on): `Authorization: Bearer …` or `X-API-Key: …`; or the token has expired.
    #[response(status = 401, content_type = "application/problem+json")]
    Key(ProblemBody),
    /// Your token does not cover this symbol, this stream or what is stored.
    #[response(status = 403, content_type = "application/problem+json")]
    Scope(ProblemBody),
    /// `Accept` takes nothing that this route offers.
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(ProblemBody),
    /// More requests than a caller may send in a minute (where that is limited); `X-RateLimit-Limit`, `-Remaining`, `-Reset` and `Retry-After` say more.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(ProblemBody),
    /// Busy, or no database: come back after `Retry-After` seconds.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}

#[derive(IntoResponses)]
pub enum NotStored {
    /// The route is one of Alpaca's, but nothing of the kind is stored here.
    #[response(status = 403, content_type = "application/problem+json")]
    NotStored(ProblemBody),
}

#[derive(IntoResponses)]
pub enum Unknown {
    /// Nothing of this symbol is stored.
    #[response(status = 404, content_type = "application/problem+json")]
    Symbol(ProblemBody),
}

#[derive(IntoResponses)]
pub enum Unchanged {
    /// What `If-None-Match` names still holds.
    #[response(status = 304)]
    Held,
}
