//! Shards: plain WebDataset tars, each with an index that makes a sample's bytes reachable and verifiable.
//!
//! A tar holds, sample after sample, `KEY.LAYER.EXTENSION` for each layer and, in datasets, `KEY.json` with
//! `label`, `group` and `split`. The index is JSON (see [`ShardIndex`]) and carries offset, size and SHA-256 of
//! each member, and size and SHA-256 of the tar. Both are functions of the samples alone: no time, no owner.

mod index;
mod key;
mod scan;
mod writer;

pub use index::{INDEX_SCHEMA, IndexedSample, Member, ShardIndex, TarInfo};
pub use key::{check_key, check_layer_name, escape_key, key_of_path, unescape_key};
pub use scan::scan;
pub use writer::{FinishedShard, SampleEntry, SampleMeta, ShardLimits, ShardWriter, StoredShard};

/// Names of a shard's two objects in a manifest: `shards/00000.tar`, `shards/00000.index.json`.
pub fn object_names(position: usize) -> (String, String) {
    (format!("shards/{position:05}.tar"), format!("shards/{position:05}.index.json"))
}

/// Name of the table that belongs to a shard: `tables/00000.parquet`.
pub fn table_name(position: usize) -> String {
    format!("tables/{position:05}.parquet")
}
