//! The projector: the network between representation and embedding, used in
//! training only (Bardes et al., "VICReg", 2022).

use crate::error::Error;
use crate::layers::{BatchNorm, BatchNormConfig, Dense, relu};
use tch::Tensor;
use tch::nn::Path;

/// `depth` dense layers of the same width, with batch norm and ReLU after all but
/// the last. Named as torch's `Sequential` names them: dense layers at 0, 3, 6, …,
/// batch norms at 1, 4, ….
#[derive(Debug)]
pub struct Projector {
    hidden: Vec<(Dense, BatchNorm)>,
    last: Dense,
    width: i64,
}

impl Projector {
    /// From representations of length `inputs` to embeddings of length `width`,
    /// with torch's batch norm. The paper's has depth 3 and width 8,192.
    ///
    /// # Errors
    /// When a length or the depth is below one.
    pub fn new(path: &Path, inputs: i64, width: i64, depth: usize) -> Result<Self, Error> {
        Self::with_norm(path, inputs, width, depth, BatchNormConfig::TORCH)
    }

    /// As [`Projector::new`], with the batch norm of another framework.
    ///
    /// # Errors
    /// When a length or the depth is below one.
    pub fn with_norm(
        path: &Path,
        inputs: i64,
        width: i64,
        depth: usize,
        norm: BatchNormConfig,
    ) -> Result<Self, Error> {
        let refuse = |field, value: String| Error::Config {
            network: "projector",
            field,
            value,
            rule: "it has to be at least 1",
        };
        if inputs < 1 {
            return Err(refuse("inputs", inputs.to_string()));
        }
        if width < 1 {
            return Err(refuse("width", width.to_string()));
        }
        let Some(hidden) = depth.checked_sub(1) else {
            return Err(refuse("depth", depth.to_string()));
        };
        let inputs_of = |position: usize| if position == 0 { inputs } else { width };
        let layers = (0..hidden)
            .map(|position| {
                let dense = Dense::new(&(path / (3 * position)), inputs_of(position), width, true);
                let norm = BatchNorm::new(&(path / (3 * position + 1)), width, norm);
                (dense, norm)
            })
            .collect();
        let last = Dense::new(&(path / (3 * hidden)), inputs_of(hidden), width, true);
        Ok(Self { hidden: layers, last, width })
    }

    /// Length of the embedding.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// Representations `[N, inputs]` to embeddings `[N, width]`.
    pub fn forward_t(&self, representations: &Tensor, train: bool) -> Tensor {
        let mut values = representations.shallow_clone();
        for (dense, norm) in &self.hidden {
            values = relu(norm.forward_t(&dense.forward(&values), train));
        }
        self.last.forward(&values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::export;
    use tch::{Device, Kind, nn::VarStore};

    #[test]
    fn three_layers_are_named_as_a_sequential_and_keep_the_width() {
        let store = VarStore::new(Device::Cpu);
        let projector = Projector::new(&store.root(), 20, 32, 3).expect("it can be built");
        let names: Vec<String> = export(&store).into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"0.weight".into()) && names.contains(&"4.running_var".into()));
        assert!(names.contains(&"6.bias".into()) && !names.contains(&"7.weight".into()));
        let out = projector.forward_t(&Tensor::ones([5, 20], (Kind::Float, Device::Cpu)), true);
        assert_eq!(out.size(), [5, 32]);
    }

    #[test]
    fn a_depth_of_one_is_a_dense_layer_and_zero_is_refused() {
        let store = VarStore::new(Device::Cpu);
        assert!(Projector::new(&store.root(), 4, 4, 1).is_ok());
        assert_eq!(store.len(), 2);
        let error = Projector::new(&store.root(), 4, 4, 0).expect_err("no layer").to_string();
        assert!(error.contains("depth = 0"), "{error}");
    }
}
