//! The command line: what can be asked, with which options.

mod import;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use import::{
    ChangeOptions, GroupOptions, ImportCamelyon17Options, ImportCommand, ImportEncoderOptions,
    ImportFolderOptions, ImportGeneratorOptions, ImportPairedOptions, ImportPannukeOptions,
    ImportStripsOptions,
};

/// Turns H&E tiles into pairs with synthetic privileged images, trains encoders with and without them, and
/// shows what they are worth.
#[derive(Debug, Parser)]
#[command(name = "counterstain", version, max_term_width = 100)]
pub struct Options {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Folder of the local system: store/, coordinator.sqlite, cache/ and logs/.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "COUNTERSTAIN_DATA_DIR",
        default_value = ".counterstain"
    )]
    pub data: PathBuf,
    /// Address of the coordinator [default: the one that runs on the data folder, or http://127.0.0.1:7070].
    #[arg(long, global = true, value_name = "URL", env = "COUNTERSTAIN_COORDINATOR")]
    pub coordinator: Option<String>,
    /// Object store: a folder or s3://bucket/prefix [default: store/ in the data folder].
    #[arg(long, global = true, value_name = "LOCATION", env = "COUNTERSTAIN_STORE")]
    pub store: Option<String>,
    /// Prints JSON on stdout.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Brings tiles into the store as a dataset.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Starts the coordinator and the workers on this machine, until Ctrl-C.
    Up(UpOptions),
    /// Runs a pipeline file from its imports to its report; starts a local system if none is up.
    Run(RunOptions),
    /// Does a pipeline file's imports and submits its jobs, without waiting.
    Submit(SubmitOptions),
    /// Lists jobs, newest first.
    Jobs(JobsOptions),
    /// Shows a job.
    Job(JobOptions),
    /// Follows a job or a pipeline until it has ended.
    Watch(JobOptions),
    /// Prints the log of a job.
    Logs(LogsOptions),
    /// Writes the latest pictures of what a job makes.
    Pictures(PicturesOptions),
    /// Cancels a job.
    Cancel(CancelOptions),
    /// Starts a failed, cancelled or blocked job again from its last checkpoint.
    Retry(RetryOptions),
    /// Says why a job is not running.
    Explain(JobOptions),
    /// Lists the workers.
    Workers,
    /// Lists artifacts, newest first.
    Artifacts(ArtifactsOptions),
    /// Lists generators by what they are worth: scores of what they painted, and of encoders that learnt from it.
    Generators(GeneratorsOptions),
    /// Shows an artifact and what it was made from.
    Show(ShowOptions),
    /// Points a name to an artifact.
    Tag(TagOptions),
    /// Writes the report of a finished pipeline.
    Report(ReportOptions),
    /// Writes the files of an artifact to a folder.
    Export(ExportOptions),
    /// Paints a privileged image for every image of a folder, through a synthesis worker.
    Synthesize(SynthesizeOptions),
    /// Checks what is installed and reachable.
    Doctor,
    /// Runs a program that ends with the process that started it.
    #[command(hide = true)]
    Child(ChildOptions),
}

/// How local workers compute.
#[derive(Clone, Debug, Default, Args)]
pub struct WorkerChoice {
    /// Device of the local workers: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// Compute threads of each local worker; part of the compute profile [default: half the cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Training workers; each holds one run in memory [default: 2, or 1 where there is a GPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub training_workers: Option<u32>,
    /// Synthesis workers; they share the shards of a generation job [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub synthesis_workers: Option<u32>,
}

impl WorkerChoice {
    /// Compute threads of each local worker. Half the cores: two runs side by side with one thread each do
    /// more on two cores than one after the other with two, since libtorch's threads wait for each other by
    /// spinning (oneDNN's barriers), and while others compute that costs whole time slices.
    pub fn threads(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        self.threads.unwrap_or_else(|| (cores / 2).max(1))
    }

    /// Training workers.
    pub fn training_workers(&self) -> u32 {
        let may_use_gpu = self.device != "cpu" && std::path::Path::new("/dev/nvidiactl").exists();
        self.training_workers.unwrap_or(if may_use_gpu { 1 } else { 2 })
    }
}

/// `up`.
#[derive(Debug, Args)]
pub struct UpOptions {
    /// Address of the coordinator.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// How local workers compute.
    #[command(flatten)]
    pub workers: WorkerChoice,
}

