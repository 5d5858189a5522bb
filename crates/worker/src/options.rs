//! The options that every worker takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use counterstain_service::connect::DEFAULT_COORDINATOR;

/// The options that every worker takes. `--device` is the binary's own: this crate knows no libtorch.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerOptions {
    /// URL of the coordinator
    #[arg(long, env = "COUNTERSTAIN_COORDINATOR", default_value = DEFAULT_COORDINATOR)]
    pub coordinator: String,
    /// Object store: a folder, or s3://BUCKET/PREFIX (with the usual AWS_* variables)
    #[arg(long, env = "COUNTERSTAIN_STORE")]
    pub store: String,
    /// Address of the online calls; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Listen on an address that other machines can reach, without authentication
    #[arg(long)]
    pub allow_remote: bool,
    /// Name for people; may repeat [default: the service's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Threads of the computation; part of the compute profile [default: the machine's cores]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Folder of the local read cache [default: counterstain-cache in the temporary folder]
    #[arg(long, env = "COUNTERSTAIN_CACHE")]
    pub cache_dir: Option<PathBuf>,
    /// Largest size of the local read cache, in bytes
    #[arg(long, default_value_t = 8 << 30)]
    pub cache_bytes: u64,
    /// Seconds between checkpoints; changes no result
    #[arg(long, env = "COUNTERSTAIN_CHECKPOINT_SECONDS", default_value_t = 60.0)]
    pub checkpoint_seconds: f64,
}

impl WorkerOptions {
    /// Threads of the computation.
    pub fn threads(&self) -> u32 {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        self.threads.unwrap_or_else(cores)
    }

    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| std::env::temp_dir().join("counterstain-cache"))
    }

    pub(crate) fn checkpoint_interval(&self) -> Duration {
        Duration::try_from_secs_f64(self.checkpoint_seconds).unwrap_or(Duration::from_secs(60))
    }
}
