//! The control routes: statistics, faults, injected frames, pace. For tests and demos, so no key is asked for.

use std::str::FromStr as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::Message as WsMessage;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::app::App;
use crate::faults::{Answer, Fault, When};
use crate::hub::Order;
use crate::source::Pace;
use crate::venue::{Command, Market};

type Shared = State<Arc<App>>;
type Reply = Result<Json<Value>, Problem>;

/// A request that cannot be carried out.
struct Problem(String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": self.0}))).into_response()
    }
}

/// The control routes and `/health`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(health))
        .route("/control/stats", get(stats))
        .route("/control/faults", post(begin_fault))
        .route("/control/inject", post(inject))
        .route("/control/rate", post(set_pace))
        .route("/control/pause", post(pause))
        .route("/control/resume", post(resume))
}

async fn health(State(app): Shared) -> Json<Value> {
    let detail = format!("{} of {} symbols", app.main.source, app.main.symbols.len());
    Json(json!({
        "status": "ok",
        "service": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "parts": {"market": {"status": "ok", "detail": detail}},
    }))
}

async fn stats(State(app): Shared) -> Json<Value> {
    let mut fields = app.main.stats();
    fields.insert("test".into(), Value::Object(app.test.stats()));
    Json(Value::Object(fields))
}

/// Reads a body; the problem names the field and what it may be.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem(format!("the body is not what this route takes: {error}")))
}

async fn begin_fault(State(app): Shared, body: Bytes) -> Reply {
    let fault: Fault = parse(&body)?;
    fault.check().map_err(Problem)?;
    app.faults.begin(&fault);
    let order = |order: Order| -> usize { both(&app).map(|market| market.hub.order(&order)).sum() };
    let reached = match fault {
        Fault::Cut {} | Fault::Outage { .. } => both(&app).map(|market| market.hub.cut()).sum(),
        Fault::Malformed { kind } => order(Order::Malformed(kind)),
        Fault::Error { code, on: When::Now, close, .. } => order(Order::Answer(Answer::new(code, close))),
        // A connection that waits for its client must learn that it is to be deaf, or may hear again.
        _ => order(Order::LookAgain),
    };
    Ok(Json(json!({"ok": true, "fault": fault, "clients": reached})))
}

fn both(app: &App) -> impl Iterator<Item = &Arc<Market>> {
    [&app.main, &app.test].into_iter()
}

/// Frames to send to every client as they are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Injection {
    Many { frames: Vec<RawFrame> },
    One(RawFrame),
}

/// One frame: a text frame, or a binary one in hexadecimal.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawFrame {
    Text(String),
    Hex(String),
}

impl RawFrame {
    fn message(self) -> Result<WsMessage, Problem> {
        match self {
            Self::Text(text) => Ok(WsMessage::Text(text.into())),
            Self::Hex(digits) => Ok(WsMessage::Binary(bytes_of_hex(&digits)?.into())),
        }
    }
}

fn bytes_of_hex(digits: &str) -> Result<Vec<u8>, Problem> {
    let digits: String = digits.split_whitespace().collect();
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes = (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>();
    bytes.ok_or_else(|| Problem("hex must be pairs of hexadecimal digits".into()))
}

async fn inject(State(app): Shared, body: Bytes) -> Reply {
    let expected = "the body must be {\"text\":\"…\"}, {\"hex\":\"…\"} or {\"frames\":[…]} of these";
    let frames = match serde_json::from_slice(&body).map_err(|_| Problem(expected.into()))? {
        Injection::Many { frames } => frames,
        Injection::One(frame) => vec![frame],
    };
    let messages = frames.into_iter().map(RawFrame::message).collect::<Result<Vec<_>, _>>()?;
    let mut reached = 0;
    for message in &messages {
        let order = Order::Raw(message.clone());
        reached = both(&app).map(|market| market.hub.order(&order)).sum();
    }
    Ok(Json(json!({"ok": true, "frames": messages.len(), "clients": reached})))
}

/// `{"rate":20000}` messages a second, or `{"pace":"10x"}` in the words of the option.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPace {
    rate: Option<f64>,
    pace: Option<String>,
}

async fn set_pace(State(app): Shared, body: Bytes) -> Reply {
    let asked: NewPace = parse(&body)?;
    let pace = match (asked.rate, asked.pace) {
        (Some(rate), None) => Pace::from_str(&format!("{rate}/s")),
        (None, Some(pace)) => Pace::from_str(&pace),
        _ => Err("the body must have either rate (messages a second) or pace (such as 10x, 10000/s, max)".into()),
    };
    let pace = pace.map_err(Problem)?;
    let (answer, answered) = oneshot::channel();
    app.main.command(Command::Pace(pace, answer)).await.map_err(Problem)?;
    answered.await.unwrap_or_else(|_| Err("the simulator is stopping".into())).map_err(Problem)?;
    Ok(Json(json!({"ok": true, "pace": pace.to_string()})))
}

async fn pause(State(app): Shared) -> Reply {
    app.main.command(Command::Pause).await.map_err(Problem)?;
    Ok(Json(json!({"ok": true, "paused": true})))
}

async fn resume(State(app): Shared) -> Reply {
    app.main.command(Command::Resume).await.map_err(Problem)?;
    Ok(Json(json!({"ok": true, "paused": false})))
}
