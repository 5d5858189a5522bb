//! The bridge to libtorch's fused optimiser kernels (`shim/optim.h`).
//!
//! Tensors cross as addresses of the `at::Tensor` behind a [`tch::Tensor`]. They
//! are made and used within one call, from tensors that are borrowed meanwhile.

use tch::Tensor;

use crate::error::Error;

pub use bridge::AdamNumbers;

#[cxx::bridge(namespace = "counterstain")]
mod bridge {
    /// The numbers of one update of Adam.
    #[derive(Clone, Copy, Debug)]
    struct AdamNumbers {
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        /// Weight decay apart from the gradient (AdamW).
        decoupled: bool,
    }

    unsafe extern "C++" {
        include!("optim.h");

        unsafe fn fused_adam(
            parameters: &[usize],
            gradients: &[usize],
            means: &[usize],
            squares: &[usize],
            steps: &[usize],
            numbers: &AdamNumbers,
        ) -> Result<()>;

        unsafe fn clip_each_norm(gradients: &[usize], most: f64) -> Result<()>;

        unsafe fn add_scaled(targets: &[usize], sources: &[usize], factor: f64) -> Result<()>;
    }
}

fn addresses(tensors: &[&Tensor]) -> Vec<usize> {
    tensors.iter().map(|tensor| tensor.as_ptr() as usize).collect()
}

fn laid_out_like(model: &Tensor, values: &Tensor) -> Result<Tensor, Error> {
    let mut copy = model.detach().f_empty_like()?;
    copy.f_copy_(values)?;
    Ok(copy)
}

/// The tensors that one update of Adam changes or reads; parallel lists.
pub struct AdamTensors<'a> {
    pub parameters: Vec<&'a Tensor>,
    pub gradients: Vec<&'a Tensor>,
    pub means: Vec<&'a Tensor>,
    pub squares: Vec<&'a Tensor>,
    pub steps: Vec<&'a Tensor>,
}

/// Adam's update in one pass over memory; counts every step tensor up by one.
///
/// # Errors
/// When libtorch refuses the tensors (shapes, dtypes or devices that differ).
pub fn fused_adam(tensors: &AdamTensors, numbers: AdamNumbers) -> Result<(), Error> {
    if tensors.parameters.is_empty() {
        return Ok(());
    }
    // The kernel walks through memory and looks at no strides: all four tensors of
    // a parameter must have the parameter's layout (channels-last, say).
    let mut gradients = Vec::with_capacity(tensors.gradients.len());
    for (at, parameter) in tensors.parameters.iter().enumerate() {
        for state in [tensors.means[at], tensors.squares[at]] {
            if state.stride() != parameter.stride() {
                state.shallow_clone().set_data(&laid_out_like(parameter, state)?);
            }
        }
        let gradient = tensors.gradients[at];
        gradients.push(if gradient.stride() == parameter.stride() {
            gradient.shallow_clone()
        } else {
            laid_out_like(parameter, gradient)?
        });
    }
    let gradients: Vec<&Tensor> = gradients.iter().collect();
    // SAFETY: each address is that of a live at::Tensor borrowed by `tensors` for
    // the whole call, and the shim only copies handles from it.
    unsafe {
        bridge::fused_adam(
            &addresses(&tensors.parameters),
            &addresses(&gradients),
            &addresses(&tensors.means),
            &addresses(&tensors.squares),
            &addresses(&tensors.steps),
            &numbers,
        )?;
    }
    Ok(())
}

/// Scales each tensor in place so that its own 2-norm is at most `most`.
///
/// # Errors
/// When libtorch refuses the tensors.
pub fn clip_each_norm(gradients: &[&Tensor], most: f64) -> Result<(), Error> {
    if gradients.is_empty() {
        return Ok(());
    }
    // SAFETY: as in `fused_adam`.
    unsafe { bridge::clip_each_norm(&addresses(gradients), most)? };
    Ok(())
}

/// `target += factor * source` for each pair.
///
/// # Errors
/// When libtorch refuses the tensors.
pub fn add_scaled(targets: &[&Tensor], sources: &[&Tensor], factor: f64) -> Result<(), Error> {
    if targets.is_empty() {
        return Ok(());
    }
    // SAFETY: as in `fused_adam`.
    unsafe { bridge::add_scaled(&addresses(targets), &addresses(sources), factor)? };
    Ok(())
}
