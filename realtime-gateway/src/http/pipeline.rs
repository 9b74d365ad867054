//! `GET /api/pipeline`: the health and the main numbers of every service, put together for the dashboard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::future::join_all;
use serde_json::{Value, json};
use service::telemetry::Metrics;
use service::{CancellationToken, Health};
use tokio::sync::Mutex;

use crate::access::unix_ms;
use crate::config::Target;
use crate::gateway::Gateway;

/// How long an answer is remembered.
const FRESH: Duration = Duration::from_secs(1);
/// Time between looks that nobody asked for.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// How long a service may take.
const ANSWER_MAX: Duration = Duration::from_millis(800);

/// Asks the services, at most once a second however many ask.
pub struct Pipeline {
    gateway: Arc<Gateway>,
    health: Health,
    metrics: Metrics,
    last: Mutex<Option<(Instant, String)>>,
}

impl Pipeline {
    /// Has asked nobody yet.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, health: Health, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { gateway, health, metrics, last: Mutex::default() })
    }

    async fn look(&self) -> String {
        let mut last = self.last.lock().await; // the others wait for this one's answer
        if let Some((_, text)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return text.clone();
        }
        let targets = &self.gateway.config.pipeline;
        let answers = join_all(targets.iter().map(|target| self.ask(target))).await;
        self.gateway.feed.set_well(answers.iter().all(|answer| answer["health"]["status"] == "ok"));
        let mut services: BTreeMap<String, Value> =
            targets.iter().map(|target| target.name.clone()).zip(answers).collect();
        let own = json!({ "health": self.health.report(), "metrics": numbers(&self.metrics.render()) });
        services.insert("gateway".to_owned(), own);
        let text = json!({ "time": unix_ms(), "services": services }).to_string();
        *last = Some((Instant::now(), text.clone()));
        text
    }

    async fn ask(&self, target: &Target) -> Value {
        let get = |path: &str| {
            let asked = self.gateway.http.get(format!("{}{path}", target.url)).timeout(ANSWER_MAX).send();
            async move { asked.await?.text().await }
        };
        let (health, metrics) = futures_util::join!(get("/health"), get("/metrics"));
        let health = health.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let health =
            health.unwrap_or_else(|| json!({ "status": "down", "service": target.name, "detail": "does not answer" }));
        json!({ "health": health, "metrics": metrics.map_or_else(|_| json!({}), |text| numbers(&text)) })
    }
}

/// Looks every few seconds, so that heartbeats can say how the pipeline is. Runs until `stop`.
///
/// # Errors
/// Never; the type is that of a supervised task.
pub async fn watch(pipeline: Arc<Pipeline>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(WATCH_EVERY);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        stop.run_until_cancelled(pipeline.look()).await;
    }
    Ok(())
}

/// The answer.
pub async fn look(State(pipeline): State<Arc<Pipeline>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], pipeline.look().await)
}

/// The samples of a Prometheus text as `name{labels}` → number, without buckets and quantiles.
#[must_use]
pub fn numbers(text: &str) -> Value {
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let plain = !name.contains("_bucket{") && !name.contains("quantile=");
        let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
        plain.then(|| (name.to_owned(), value.into()))
    });
    Value::Object(samples.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_taken_from_a_metrics_text() {
        let text = "# TYPE a counter\na_total 5\nb{x=\"y z\"} 1.5\nc_bucket{le=\"1\"} 3\nd NaN\n\n";
        assert_eq!(numbers(text), json!({ "a_total": 5.0, "b{x=\"y z\"}": 1.5 }));
    }
}
