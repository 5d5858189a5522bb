//! Indices of shards: an error, or an index that survives its own text.
#![no_main]

use counterstain_artifact::shard::ShardIndex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = ShardIndex::decode(bytes, "the index") else { return };
    for member in index.samples.iter().flat_map(|sample| sample.members.values()) {
        assert!(member.offset + member.size <= index.tar.size);
    }
    assert_eq!(ShardIndex::decode(&index.encode(), "its text").expect("it was sound"), index);
});
