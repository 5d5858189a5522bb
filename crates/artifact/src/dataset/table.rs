//! The indices of all shards of a dataset or layer, verified and packed.

use std::ops::Range;

use counterstain_api::Digest;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::body::ShardInfo;
use crate::shard::{IndexedSample, ShardIndex};
use crate::{Error, Store};

/// Indices read at the same time.
const PARALLEL: usize = 8;

/// Where every member is.
#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<TableShard>,
    layers: Vec<String>,
    /// `members[layer][sample]`.
    members: Vec<Vec<PackedMember>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TableShard {
    pub(super) tar: Digest,
    pub(super) tar_size: u64,
    first_sample: usize,
    samples: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PackedMember {
    pub(super) shard: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) sha256: Digest,
    extension: [u8; 8],
}

impl PackedMember {
    pub(super) fn extension(&self) -> &str {
        let end = self.extension.iter().position(|byte| *byte == 0).unwrap_or(self.extension.len());
        std::str::from_utf8(&self.extension[..end]).unwrap_or_default()
    }
}

impl Table {
    /// Reads the indices of `shards`. Every sample must have exactly the images of `layers`; `each` gets the
    /// samples in order, with shard and position.
    pub(super) async fn open(
        store: &Store,
        shards: &[ShardInfo],
        layers: &[&str],
        mut each: impl FnMut(u32, u32, IndexedSample),
    ) -> Result<Self, Error> {
        let mut table = Self {
            shards: Vec::with_capacity(shards.len()),
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            members: vec![Vec::new(); layers.len()],
        };
        let mut indices =
            stream::iter(shards.to_vec()).map(|shard| read_index(store, shard)).buffered(PARALLEL);
        let mut first_sample = 0;
        while let Some((info, index)) = indices.try_next().await? {
            let shard = table.shards.len() as u32;
            let samples = index.samples.len();
            let tar_size = index.tar.size;
            table.shards.push(TableShard { tar: info.tar, tar_size, first_sample, samples });
            first_sample += samples;
            for (position, sample) in index.samples.into_iter().enumerate() {
                table.pack(shard, &info.index, &sample)?;
                each(shard, position as u32, sample);
            }
        }
        Ok(table)
    }

    fn pack(&mut self, shard: u32, index: &Digest, sample: &IndexedSample) -> Result<(), Error> {
        if sample.members.len() != self.layers.len() {
            let found: Vec<&String> = sample.members.keys().collect();
            let reason =
                format!("has for sample {:?} the layers {found:?}; expected {:?}", sample.key, self.layers);
            return Err(Error::mismatch(format!("index {index}"), reason));
        }
        for (layer, members) in self.layers.iter().zip(&mut self.members) {
            let Some(member) = sample.members.get(layer) else {
                let reason = format!("has no layer {layer:?} for sample {:?}", sample.key);
                return Err(Error::mismatch(format!("index {index}"), reason));
            };
            let mut extension = [0; 8];
            for (to, from) in extension.iter_mut().zip(member.extension.bytes()) {
                *to = from;
            }
            let (offset, size, sha256) = (member.offset, member.size, member.sha256);
            members.push(PackedMember { shard, offset, size, sha256, extension });
        }
        Ok(())
    }

    pub(super) fn samples(&self) -> usize {
        self.shards.last().map_or(0, |shard| shard.first_sample + shard.samples)
    }

    pub(super) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn shard_range(&self, shard: usize) -> Option<Range<usize>> {
        let shard = self.shards.get(shard)?;
        Some(shard.first_sample..shard.first_sample + shard.samples)
    }

    pub(super) fn find(&self, sample: usize, layer: &str) -> Option<(TableShard, PackedMember)> {
        let layer = self.layers.iter().position(|name| name == layer)?;
        let member = *self.members[layer].get(sample)?;
        Some((*self.shards.get(member.shard as usize)?, member))
    }
}

async fn read_index(store: &Store, info: ShardInfo) -> Result<(ShardInfo, ShardIndex), Error> {
    let what = format!("object {}", info.index);
    let bytes = store.get_object(&info.index).await?;
    let index = ShardIndex::decode(&bytes, &what)?;
    if index.tar.sha256 != info.tar {
        return Err(Error::mismatch(
            what,
            format!("indexes tar {}, the manifest says {}", index.tar.sha256, info.tar),
        ));
    }
    if index.samples.len() as u64 != info.samples {
        let reason = format!("has {} samples, the manifest says {}", index.samples.len(), info.samples);
        return Err(Error::mismatch(what, reason));
    }
    Ok((info, index))
}
