//! Options of `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::import::HoldOutBy;

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
    /// Published weights, as an encoder.
    Encoder(ImportEncoderOptions),
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

/// `import encoder`.
#[derive(Debug, Args)]
pub struct ImportEncoderOptions {
    /// Weights of FID's Inception (pt_inception-2015-12-05) or of a ResNet as torchvision names it: .pth or
    /// .safetensors; nothing in them is executed.
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Scale of a ResNet's input: imagenet, 0-1, -1-1 or 0-255 [default: imagenet].
    #[arg(long, value_name = "SCALE", allow_hyphen_values = true)]
    pub normalisation: Option<String>,
    /// Side that a ResNet's images are resized to; 0 takes tiles as they are [default: 0].
    #[arg(long, value_name = "SIZE")]
    pub image_size: Option<u32>,
}
