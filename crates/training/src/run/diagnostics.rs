//! Is the embedding collapsing? Two numbers that say so before the probe does.

use tch::{Kind, Tensor};

/// Mean over the dimensions of the standard deviation over the batch, of embeddings `[N, D]`. Zero is collapse.
pub fn embedding_deviation(embeddings: &Tensor) -> f64 {
    tch::no_grad(|| {
        embeddings.to_kind(Kind::Float).std_dim(0, true, false).mean(Kind::Double).double_value(&[])
    })
}

/// Effective rank of embeddings `[N, D]`: the exponential of the entropy of the normalised singular values
/// (RankMe, Garrido et al. 2023, equation 1). Between 1 and min(N, D).
pub fn effective_rank(embeddings: &Tensor) -> f64 {
    tch::no_grad(|| {
        let values = embeddings.to_kind(Kind::Float);
        // The singular values are the roots of the eigenvalues of the smaller Gram matrix.
        let (rows, columns) = values.size2().unwrap_or((0, 0));
        let gram = if rows <= columns { values.mm(&values.tr()) } else { values.tr().mm(&values) };
        let singular = gram.to_kind(Kind::Double).linalg_eigvalsh("L").clamp_min(0.0).sqrt();
        let shares = &singular / (singular.sum(Kind::Double) + 1e-12) + 1e-7;
        let entropy = -(&shares * shares.log()).sum(Kind::Double);
        entropy.exp().double_value(&[])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_rank_of_orthogonal_rows_is_their_number_and_of_equal_rows_one() {
        let orthogonal = Tensor::eye_m(4, 9, (Kind::Float, Device::Cpu));
        assert!((effective_rank(&orthogonal) - 4.0).abs() < 1e-3);
        let equal = Tensor::ones([4, 9], (Kind::Float, Device::Cpu));
        assert!((effective_rank(&equal) - 1.0).abs() < 1e-2);
        assert_eq!(effective_rank(&orthogonal.tr()), effective_rank(&orthogonal));
    }

    #[test]
    fn the_deviation_of_a_collapsed_embedding_is_zero() {
        assert_eq!(embedding_deviation(&Tensor::ones([5, 3], (Kind::Float, Device::Cpu))), 0.0);
    }
}
