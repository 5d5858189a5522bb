//! Memory layout of images.

use tch::Tensor;

/// The same values in channels-last memory order (N, H, W, C inside a tensor that
/// still says N×C×H×W), which convolutions prefer on CPU and CUDA. Tensors that
/// are not four-dimensional come back unchanged. Differentiable.
pub fn channels_last(tensor: &Tensor) -> Tensor {
    if tensor.dim() != 4 {
        return tensor.shallow_clone();
    }
    // `tch` exposes no memory format; permuting, copying and permuting back gives
    // exactly the strides of `contiguous(channels_last)`.
    tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// True when a 4-d tensor's memory is in channels-last order.
pub fn is_channels_last(tensor: &Tensor) -> bool {
    tensor.dim() == 4 && tensor.permute([0, 2, 3, 1]).is_contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn strides_change_and_values_do_not() {
        let tensor = Tensor::arange(2 * 3 * 4 * 5, (Kind::Float, Device::Cpu)).view([2, 3, 4, 5]);
        let converted = channels_last(&tensor);
        assert_eq!(converted.stride(), [60, 1, 15, 3]);
        assert!(is_channels_last(&converted) && !is_channels_last(&tensor));
        assert_eq!(converted, tensor);
    }

    #[test]
    fn a_convolution_gives_channels_last_back() {
        let image = channels_last(&Tensor::ones([1, 3, 6, 6], (Kind::Float, Device::Cpu)));
        let weight = channels_last(&Tensor::ones([5, 3, 3, 3], (Kind::Float, Device::Cpu)));
        assert!(is_channels_last(&image.conv2d(&weight, None::<Tensor>, 1, 1, 1, 1)));
    }

    #[test]
    fn vectors_are_left_alone() {
        assert_eq!(channels_last(&Tensor::ones([3], (Kind::Float, Device::Cpu))).size(), [3]);
    }
}
