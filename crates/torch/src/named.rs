//! Named tensors as safetensors bytes.
//!
//! The bytes depend on names, shapes, dtypes and values alone: not on the order
//! the tensors are given in, their device or their memory layout. So equal weights
//! have equal digests.

use crate::error::Error;
use safetensors::tensor::{Dtype, SafeTensors, View, serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use tch::{Kind, Tensor};

/// Tensors with their names, in whatever order their maker chose.
pub type NamedTensors = Vec<(String, Tensor)>;

/// One tensor's little-endian bytes in row-major order.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes the tensors as safetensors bytes.
///
/// # Errors
/// When a name occurs twice, or a dtype has no place in a safetensors file.
pub fn to_safetensors(tensors: &NamedTensors) -> Result<Vec<u8>, Error> {
    let mut names = BTreeSet::new();
    let mut stored = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        if !names.insert(name) {
            return Err(Error::DuplicateTensor(name.clone()));
        }
        stored.push((name.as_str(), store(name, tensor)?));
    }
    serialize(stored, None).map_err(|error| Error::Safetensors(error.to_string()))
}

/// Reads safetensors bytes into tensors on the CPU, sorted by name. The file's own
/// metadata is ignored.
///
/// # Errors
/// When the bytes are no safetensors file, or hold a dtype that libtorch lacks.
pub fn from_safetensors(bytes: &[u8]) -> Result<NamedTensors, Error> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| Error::Safetensors(error.to_string()))?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        let refuse = |reason: String| Error::Tensor { name: name.clone(), reason };
        let kind = kind_of(view.dtype())
            .ok_or_else(|| refuse(format!("dtype {:?} is not supported", view.dtype())))?;
        let shape: Result<Vec<i64>, _> = view.shape().iter().map(|&n| i64::try_from(n)).collect();
        let shape = shape.map_err(|_| refuse("a side is too long".to_owned()))?;
        let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?;
        tensors.push((name, tensor));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

/// A tensor's elements as little-endian bytes in row-major order, whatever its
/// device and memory layout.
///
/// # Errors
/// When the dtype has no fixed element size (quantised types, say).
pub fn tensor_bytes(tensor: &Tensor) -> Result<Vec<u8>, Error> {
    store("", tensor).map(|stored| stored.bytes)
}

fn store(name: &str, tensor: &Tensor) -> Result<Stored, Error> {
    let kind = tensor.f_kind()?;
    let dtype = dtype_of(kind).ok_or_else(|| Error::Tensor {
        name: name.to_owned(),
        reason: format!("dtype {kind:?} cannot be stored"),
    })?;
    let plain = tensor.detach().to_device(tch::Device::Cpu).contiguous();
    let elements = plain.numel();
    let mut bytes = vec![0; elements * kind.elt_size_in_bytes()];
    plain.f_copy_data_u8(&mut bytes, elements)?;
    // Sizes are never negative.
    let shape = plain.size().iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
    Ok(Stored { dtype, shape, bytes })
}

const KINDS: [(Kind, Dtype); 9] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Int16, Dtype::I16),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(own, _)| *own == kind).map(|(_, dtype)| *dtype)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, stored)| *stored == dtype).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tch::Device;

    fn sample() -> NamedTensors {
        let base = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([2, 3, 4]) - 7.5;
        KINDS
            .iter()
            .map(|(kind, _)| (format!("layer.{kind:?}"), base.to_kind(*kind)))
            .chain([("scalar".to_owned(), Tensor::from(3_i64))])
            .chain([("empty".to_owned(), Tensor::zeros([0, 5], (Kind::Float, Device::Cpu)))])
            .collect()
    }

    #[test]
    fn every_dtype_comes_back_bit_for_bit() {
        let mut tensors = sample();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let bytes = to_safetensors(&tensors).expect("storable");
        let back = from_safetensors(&bytes).expect("readable");
        assert_eq!(back.len(), tensors.len());
        for ((name, tensor), (back_name, back_tensor)) in tensors.iter().zip(&back) {
            assert_eq!(
                (name, tensor.kind(), tensor.size()),
                (back_name, back_tensor.kind(), back_tensor.size())
            );
            assert_eq!(tensor_bytes(tensor).ok(), tensor_bytes(back_tensor).ok());
        }
    }

    #[test]
    fn the_bytes_ignore_order_and_memory_layout() {
        let expected = to_safetensors(&sample()).expect("storable");
        let mut reversed = sample();
        reversed.reverse();
        for (_, tensor) in &mut reversed {
            if tensor.dim() == 3 {
                *tensor = tensor.permute([2, 0, 1]).contiguous().permute([1, 2, 0]);
            }
        }
        assert_eq!(to_safetensors(&reversed).expect("storable"), expected);
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        let twice = vec![("a".to_owned(), Tensor::from(1.0)), ("a".to_owned(), Tensor::from(2.0))];
        assert!(matches!(to_safetensors(&twice), Err(Error::DuplicateTensor(name)) if name == "a"));
    }

    #[test]
    fn a_complex_tensor_is_refused_by_name() {
        let tensor = Tensor::ones([2], (Kind::ComplexFloat, Device::Cpu));
        let error = to_safetensors(&vec![("phase".to_owned(), tensor)]).expect_err("complex");
        assert!(error.to_string().contains("`phase`"), "{error}");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let bytes = to_safetensors(&sample()).expect("storable");
        for length in 0..bytes.len() {
            assert!(from_safetensors(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_safetensors(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(position in 0usize..400, value in any::<u8>()) {
            let mut bytes = to_safetensors(&sample()).expect("storable");
            let position = position % bytes.len();
            bytes[position] = value;
            let _ = from_safetensors(&bytes);
        }
    }
}
