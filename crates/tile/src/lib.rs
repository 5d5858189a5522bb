//! Tiles without libtorch: decoding, resampling, colour and stain arithmetic,
//! augmentation, mask post-processing.
//!
//! Everything here is pure and deterministic: the only random source is
//! [`random::Stream`], and no function reads the clock or the environment.
//! Images are interleaved ([`Tile`]); functions that can fail return [`Error`]
//! with what was found and what to do instead.

pub mod augment;
pub mod decode;
pub mod encode;
mod error;
pub mod nuclei;
pub mod palette;
pub mod random;
pub mod resample;
pub mod stain;
pub mod statistics;
pub mod strip;
mod tile;
mod vectorised;

pub use error::Error;
pub use tile::Tile;
