//! Tiles without libtorch: decoding, resampling, colour and stain arithmetic,
//! augmentation, mask post-processing.
//!
//! Everything here is pure and deterministic: the only random source is
//! [`random::Stream`], and no function reads the clock or the environment.

pub mod random;
