//! Logs and traces. Logs go to standard error, as text or (`COUNTERSTAIN_LOG_FORMAT=json`) as JSON lines;
//! `RUST_LOG` filters them. Spans are exported over OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

const DEFAULT_FILTER: &str = "info,sqlx=warn,h2=warn,hyper=warn,tower=warn,object_store=warn";

/// Flushes what was not yet exported when it is dropped.
#[must_use = "dropping it at once would stop the export of spans"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logs and traces for this process. Call it once, inside the tokio runtime.
///
/// # Errors
/// The exporter cannot be built from the `OTEL_*` variables.
pub fn init(service: &'static str) -> Result<Telemetry, Error> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let json = std::env::var("COUNTERSTAIN_LOG_FORMAT").is_ok_and(|format| format == "json");
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = if json { lines.json().boxed() } else { lines.with_ansi(false).boxed() };
    let provider = match std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Some(_) => Some(provider(service)?),
        None => None,
    };
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)));
    tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init()?;
    Ok(Telemetry { provider })
}

fn provider(service: &'static str) -> Result<SdkTracerProvider, Error> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
    let resource = Resource::builder().with_service_name(service).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.provider.as_ref().map(SdkTracerProvider::shutdown) {
            eprintln!("the last spans could not be exported: {error}");
        }
    }
}

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The OTLP exporter's settings are faulty.
    #[error("cannot export spans as the OTEL_* variables say: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Another subscriber was installed before.
    #[error("telemetry was started twice: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}
