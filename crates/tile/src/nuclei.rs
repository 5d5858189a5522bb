//! From HoVer-Net's maps to nuclei, and back to its training targets.
//!
//! Graham et al., "HoVer-Net", Med Image Anal 58:101563, 2019; step by step as the
//! authors' `post_proc.py`, whose OpenCV, SciPy and scikit-image calls are
//! written out here. Instance maps are equal to theirs in every pixel: single
//! precision is kept exactly where the original rounds to it, and the
//! watershed's order among equal pixels is the original's.
//!
//! - [`segment`]: foreground probability and the two distance maps → instances;
//! - [`describe`]: instances and types → per nucleus type, box, centroid, contour;
//! - [`targets`]: instances → the maps that a network is trained on;
//! - [`patching`]: the overlapping windows in which a large image is processed.

mod components;
mod contour;
mod describe;
mod flood;
mod gradient;
mod morphology;
pub mod patching;
mod queue;
mod segment;
mod strips;
pub mod targets;
mod watershed;

pub use components::{fill_holes, label_components};
pub use contour::outer_contour;
pub use describe::{BoundingBox, Nucleus, NucleusKind, describe};
pub(crate) use gradient::reflected;
pub use gradient::{SMOOTHING_TAPS, derivative_taps, smoothing_taps};
pub use morphology::{ELLIPSE_5, open_ellipse_5};
pub use segment::{Maps, Settings, Stages, segment, segment_with_stages};
pub use watershed::watershed;

#[cfg(test)]
mod tests;
