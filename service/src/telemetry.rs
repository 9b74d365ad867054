//! Log lines to standard error, numbers to `/metrics`.

use std::io::IsTerminal as _;
use std::str::FromStr;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::Vars;
use crate::metric::{self, Metric};

/// Buckets for durations in seconds, from 100 µs to a minute.
const SECONDS: [f64; 16] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Renders all metrics of this process in Prometheus' text format. Clones share it.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// What every service shows of its process.
const PROCESS: &[Metric] = &[
    Metric::gauge("process_resident_memory_bytes", "Memory of this process that is in RAM."),
    Metric::counter("process_cpu_seconds_total", "CPU time of this process, in whole seconds, user and system."),
];

impl Metrics {
    /// Installs the recorder on the first call and declares a crate's metrics; later calls return the same recorder.
    ///
    /// # Panics
    /// Where another crate installed a recorder first, or the buckets above are empty: both are mistakes in this code.
    #[must_use]
    pub fn install(list: &[Metric]) -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
                .and_then(PrometheusBuilder::install_recorder)
                .expect("the only recorder of this process, with buckets that are not empty")
        });
        metric::declare(PROCESS);
        metric::declare(list);
        Self(handle.clone())
    }

    /// All metrics as text, with this process's memory and CPU time.
    #[must_use]
    pub fn render(&self) -> String {
        record_process();
        self.0.render()
    }

    /// Folds recorded samples into their buckets; call it every few seconds, or memory grows where nobody asks for metrics.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn record_process() {
    let page_bytes = 4096.0;
    let resident_pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<f64>().ok());
    if let Some(pages) = resident_pages {
        metrics::gauge!("process_resident_memory_bytes").set(pages * page_bytes);
    }
    let ticks_per_second = 100;
    let cpu_ticks = std::fs::read_to_string("/proc/self/stat").ok().and_then(|text| {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    });
    if let Some(ticks) = cpu_ticks {
        metrics::counter!("process_cpu_seconds_total").absolute(ticks / ticks_per_second);
    }
}

/// What is logged, and how a line looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `RUST_LOG`; `None` shows `info` and above.
    pub filter: Option<String>,
    /// Text for people, or JSON for machines.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, module, message and fields in one line of text.
    #[default]
    Text,
    /// One JSON object a line, with `timestamp`, `level`, `target`, `message` and the fields.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("unknown format"),
        }
    }
}

impl LogConfig {
    /// Reads `RUST_LOG` and `LOG_FORMAT`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let hint = "error, warn, info, debug or trace, also per module: info,producer=debug";
        let check = |text: &str| EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string());
        Self {
            filter: vars.parse("RUST_LOG", hint, check),
            format: vars.read("LOG_FORMAT", LogFormat::Text, "text or json"),
        }
    }
}

/// Starts logging to standard error.
pub fn init_tracing(config: &LogConfig) {
    let filter = config.filter.as_deref().unwrap_or("info,refinery_core=warn,tokio_postgres=warn,librdkafka=warn");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call, in tests, keeps the first subscriber.
    let _ = match config.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).with_current_span(false).try_init(),
    };
}
