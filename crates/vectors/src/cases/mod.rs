//! The project's code on each file of the vectors: one module per file, or per
//! family of files of the same form.
//!
//! A module reads a [`Case`](crate::Case)'s parameters and inputs, calls the code
//! of the product crates, and hands in every output and intermediate. To add one,
//! write `cases/NAME.rs` with `pub fn run(case: &mut Case) -> anyhow::Result<()>`
//! and register it here under the file's name without extension.

use crate::runner::{Implementation, Registry};

mod barlow_twins;
mod classification_metrics;
mod cyclegan_nets;
mod embedding_eval;
mod facebook_vicreg;
mod gan_steps;
mod gradcam;
mod gradients;
mod helpers;
mod hovernet_networks;
mod hovernet_postproc;
mod hovernet_targets_losses;
mod hovernet_tile_patching;
mod image_quality;
mod keras_resnet50;
mod networks;
mod nuclei_metrics;
mod official_pipeline;
mod optimisers;
mod pth_fixtures;
mod resnet;
mod schedules;
mod stain;
mod state_dict_keys;
mod tf_image;
mod tiles;
mod train_step;
mod trident_infonce;
mod trident_vicreg;
mod umap_graph;

/// Every implementation, by file name without extension.
pub const REGISTRY: &Registry = &[
    ("01_barlow_twins", cases(barlow_twins::run)),
    ("01_facebook_vicreg", cases(facebook_vicreg::run)),
    ("01_trident_infonce", cases(trident_infonce::run)),
    ("01_trident_vicreg", cases(trident_vicreg::run)),
    ("02_other_schedules", cases(schedules::other)),
    ("02_warmup_cosine", cases(schedules::warmup_cosine)),
    ("03_keras_adam_clipnorm", cases(optimisers::keras_adam)),
    ("03_torch_optim", cases(optimisers::torch)),
    ("03_trident_train_step_simclr", cases(train_step::run)),
    ("03_trident_train_step_vicreg", cases(train_step::run)),
    ("04_gan_steps", cases(gan_steps::run)),
    ("04_cyclegan_nets", cases(cyclegan_nets::run)),
    ("04_hovernet_fast", cases(hovernet_networks::run)),
    ("04_hovernet_original", cases(hovernet_networks::run)),
    ("04_hovernet_postproc", cases(hovernet_postproc::run)),
    ("04_hovernet_targets_losses", cases(hovernet_targets_losses::run)),
    ("04_hovernet_tile_patching", cases(hovernet_tile_patching::run)),
    ("04_keras_resnet50", cases(keras_resnet50::run)),
    ("04_resnet18", cases(resnet::run)),
    ("04_resnet50", cases(resnet::run)),
    ("05_classification_metrics", cases(classification_metrics::run)),
    ("05_embedding_eval", cases(embedding_eval::run)),
    ("05_image_quality", cases(image_quality::run)),
    ("05_nuclei_metrics", cases(nuclei_metrics::run)),
    ("05_umap_graph", cases(umap_graph::run)),
    ("06_official_pipeline", cases(official_pipeline::run)),
    ("06_stain", cases(stain::run)),
    ("06_tf_image", cases(tf_image::run)),
    ("07_gradcam", cases(gradcam::run)),
    ("08_pth_fixtures", cases(pth_fixtures::run)),
    ("state_dict_keys", Implementation::Document(state_dict_keys::run)),
];

/// Shorthand for a registry line.
const fn cases(run: fn(&mut crate::Case) -> anyhow::Result<()>) -> Implementation {
    Implementation::Cases(run)
}
