//! From a view of a storage to a tensor of its own.

use super::error::{CheckpointError, malformed};
use super::value::TensorView;
use tch::Tensor;

/// Copies the elements that `view` selects from the bytes of its storage, and takes
/// their size off `budget`.
pub(super) fn read(
    name: &str,
    view: &TensorView,
    data: &[u8],
    budget: &mut u64,
) -> Result<Tensor, CheckpointError> {
    let width = view.storage.kind.elt_size_in_bytes();
    let elements = checked_elements(view)
        .filter(|_| view.storage.elements.checked_mul(width).is_some_and(|bytes| bytes <= data.len()))
        .ok_or_else(|| malformed(format!("`{name}` reaches beyond its data")))?;
    let bytes = (elements as u64).saturating_mul(width as u64);
    let limit = *budget;
    *budget = budget.checked_sub(bytes).ok_or(CheckpointError::TooLarge {
        what: "set of tensors",
        size: bytes,
        limit,
    })?;
    let start = view.offset * width;
    let shape: Vec<i64> = view.size.iter().map(|side| *side as i64).collect();
    if is_row_major(view) {
        let bytes = &data[start..start + elements * width];
        return Ok(Tensor::f_from_data_size(bytes, &shape, view.storage.kind)?);
    }
    let mut gathered = Vec::with_capacity(elements * width);
    let mut index = vec![0; view.size.len()];
    for _ in 0..elements {
        let element: usize = index.iter().zip(&view.stride).map(|(at, stride)| at * stride).sum();
        let position = start + element * width;
        gathered.extend_from_slice(&data[position..position + width]);
        advance(&mut index, &view.size);
    }
    Ok(Tensor::f_from_data_size(&gathered, &shape, view.storage.kind)?)
}

/// The number of elements, if every one of them lies inside the storage. More
/// elements than the storage has (stride 0) are refused too.
fn checked_elements(view: &TensorView) -> Option<usize> {
    if view.size.len() != view.stride.len() {
        return None;
    }
    // The product without the zeros bounds what libtorch computes for its strides.
    let bound = view.size.iter().try_fold(1_usize, |product, side| product.checked_mul(*side.max(&1)))?;
    i64::try_from(bound).ok()?;
    if view.size.contains(&0) {
        return (view.offset <= view.storage.elements).then_some(0);
    }
    let elements = bound;
    let mut last = view.offset;
    for (side, stride) in view.size.iter().zip(&view.stride) {
        last = last.checked_add((side - 1).checked_mul(*stride)?)?;
    }
    (last < view.storage.elements && elements <= view.storage.elements).then_some(elements)
}

fn is_row_major(view: &TensorView) -> bool {
    let mut expected = 1;
    for (side, stride) in view.size.iter().zip(&view.stride).rev() {
        if *side != 1 && *stride != expected {
            return false;
        }
        expected *= side.max(&1);
    }
    true
}

fn advance(index: &mut [usize], size: &[usize]) {
    for (at, side) in index.iter_mut().zip(size).rev() {
        *at += 1;
        if *at < *side {
            return;
        }
        *at = 0;
    }
}
