//! One update of joint-embedding training: embed every view, compare, go back,
//! update.

use counterstain_torch::optim::Optimizer;
use tch::Tensor;

use super::loss::{Error, JointEmbedding};

/// Embeds `views` in order with `embed(branch, view)`, computes `loss` over all
/// branches and updates what `optimizer` holds with rate `lr`. Returns the terms by
/// name, from before the update, detached.
///
/// A branch that shares its networks with another is embedded by a call of its
/// own: batch norm then sees one view at a time, and its running statistics move
/// once per branch, as in the authors' code.
///
/// # Errors
/// Those of the loss; nothing is updated then.
///
/// # Panics
/// Where libtorch refuses an operation, as `tch` does.
pub fn joint_embedding_step(
    views: &[Tensor],
    mut embed: impl FnMut(usize, &Tensor) -> Tensor,
    loss: &JointEmbedding,
    optimizer: &mut dyn Optimizer,
    lr: f64,
) -> Result<Vec<(&'static str, Tensor)>, Error> {
    let embeddings: Vec<Tensor> =
        views.iter().enumerate().map(|(branch, view)| embed(branch, view)).collect();
    let computed = loss.compute(&embeddings)?;
    descend(&computed.total, optimizer, lr).unwrap_or_else(|error| panic!("{error}"));
    Ok(computed.named)
}

/// Goes back from `total` (shape []) and updates what `optimizer` holds with rate `lr`.
///
/// # Errors
/// When libtorch refuses the gradients.
///
/// # Panics
/// Where libtorch refuses to go back, as `tch` does.
pub fn descend(
    total: &Tensor,
    optimizer: &mut dyn Optimizer,
    lr: f64,
) -> Result<(), counterstain_torch::Error> {
    optimizer.zero_grad();
    total.backward();
    optimizer.try_step(lr)
}
