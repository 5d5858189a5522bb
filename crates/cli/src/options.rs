//! The command line: what can be asked, with which options.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::import::HoldOutBy;

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

/// The sources of a dataset.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Tiles in folders: the sub-folder is the label; an outer train/valid/test level is the split.
    Folder(ImportFolderOptions),
    /// Pairs of images with the same stem.
    Paired(ImportPairedOptions),
    /// Images that hold one panel per layer side by side, such as DeepLIIF's.
    Strips(ImportStripsOptions),
    /// PanNuke's folds of NumPy arrays.
    Pannuke(ImportPannukeOptions),
    /// Camelyon17 as WILDS distributes it, with its split by centre.
    Camelyon17(ImportCamelyon17Options),
    /// Whole-slide images: tiles with tissue, through OpenSlide.
    Slide(ImportSlideOptions),
    /// Simulated tissue with its exact nuclei.
    Simulated(ImportSimulatedOptions),
    /// Published weights, as a generator.
    Generator(ImportGeneratorOptions),
}

/// Options of every import of files.
#[derive(Debug, Args)]
pub struct ChangeOptions {
    /// Name of the dataset [default: the folder's name].
    #[arg(long)]
    pub name: Option<String>,
    /// Divides both sides by N: mean for images, most frequent value for label maps.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub downsample: usize,
    /// Cuts images into squares of SIZE pixels, after reduction.
    #[arg(long, value_name = "SIZE")]
    pub tile: Option<usize>,
    /// Takes at most N files of each split and label, evenly spaced.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Leaves unusable files out and records them, instead of importing nothing.
    #[arg(long)]
    pub skip_bad: bool,
    /// Microns per pixel of the files as they are.
    #[arg(long, value_name = "SIZE")]
    pub microns_per_pixel: Option<f64>,
    /// Takes a split out of train by its share, such as test=0.2; may be repeated.
    #[arg(long, value_name = "SPLIT=SHARE")]
    pub hold_out: Vec<String>,
    /// What is held out together: whole groups, or the rightmost columns of the tiles cut from each image.
    #[arg(long, value_enum, default_value_t)]
    pub hold_out_by: HoldOutBy,
}

/// Options of imports whose folders say the split but not the group.
#[derive(Debug, Args)]
pub struct GroupOptions {
    /// CSV file with the columns path,group (patient or slide).
    #[arg(long, value_name = "FILE.csv")]
    pub groups: Option<PathBuf>,
    /// Split of all tiles when no outer folder level names it [default: train].
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
}

