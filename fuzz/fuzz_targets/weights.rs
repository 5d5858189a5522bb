//! Files of weights of any format; what is safetensors is never taken for another format.
#![no_main]

use counterstain_model::weights;
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;

fuzz_target!(|file: &[u8]| {
    let read = weights::read(file);
    let Ok(expected) = SafeTensors::deserialize(file) else { return };
    match read {
        // Stray buffers of norms are left out.
        Ok(tensors) => assert!(tensors.len() <= expected.len()),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains("checkpoint"), "{text}");
        }
    }
});
