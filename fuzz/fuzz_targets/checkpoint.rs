//! torch checkpoints, zip and legacy: an error, or tensors no larger than the limit.
#![no_main]

use counterstain_model::checkpoint::{Checkpoint, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let limits = Limits::default();
    let Ok(checkpoint) = Checkpoint::open(file, &limits) else { return };
    let _ = checkpoint.state_dict(&["desc"]);
    let Ok(tensors) = checkpoint.find_state_dict() else { return };
    let bytes: usize =
        tensors.iter().map(|(_, tensor)| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum();
    assert!(bytes as u64 <= file.len() as u64 * limits.expansion);
    for (index, (name, _)) in tensors.iter().enumerate() {
        assert!(tensors[..index].iter().all(|(other, _)| other != name), "{name} twice");
    }
});
