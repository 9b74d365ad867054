//! From a question to an answer: is it known already, is what is known still true, and if not, ask the database.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use crate::db::Snapshot;
use crate::db::versions::{self, Scope, Version};
use crate::params::page::fingerprint;
use crate::problem::Problem;
use crate::reply::{Answer, JSON};
use crate::state::State;

/// What decides an answer that is made of bars.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Everything that decides what the answer holds, in a normal form: equal keys have equal answers.
    pub key: String,
    /// Whose bars the answer is made of.
    pub scope: Scope,
    /// Media type of the answer.
    pub content_type: &'static str,
}

/// Answers from memory where the version of the bars still stands, else with what `make` finds in one snapshot.
///
/// Freshness: the version is read anew on each request. The sink raises it in the bars' own transaction, and it stands for the very
/// set of outages that are not healed. An answer of version n contains every bar that was committed up to n and says
/// whether it is complete; it is reused only while n is the newest version.
///
/// # Errors
/// What `make` says, or 503 where the database does not answer in time.
pub async fn versioned<A: Into<Answer>>(
    state: &State,
    request: &HttpRequest,
    ask: Ask,
    make: impl AsyncFnOnce(&Snapshot<'_>) -> Result<A, Problem>,
) -> Result<HttpResponse, Problem> {
    let answering = answer(state, request, &ask, make);
    tokio::time::timeout(state.answer_time_max, answering).await.unwrap_or_else(|_| Err(Problem::too_slow()))
}

/// Answers with what `make` finds in one snapshot; nothing is remembered.
///
/// # Errors
/// As in [`versioned`].
pub async fn fresh<A: Into<Answer>>(
    state: &State,
    make: impl AsyncFnOnce(&Snapshot<'_>) -> Result<A, Problem>,
) -> Result<HttpResponse, Problem> {
    let answering = async {
        let answer = state.database.connect().await?.snapshot(make).await?;
        Ok(respond(None, "no-cache", JSON, answer.into()))
    };
    tokio::time::timeout(state.answer_time_max, answering).await.unwrap_or_else(|_| Err(Problem::too_slow()))
}

async fn answer<A: Into<Answer>>(
    state: &State,
    request: &HttpRequest,
    ask: &Ask,
    make: impl AsyncFnOnce(&Snapshot<'_>) -> Result<A, Problem>,
) -> Result<HttpResponse, Problem> {
    let connection = state.database.connect().await?;
    if let Some(version) = versions::version(&connection, &ask.scope).await? {
        let etag = etag(version, &ask.key);
        if is_held(request, &etag) {
            connection.release();
            return Ok(not_modified(&etag, "no-cache"));
        }
        if let Some(answer) = state.remembered.get(&ask.key, version) {
            connection.release();
            metrics::counter!("bars_api_answers_total", "from" => "memory").increment(1);
            return Ok(respond_to(request, Some(etag), state.shared_answers, ask, answer));
        }
    }
    let read =
        connection.snapshot(async |snapshot| tokio::try_join!(versions::version(snapshot, &ask.scope), make(snapshot)));
    let (version, answer) = read.await?;
    let answer: Answer = answer.into();
    metrics::counter!("bars_api_answers_total", "from" => "database").increment(1);
    let etag = version.map(|version| {
        let bytes = state.remembered.put(&ask.key, version, answer.clone());
        metrics::gauge!("bars_api_remembered_bytes").set(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
        etag(version, &ask.key)
    });
    Ok(respond_to(request, etag, state.shared_answers, ask, answer))
}

/// A closed answer is named by what it holds, so that it keeps its name while bars after it are stored.
fn respond_to(request: &HttpRequest, etag: Option<String>, shared: bool, ask: &Ask, answer: Answer) -> HttpResponse {
    let Some(closed) = answer.closed else { return respond(etag.as_deref(), "no-cache", ask.content_type, answer) };
    let etag = format!("W/\"c-{:x}-{:x}\"", closed.content, fingerprint(&ask.key));
    let who = if shared { "public" } else { "private" };
    let cache = match closed.keep_s {
        0 => "no-cache".to_owned(),
        seconds => format!("{who}, max-age={seconds}, immutable"),
    };
    if is_held(request, &etag) {
        return not_modified(&etag, &cache);
    }
    respond(Some(&etag), &cache, ask.content_type, answer)
}

/// Weak, because the same answer may be sent in several encodings.
fn etag(version: Version, key: &str) -> String {
    format!("W/\"{:x}-{:x}-{:x}\"", version.bars, version.gaps, fingerprint(key))
}

fn is_held(request: &HttpRequest, etag: &str) -> bool {
    let held = request.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    held.flat_map(|list| list.split(',')).any(|tag| tag.trim() == etag)
}

/// `no-cache` lets anybody keep the answer and makes them ask each time whether it still stands.
fn respond(etag: Option<&str>, cache: &str, content_type: &'static str, answer: Answer) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type(content_type);
    response.insert_header((header::CACHE_CONTROL, cache)).insert_header((header::VARY, "accept"));
    if let Some(etag) = etag {
        response.insert_header((header::ETAG, etag));
    }
    for (name, value) in answer.headers.iter() {
        response.insert_header((*name, value.as_str()));
    }
    response.body(answer.body)
}

fn not_modified(etag: &str, cache: &str) -> HttpResponse {
    let mut response = HttpResponse::NotModified();
    response.insert_header((header::CACHE_CONTROL, cache)).insert_header((header::VARY, "accept"));
    response.insert_header((header::ETAG, etag));
    response.finish()
}