/// A pipeline file and changes to it.
#[derive(Debug, Args)]
pub struct PipelineChoice {
    /// The pipeline file (TOML).
    pub pipeline: PathBuf,
    /// Replaces a variable, or any value by its dotted path; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Runs every job anew, even if its result is known.
    #[arg(long)]
    pub fresh: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The pipeline.
    #[command(flatten)]
    pub choice: PipelineChoice,
    /// Folder for result.json and report.html [default: ./counterstain-results/PIPELINE].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Address of the local coordinator, if one is started [default: a free port].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// How local workers compute.
    #[command(flatten)]
    pub workers: WorkerChoice,
}

/// `submit`.
#[derive(Debug, Args)]
pub struct SubmitOptions {
    /// The pipeline.
    #[command(flatten)]
    pub choice: PipelineChoice,
}

/// `jobs`.
#[derive(Debug, Args)]
pub struct JobsOptions {
    /// Only jobs in this state; may be repeated.
    #[arg(long)]
    pub state: Vec<String>,
    /// Only jobs of this kind; may be repeated.
    #[arg(long)]
    pub kind: Vec<String>,
    /// Only jobs of this pipeline (id).
    #[arg(long, default_value = "")]
    pub pipeline: String,
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// A job.
#[derive(Debug, Args)]
pub struct JobOptions {
    /// Job id, or a unique prefix of it; `watch` takes a pipeline id as well.
    pub id: String,
}

/// `logs`.
#[derive(Debug, Args)]
pub struct LogsOptions {
    /// Job id, or a unique prefix of it.
    pub id: String,
    /// Goes on until the job has ended.
    #[arg(long, short)]
    pub follow: bool,
}

/// `cancel`.
#[derive(Debug, Args)]
pub struct CancelOptions {
    /// Job id, or a unique prefix of it.
    pub id: String,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// `retry`.
#[derive(Debug, Args)]
pub struct RetryOptions {
    /// Job id, or a unique prefix of it.
    pub id: String,
    /// Forgets checkpoints and finished parts.
    #[arg(long)]
    pub fresh: bool,
}

/// `artifacts`.
#[derive(Debug, Args)]
pub struct ArtifactsOptions {
    /// Only this kind: dataset, layer, generator, encoder, representations, result, layer-part.
    #[arg(long, default_value = "")]
    pub kind: String,
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowOptions {
    /// Digest, unique prefix of it, or tag.
    pub artifact: String,
}

/// `tag`.
#[derive(Debug, Args)]
pub struct TagOptions {
    /// The tag.
    pub tag: String,
    /// Digest or unique prefix of it; left out with --delete.
    #[arg(required_unless_present = "delete")]
    pub artifact: Option<String>,
    /// Removes the tag.
    #[arg(long, conflicts_with = "artifact")]
    pub delete: bool,
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportOptions {
    /// Pipeline id, its unique prefix, or the pipeline's name (its latest run).
    pub pipeline: String,
    /// Folder for result.json and report.html [default: ./counterstain-results/PIPELINE].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// Digest, unique prefix of it, or tag.
    pub artifact: String,
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Of a segmenter's layer: its nuclei as outlines instead, one GeoJSON file per tile, as QuPath opens them.
    #[arg(long)]
    pub geojson: bool,
}

/// `synthesize`.
#[derive(Debug, Args)]
pub struct SynthesizeOptions {
    /// Digest of the generator, unique prefix of it, or tag.
    #[arg(long, value_name = "DIGEST")]
    pub generator: String,
    /// Folder of PNG, JPEG or TIFF files, sub-folders included.
    pub input: PathBuf,
    /// Folder for the painted images: the same names, as PNG. Images that are there already are not painted again.
    pub output: PathBuf,
    /// Address of the worker [default: an idle synthesis worker of the coordinator].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub worker: Option<String>,
}

/// `pictures`.
#[derive(Debug, Args)]
pub struct PicturesOptions {
    /// Id of the job, or a unique prefix of at least four characters.
    pub job: String,
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `generators`.
#[derive(Debug, Args)]
pub struct GeneratorsOptions {
    /// Metric to sort by, best first, such as probe/auc, image/ssim or nuclei/aji.
    #[arg(long, value_name = "METRIC", default_value = "probe/auc")]
    pub sort: String,
    /// Only results of this task.
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
}

/// `child`.
#[derive(Debug, Args)]
pub struct ChildOptions {
    /// Process that must be the parent.
    #[arg(long)]
    pub parent: i32,
    /// Program and arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
