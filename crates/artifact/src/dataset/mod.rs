//! Datasets and layers: opening, random access by sample, and writing.

mod cache;
mod layer;
mod open;
mod reader;
mod table;
mod writer;

pub use layer::Layer;
pub use open::{Dataset, SampleRecord};
pub use reader::Reader;
pub use writer::{DatasetDescription, DatasetWriter};
