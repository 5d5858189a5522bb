//! Nuclear segmenters: `train_segmenter`, and `generate_layer` with one.

mod annotations;
mod generate;
mod picture;
mod table;
mod train;

pub use generate::run as generate;
pub use picture::{in_colours, separate};
pub use train::run as train;