/// `import folder`.
#[derive(Debug, Args)]
pub struct ImportFolderOptions {
    /// The folder.
    pub path: PathBuf,
    /// Groups and splits.
    #[command(flatten)]
    pub groups: GroupOptions,
    /// How tiles are selected and changed.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `import paired`.
#[derive(Debug, Args)]
pub struct ImportPairedOptions {
    /// Folder of the primary images.
    #[arg(long, value_name = "DIR")]
    pub primary: PathBuf,
    /// A layer and its folder: NAME=DIR (images), or NAME:KIND=DIR with label or instance (maps of numbers),
    /// mask (not 0 is class 1) or components (of a mask, as instances); may be repeated.
    #[arg(long = "layer", value_name = "NAME=DIR", required = true)]
    pub layers: Vec<String>,
    /// Groups and splits.
    #[command(flatten)]
    pub groups: GroupOptions,
    /// How tiles are selected and changed.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `import strips`.
#[derive(Debug, Args)]
pub struct ImportStripsOptions {
    /// The folder.
    pub path: PathBuf,
    /// The layers' names from left to right; '-' leaves a panel out, the first name is the primary.
    #[arg(long, value_name = "NAME,NAME,...", value_delimiter = ',', required = true)]
    pub panels: Vec<String>,
    /// Groups and splits.
    #[command(flatten)]
    pub groups: GroupOptions,
    /// How tiles are selected and changed.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `import pannuke`.
#[derive(Debug, Args)]
pub struct ImportPannukeOptions {
    /// The folder that holds "Fold 1", "Fold 2" and "Fold 3".
    pub path: PathBuf,
    /// Split of a fold, such as 1=train; may be repeated; folds not named are left out
    /// [default: 1=train 2=valid 3=test].
    #[arg(long = "fold", value_name = "NUMBER=SPLIT")]
    pub folds: Vec<String>,
    /// How tiles are selected and changed.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `import camelyon17`.
#[derive(Debug, Args)]
pub struct ImportCamelyon17Options {
    /// The folder that holds metadata.csv and patches.
    pub path: PathBuf,
    /// How tiles are selected and changed.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `import slide`.
#[derive(Debug, Args)]
pub struct ImportSlideOptions {
    /// A slide, or a folder of slides.
    pub path: PathBuf,
    /// Name of the dataset [default: the folder's or slide's name].
    #[arg(long)]
    pub name: Option<String>,
    /// Side of the tiles in pixels.
    #[arg(long, value_name = "SIZE", default_value_t = 256)]
    pub tile: usize,
    /// Pixels that neighbouring tiles share.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub overlap: usize,
    /// Level of the slide that tiles have the resolution of [default: 0].
    #[arg(long, value_name = "N", conflicts_with = "microns_per_pixel")]
    pub level: Option<u32>,
    /// Microns per pixel of the tiles, instead of a level.
    #[arg(long, value_name = "SIZE")]
    pub microns_per_pixel: Option<f64>,
    /// Least share of tissue in a tile, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub tissue: f64,
    /// Groups and splits; a slide without a group is one of its own.
    #[command(flatten)]
    pub groups: GroupOptions,
    /// Takes at most N tiles of each split, evenly spaced.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Leaves slides out that cannot be used and records them, instead of importing nothing.
    #[arg(long)]
    pub skip_bad: bool,
    /// Takes a split out of train by its share of the groups, such as test=0.2; may be repeated.
    #[arg(long, value_name = "SPLIT=SHARE")]
    pub hold_out: Vec<String>,
}

/// `import simulated`.
#[derive(Debug, Args)]
pub struct ImportSimulatedOptions {
    /// Name of the dataset.
    #[arg(long, default_value = "simulated")]
    pub name: String,
    /// Samples of all splits together.
    #[arg(long, default_value_t = 1000)]
    pub samples: usize,
    /// Side of a tile in pixels.
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// Seed of everything.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Centres that differ in stain and background.
    #[arg(long, default_value_t = 4)]
    pub centres: usize,
    /// Patients of each centre.
    #[arg(long, default_value_t = 8)]
    pub patients: usize,
    /// Strength of the differences between centres and patients; 0 is none.
    #[arg(long, default_value_t = 1.0)]
    pub nuisance: f32,
    /// A layer to write beside the primary image (types, instances, ihc, if); may be repeated [default: types].
    #[arg(long = "layer", value_name = "NAME")]
    pub layers: Vec<String>,
}

/// `import generator`.
#[derive(Debug, Args)]
pub struct ImportGeneratorOptions {
    /// Weights of a U-Net (pix2pix), ResNet (cycleGAN) or HoVer-Net: .pth, .tar or .safetensors; nothing in them is
    /// executed.
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Weights of the other direction of a cycleGAN.
    #[arg(long, value_name = "FILE")]
    pub reverse: Option<PathBuf>,
    /// Name of the layer that it paints.
    #[arg(long, value_name = "NAME", default_value = "nuclei")]
    pub layer: String,
    /// Names of a segmenter's types from 0, the background [default: PanNuke's for six, CoNSeP's for five].
    #[arg(long, value_name = "NAME,NAME,...")]
    pub types: Option<String>,
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
    /// Only this kind: dataset, layer, generator, encoder, representations, result, checkpoint, layer-part.
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
