//! In which form a client wants its bars.

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::problem::Problem;
use crate::render::{self, Bars, arrow, table};
use crate::reply::Answer;

/// Carries the token of the next page where the body has no place for it.
pub const NEXT_PAGE_TOKEN: &str = "x-next-page-token";
/// Carries `as_of` where the body has no place for it, as JSON.
pub const AS_OF: &str = "x-as-of";

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
    /// What `Accept` likes best; JSON where it does not care, or knows none of ours.
    #[must_use]
    pub fn wanted(request: &HttpRequest) -> Self {
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let liked = accept.split(',').filter_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let format = Self::named(parts.next()?)?;
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
            (quality > 0.0).then_some((format, quality))
        });
        let mut best = (Self::Json, 0.0);
        for (format, quality) in liked {
            if quality > best.1 {
                best = (format, quality); // of equals the first
            }
        }
        best.0
    }

    fn named(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "text/csv" | "text/*" => Some(Self::Csv),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            _ => None,
        }
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
            ("*/*", Format::Json),
            ("text/csv", Format::Csv),
            ("application/x-ndjson", Format::Ndjson),
            ("application/vnd.apache.arrow.stream", Format::Arrow),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Json),
            ("text/csv;q=0.5, application/json", Format::Json),
            ("application/json;q=0.1, text/csv;q=0.5", Format::Csv),
            ("text/csv;q=0", Format::Json),
            ("text/csv;q=x", Format::Json),
            ("image/png", Format::Json),
            ("", Format::Json),
        ] {
            let request = TestRequest::get().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(Format::wanted(&request), format, "{accept}");
        }
    }
}
