//! HoVer-Net in training and in use (Graham et al. 2019).

mod batch;
pub mod loss;
mod phases;
mod segmenting;
mod training;
mod view;

pub use batch::{PatchBatch, Prepared};
pub use phases::{Decay, PatchDraw, Phase, PhasePlan, Phases};
pub use segmenting::{PredictedMaps, Segmenting, Windows};
pub use training::{Segmenter, SegmenterConfig, SegmenterUpdate};
pub use view::panels;
