//! In which form a client wants its bars.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};

use crate::params::Params;
use crate::problem::Problem;
use crate::render::{self, Bars, arrow, table};
use crate::reply::{Answer, JSON};

/// Carries the token of the next page where the body has no place for it.
pub const NEXT_PAGE_TOKEN: &str = "x-next-page-token";
/// Carries `as_of` where the body has no place for it, as JSON.
pub const AS_OF: &str = "x-as-of";

/// The forms by their name in `format` and in `Accept`, the preferred ones first.
const OFFERED: [(&str, &str, Format); 6] = [
    ("json", "application/json", Format::Json),
    ("csv", "text/csv", Format::Csv),
    ("ndjson", "application/x-ndjson", Format::Ndjson),
    ("ndjson", "application/ndjson", Format::Ndjson),
    ("ndjson", "application/jsonl", Format::Ndjson),
    ("arrow", "application/vnd.apache.arrow.stream", Format::Arrow),
];

fn names() -> String {
    let mut names: Vec<&str> = OFFERED.iter().map(|(name, _, _)| *name).collect();
    names.dedup();
    names.join("|")
}

/// Of what is offered, best first, what the request's `Accept` likes best; `None` where it takes none of it. Without `Accept` anything will
/// do. The more precise of two ranges decides about a media type (RFC 9110 §12.5.1).
pub fn liked<T: Copy>(request: &HttpRequest, offered: &[(&str, T)]) -> Option<T> {
    let mut accept = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()).peekable();
    if accept.peek().is_none_or(|list| list.trim().is_empty()) {
        return offered.first().map(|(_, one)| *one);
    }
    let ranges: Vec<(String, f32)> = accept.flat_map(|list| list.split(',')).filter_map(range).collect();
    let quality = |media: &str| {
        let whole = media.split_once('/').map(|(kind, _)| format!("{kind}/*")).unwrap_or_default();
        let of = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, quality)| *quality);
        of(media).or_else(|| of(&whole)).or_else(|| of("*/*")).unwrap_or(0.0)
    };
    // Named outright, a form that is offered later still beats one that a wildcard lets pass.
    let rank = |media: &str| (quality(media), ranges.iter().any(|(range, _)| range == media));
    let mut best: Option<((f32, bool), T)> = None;
    for (media, one) in offered {
        let rank = rank(media);
        if rank.0 > 0.0 && best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, *one));
        }
    }
    best.map(|(_, one)| one)
}

/// A media range and its quality; parameters beside `q` make no difference. A quality that is no number is 0.
fn range(item: &str) -> Option<(String, f32)> {
    let mut parts = item.split(';').map(str::trim);
    let range = parts.next()?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
    Some((range, if quality.is_finite() { quality } else { 0.0 }))
}

/// Lets only those through that take JSON; for routes that have nothing else.
///
/// # Errors
/// What the routes behind it say.
pub async fn only_json<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if liked(request.request(), &[(JSON, ())]).is_none() {
        return Ok(request.error_response(Problem::not_acceptable(JSON, "")).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// The forms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object with everything.
    Json,
    /// A header line, then one bar a line.
    Csv,
    /// One bar a line, as JSON.
    Ndjson,
    /// Columns: an Apache Arrow IPC stream.
    Arrow,
}

impl Format {
    /// What `format` names, else what `Accept` likes best; JSON where neither says anything.
    ///
    /// # Errors
    /// 400 for an unknown `format`; 406 where `Accept` takes nothing that is offered here.
    pub fn wanted(request: &HttpRequest, params: &Params) -> Result<Self, Problem> {
        if let Some(name) = params.text("format") {
            let found = OFFERED.iter().find(|(known, _, _)| *known == name).map(|(_, _, format)| *format);
            return found.ok_or_else(|| Problem::parameter("format", name, format_args!("one of {}", names())));
        }
        let media_types: Vec<(&str, Self)> = OFFERED.iter().map(|(_, media, format)| (*media, *format)).collect();
        liked(request, &media_types).ok_or_else(|| {
            let offered: Vec<&str> = media_types.iter().map(|(media, _)| *media).collect();
            Problem::not_acceptable(
                &offered.join(", "),
                &format!("; or name the format in the URL: ?format={}", names()),
            )
        })
    }

    /// What `Content-Type` says.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// A page of bars in this form.
    ///
    /// # Errors
    /// 500 where columns do not make a table, which would be a mistake of ours.
    pub fn page(self, page: &Bars<'_>) -> Result<Answer, Problem> {
        let body = match self {
            Self::Json => return Ok(Answer::of_records(render::bars(page), page.complete)),
            Self::Csv => table::csv(page.series, page.bars, page.lines),
            Self::Ndjson => table::ndjson(page.series, page.bars, page.lines),
            Self::Arrow => arrow::stream(page).map_err(|error| {
                tracing::error!(%error, "bars make no Arrow stream");
                Problem::internal()
            })?,
        };
        let as_of = page.edge.map(|edge| {
            let mut json = Vec::new();
            render::as_of(&mut json, edge);
            (AS_OF, String::from_utf8(json).unwrap_or_default())
        });
        let token = page.token.map(|token| (NEXT_PAGE_TOKEN, token.to_owned()));
        Ok(Answer::with_headers(body, page.complete, as_of.into_iter().chain(token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_best_liked_form_wins() {
        for (accept, format) in [
            ("*/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            ("application/vnd.apache.arrow.stream", Some(Format::Arrow)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(Format::Json)),
            ("text/csv;q=0.5, application/json", Some(Format::Json)),
            ("application/json;q=0.1, text/csv;q=0.5", Some(Format::Csv)),
            ("text/csv, */*", Some(Format::Csv)),
            ("application/json;q=0, */*", Some(Format::Csv)),
            ("text/csv;q=0", None),
            ("text/csv;q=x", None),
            ("image/png", None),
            ("application/xml", None),
            ("", Some(Format::Json)),
        ] {
            let request = TestRequest::get().insert_header((header::ACCEPT, accept)).to_http_request();
            let params = Params::strict("", &[]).unwrap();
            assert_eq!(Format::wanted(&request, &params).ok(), format, "{accept}");
        }
    }

    #[test]
    fn a_form_can_be_named_in_the_url() {
        let request = TestRequest::get().insert_header((header::ACCEPT, "text/html")).to_http_request();
        let params = |query| Params::strict(query, &["format"]).unwrap();
        assert_eq!(Format::wanted(&request, &params("format=csv")).unwrap(), Format::Csv);
        let refused = Format::wanted(&request, &params("format=xls")).unwrap_err().to_string();
        assert!(refused.contains("json|csv|ndjson|arrow"), "{refused}");
        let refused = Format::wanted(&request, &params("")).unwrap_err().to_string();
        assert!(refused.contains("406") && refused.contains("text/csv"), "{refused}");
    }
}
