//! Tars of other tools: an error, or an index that is sound and points to the members' bytes.
#![no_main]

use counterstain_artifact::Digest;
use counterstain_artifact::shard::{ShardIndex, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|tar: &[u8]| {
    let Ok(index) = scan(tar, "the tar") else { return };
    assert_eq!(index.tar.size, tar.len() as u64);
    assert_eq!(index.tar.sha256, Digest::of(tar));
    for sample in &index.samples {
        for member in sample.members.values() {
            let start = member.offset as usize;
            let bytes = tar.get(start..start + member.size as usize).expect("members lie inside the tar");
            assert_eq!(Digest::of(bytes), member.sha256);
        }
    }
    assert_eq!(ShardIndex::decode(&index.encode(), "its index").expect("a scanned index is sound"), index);
});
