//! The index of a shard: where each member's bytes are, and their SHA-256.

use std::collections::{BTreeMap, HashSet};

use counterstain_api::Digest;
use serde::{Deserialize, Serialize};

use super::key::{check_extension, check_key, check_layer_name};
use crate::Error;

/// Newest schema of indices that this program reads, and the one that it writes.
pub const INDEX_SCHEMA: u32 = 1;

/// Tars are made of blocks of this many bytes.
pub(super) const BLOCK: u64 = 512;

// The fields of these types are in alphabetical order, which makes the JSON that serde writes canonical enough: one text per index.

/// The index of one tar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardIndex {
    /// Samples in the order of the tar.
    pub samples: Vec<IndexedSample>,
    /// Schema version, [`INDEX_SCHEMA`].
    pub schema: u32,
    /// The tar that it describes.
    pub tar: TarInfo,
}

/// The tar that an index describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TarInfo {
    /// SHA-256 of the tar.
    pub sha256: Digest,
    /// Its bytes.
    pub size: u64,
}

/// A sample in an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexedSample {
    /// Patient or slide, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Key: an escaped relative path without dots.
    pub key: String,
    /// Class, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Images by layer.
    pub members: BTreeMap<String, Member>,
    /// `train`, `valid`, `test` ..., where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

/// A file in a tar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Extension of its name, without the dot.
    pub extension: String,
    /// Where its bytes start in the tar.
    pub offset: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its bytes.
    pub size: u64,
}

/// Read first, so that a newer schema is named as such.
#[derive(Deserialize)]
struct Head {
    schema: u32,
}

impl ShardIndex {
    /// The one text of this index.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an index has string keys only")
    }

    /// Reads an index and checks that it is sound in itself; `what` names it in errors.
    ///
    /// # Errors
    /// `NewerSchema`, or `Mismatch` for what is no index or contradicts itself.
    pub fn decode(bytes: &[u8], what: &str) -> Result<Self, Error> {
        let fail = |error: serde_json::Error| Error::mismatch(what, format!("is not a shard index: {error}"));
        let head: Head = serde_json::from_slice(bytes).map_err(fail)?;
        if head.schema > INDEX_SCHEMA {
            let what = format!("{what}, a shard index,");
            return Err(Error::NewerSchema { what, found: head.schema, supported: INDEX_SCHEMA });
        }
        let index: Self = serde_json::from_slice(bytes).map_err(fail)?;
        index.check().map_err(|error| Error::mismatch(what, format!("is a faulty shard index: {error}")))?;
        Ok(index)
    }

    fn check(&self) -> Result<(), Error> {
        let mut keys = HashSet::with_capacity(self.samples.len());
        for sample in &self.samples {
            check_key(&sample.key)?;
            if !keys.insert(sample.key.as_str()) {
                return Err(Error::invalid(format!("sample {:?}", sample.key), "occurs twice"));
            }
            for (layer, member) in &sample.members {
                check_layer_name(layer)?;
                check_extension(&member.extension)?;
                let end = member.offset.checked_add(member.size);
                if member.offset % BLOCK != 0 || end.is_none_or(|end| end > self.tar.size) {
                    let what = format!("layer {layer:?} of sample {:?}", sample.key);
                    return Err(Error::invalid(what, "lies outside the tar"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> ShardIndex {
        let member = Member { extension: "png".into(), offset: 512, sha256: Digest::of(b"x"), size: 100 };
        let sample = IndexedSample {
            group: None,
            key: "a/b".into(),
            label: Some("tumour".into()),
            members: BTreeMap::from([("he".to_owned(), member)]),
            split: None,
        };
        ShardIndex {
            samples: vec![sample],
            schema: 1,
            tar: TarInfo { sha256: Digest::of(b"t"), size: 2_048 },
        }
    }

    fn refusal(index: &ShardIndex) -> String {
        ShardIndex::decode(&index.encode(), "index i").unwrap_err().to_string()
    }

    #[test]
    fn an_index_survives_its_text() {
        assert_eq!(ShardIndex::decode(&index().encode(), "i").unwrap(), index());
    }

    #[test]
    fn a_newer_index_is_refused_by_name() {
        let mut newer = serde_json::to_value(index()).unwrap();
        newer["schema"] = 2.into();
        newer["invention"] = true.into();
        let error = ShardIndex::decode(newer.to_string().as_bytes(), "object x").unwrap_err();
        assert!(matches!(error, Error::NewerSchema { found: 2, supported: 1, .. }), "{error}");
    }

    #[test]
    fn members_outside_the_tar_and_double_keys_are_refused() {
        let mut outside = index();
        outside.samples[0].members.get_mut("he").unwrap().offset = u64::MAX - 511;
        assert!(refusal(&outside).contains("outside the tar"));
        let mut twice = index();
        twice.samples.push(twice.samples[0].clone());
        assert!(refusal(&twice).contains("occurs twice"));
        let mut dotted = index();
        dotted.samples[0].key = "a.b".into();
        assert!(refusal(&dotted).contains("dot"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_error_or_an_index(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ShardIndex::decode(&bytes, "fuzz");
        }

        #[test]
        fn damaged_indices_are_an_error_or_sound(at in 0usize..200, with in any::<u8>()) {
            let mut bytes = index().encode();
            let at = at % bytes.len();
            bytes[at] = with;
            if let Ok(index) = ShardIndex::decode(&bytes, "fuzz") {
                index.check().unwrap();
            }
        }
    }
}
