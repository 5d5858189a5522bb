//! Properties that the losses must have whatever the numbers; equality with the
//! references is the business of the vectors.

use counterstain_training::engine::loss::{
    BarlowTwinsConfig, Error, InfonceConfig, Reduction, VicregConfig, barlow_twins, cross_entropy, infonce,
    vicreg,
};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

const CPU64: (Kind, Device) = (Kind::Double, Device::Cpu);

/// A loss as a function of its branches alone.
type Loss = fn(&[Tensor]) -> Result<Tensor, Error>;

fn losses() -> Vec<(&'static str, Loss)> {
    vec![
        ("vicreg", |z| Ok(vicreg(z, &VicregConfig::default())?.total)),
        ("vicreg, summed", |z| {
            Ok(vicreg(z, &VicregConfig { reduction: Reduction::Sum, ..VicregConfig::default() })?.total)
        }),
        ("vicreg, facebook", |z| Ok(vicreg(z, &VicregConfig::facebook())?.total)),
        ("infonce", |z| Ok(infonce(z, &InfonceConfig::default())?.total)),
        ("barlow twins", |z| Ok(barlow_twins(z, &BarlowTwinsConfig::default())?.total)),
    ]
}

fn branches(count: usize, samples: i64, width: i64, values: &[f64]) -> Vec<Tensor> {
    let per_branch = (samples * width) as usize;
    let all = values.iter().cycle().take(count * per_branch);
    // Cycled values would repeat between branches: a fixed drift tells them apart.
    let all: Vec<f64> =
        all.enumerate().map(|(at, value)| value + (at as f64 * 0.618_033_988_7).sin() * 0.3).collect();
    (0..count)
        .map(|branch| {
            Tensor::from_slice(&all[branch * per_branch..(branch + 1) * per_branch]).view([samples, width])
        })
        .collect()
}

fn number(tensor: &Tensor) -> f64 {
    tensor.double_value(&[])
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

prop_compose! {
    fn any_branches()(count in 2usize..5, samples in 2i64..9, width in 1i64..12)
        (values in prop::collection::vec(-3.0f64..3.0, 7..40), count in Just(count), samples in Just(samples), width in Just(width))
        -> Vec<Tensor> {
        branches(count, samples, width, &values)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn exchanging_branches_changes_nothing(branches in any_branches()) {
        for (name, loss) in losses() {
            let value = number(&loss(&branches).expect("a loss"));
            let mut exchanged: Vec<Tensor> = branches.iter().map(Tensor::shallow_clone).collect();
            exchanged.reverse();
            exchanged.rotate_left(1);
            prop_assert!(close(value, number(&loss(&exchanged).expect("a loss"))), "{name}");
        }
    }

    #[test]
    fn the_order_of_the_samples_changes_nothing(branches in any_branches()) {
        let samples = branches[0].size()[0];
        let order: Vec<i64> = (0..samples).map(|at| (at + samples / 2) % samples).rev().collect();
        let order = Tensor::from_slice(&order);
        for (name, loss) in losses() {
            let value = number(&loss(&branches).expect("a loss"));
            let permuted: Vec<Tensor> = branches.iter().map(|z| z.index_select(0, &order)).collect();
            prop_assert!(close(value, number(&loss(&permuted).expect("a loss"))), "{name}");
        }
    }

    #[test]
    fn f32_agrees_with_f64(branches in any_branches()) {
        for (name, loss) in losses() {
            let value = number(&loss(&branches).expect("a loss"));
            let single: Vec<Tensor> = branches.iter().map(|z| z.to_kind(Kind::Float)).collect();
            let found = number(&loss(&single).expect("a loss"));
            prop_assert!((value - found).abs() <= 1e-4 * (1.0 + value.abs()), "{name}: {value} {found}");
        }
    }

    #[test]
    fn a_shift_of_all_embeddings_leaves_batch_statistics_alone(branches in any_branches(), shift in -5.0f64..5.0) {
        let shifted: Vec<Tensor> = branches.iter().map(|z| z + shift).collect();
        let config = VicregConfig::default();
        let (before, after) = (vicreg(&branches, &config).expect("a loss"), vicreg(&shifted, &config).expect("a loss"));
        prop_assert!(close(number(&before.total), number(&after.total)));
        let config = BarlowTwinsConfig::default();
        let (before, after) =
            (barlow_twins(&branches, &config).expect("a loss"), barlow_twins(&shifted, &config).expect("a loss"));
        prop_assert!(close(number(&before.total), number(&after.total)));
    }

    #[test]
    fn the_size_of_embeddings_is_nothing_to_infonce(branches in any_branches(), factor in 0.5f64..1e6) {
        let scaled: Vec<Tensor> = branches.iter().map(|z| z * factor).collect();
        let config = InfonceConfig::default();
        let (before, after) = (infonce(&branches, &config).expect("a loss"), infonce(&scaled, &config).expect("a loss"));
        prop_assert!(close(number(&before.total), number(&after.total)));
    }

    #[test]
    fn the_sum_is_the_mean_times_the_batch(branches in any_branches()) {
        let samples = branches[0].size()[0] as f64;
        let mean = vicreg(&branches, &VicregConfig::default()).expect("a loss").total;
        let config = VicregConfig { reduction: Reduction::Sum, ..VicregConfig::default() };
        prop_assert!(close(number(&mean) * samples, number(&vicreg(&branches, &config).expect("a loss").total)));
    }
}

fn with_gradient(tensor: &Tensor) -> Tensor {
    tensor.detach().copy().set_requires_grad(true)
}

fn largest(tensor: &Tensor) -> f64 {
    number(&tensor.abs().max())
}

#[test]
fn equal_branches_have_no_invariance_gradient() {
    let z = with_gradient(&Tensor::randn([6, 4], CPU64));
    let twin = with_gradient(&z);
    let terms = vicreg(&[z.shallow_clone(), twin.shallow_clone()], &VicregConfig::default()).expect("a loss");
    assert_eq!(number(&terms.invariance), 0.0);
    terms.invariance.backward();
    assert_eq!(largest(&z.grad()), 0.0);
    assert_eq!(largest(&twin.grad()), 0.0);
}

#[test]
fn features_that_spread_enough_have_no_variance_gradient() {
    let z = with_gradient(&(Tensor::randn([12, 5], CPU64) * 40.0));
    let other = with_gradient(&(Tensor::randn([12, 5], CPU64) * 40.0));
    let terms = vicreg(&[z.shallow_clone(), other], &VicregConfig::default()).expect("a loss");
    assert_eq!(number(&terms.variance), 0.0);
    terms.variance.backward();
    assert_eq!(largest(&z.grad()), 0.0);
}

#[test]
fn uncorrelated_features_have_no_covariance_gradient() {
    // The columns of a Hadamard matrix without its constant one are orthogonal and centred.
    let rows = [1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0];
    let z = with_gradient(&Tensor::from_slice(&rows).view([4, 3]));
    let other = with_gradient(&z);
    let terms = vicreg(&[z.shallow_clone(), other], &VicregConfig::default()).expect("a loss");
    assert!(number(&terms.covariance).abs() < 1e-30);
    terms.covariance.backward();
    assert!(largest(&z.grad()) < 1e-15);
}

#[test]
fn the_gradient_of_infonce_is_orthogonal_to_each_embedding() {
    let z = with_gradient(&Tensor::randn([5, 7], CPU64));
    let other = Tensor::randn([5, 7], CPU64);
    infonce(&[z.shallow_clone(), other], &InfonceConfig::default()).expect("a loss").total.backward();
    let along = (z.grad() * z.detach()).sum_dim_intlist(&[1i64][..], false, Kind::Double);
    assert!(largest(&along) < 1e-12);
    assert!(largest(&z.grad()) > 1e-4);
}

#[test]
fn collapsed_embeddings_give_finite_losses_and_gradients() {
    for (name, loss) in losses() {
        let z = Tensor::ones([4, 6], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let zero = Tensor::zeros([4, 6], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let total = loss(&[z.shallow_clone(), zero.shallow_clone()]).expect("a loss");
        assert!(number(&total).is_finite(), "{name}");
        total.backward();
        assert!(largest(&z.grad()).is_finite() && largest(&zero.grad()).is_finite(), "{name}");
    }
}

#[test]
fn infonce_is_stable_for_large_logits_and_large_embeddings() {
    let config = InfonceConfig { temperature: 1e-6, ..InfonceConfig::default() };
    let z = (Tensor::randn([6, 5], (Kind::Float, Device::Cpu)) * 1e30).set_requires_grad(true);
    let other = Tensor::randn([6, 5], (Kind::Float, Device::Cpu)) * 1e-3;
    let terms = infonce(&[z.shallow_clone(), other], &config).expect("a loss");
    assert!(number(&terms.total).is_finite() && number(&terms.total) > 0.0);
    terms.total.backward();
    assert!(largest(&z.grad()).is_finite());
    let same = Tensor::randn([6, 5], (Kind::Float, Device::Cpu)) * 1e20;
    let terms = infonce(&[same.shallow_clone(), same], &config).expect("a loss");
    assert!(number(&terms.total).abs() < 1e-6);
    assert_eq!(number(&terms.accuracy), 1.0);
}

#[test]
fn a_batch_of_one_is_a_clear_error() {
    let one = || vec![Tensor::randn([1, 8], CPU64), Tensor::randn([1, 8], CPU64)];
    for (name, loss) in losses() {
        let error = loss(&one()).expect_err("a batch of one");
        assert!(matches!(error, Error::TooFewSamples { found: 1, .. }), "{name}: {error}");
    }
    let error = infonce(&one(), &InfonceConfig::default()).expect_err("a batch of one");
    assert_eq!(
        error.to_string(),
        "infonce needs at least 2 samples in a batch, found 1: a batch of one has no negatives"
    );
}

#[test]
fn branches_that_do_not_match_are_refused() {
    let z = |samples, width| Tensor::randn([samples, width], CPU64);
    for (name, loss) in losses() {
        assert!(matches!(loss(&[z(4, 3)]), Err(Error::TooFewBranches { found: 1, .. })), "{name}");
        assert!(matches!(loss(&[]), Err(Error::TooFewBranches { found: 0, .. })), "{name}");
        assert!(matches!(loss(&[z(4, 3), z(4, 2)]), Err(Error::Shapes { branch: 1, .. })), "{name}");
        assert!(matches!(loss(&[z(4, 3), z(5, 3)]), Err(Error::Shapes { branch: 1, .. })), "{name}");
        assert!(matches!(loss(&[z(4, 0), z(4, 0)]), Err(Error::Shapes { .. })), "{name}");
    }
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = InfonceConfig { temperature, ..InfonceConfig::default() };
        assert!(matches!(
            infonce(&[z(4, 3), z(4, 3)], &config),
            Err(Error::Config { field: "temperature", .. })
        ));
    }
}

#[test]
fn losses_are_computed_in_f32_inside_an_autocast_region() {
    let z: Vec<Tensor> = (0..3).map(|_| Tensor::randn([8, 32], (Kind::Float, Device::Cpu))).collect();
    for (name, loss) in losses() {
        let expected = loss(&z).expect("a loss");
        let found =
            counterstain_torch::autocast(Device::Cpu, Some(Kind::BFloat16), || loss(&z).expect("a loss"));
        assert_eq!(found.kind(), Kind::Float, "{name}");
        assert_eq!(number(&expected), number(&found), "{name}");
        let half: Vec<Tensor> = z.iter().map(|z| z.to_kind(Kind::BFloat16)).collect();
        assert_eq!(loss(&half).expect("a loss").kind(), Kind::Float, "{name}");
    }
}

#[test]
fn cross_entropy_is_that_of_libtorch_and_refuses_bad_labels() {
    let logits = Tensor::randn([6, 4], CPU64);
    let labels = Tensor::from_slice(&[0i64, 3, 1, 2, 2, 0]);
    let terms = cross_entropy(&logits, &labels, Reduction::Mean).expect("a loss");
    let weight: Option<Tensor> = None;
    let expected = logits.cross_entropy_loss(&labels, weight, tch::Reduction::Mean, -100, 0.0);
    assert!(close(number(&terms.total), number(&expected)));
    let sum = cross_entropy(&logits, &labels, Reduction::Sum).expect("a loss").total;
    assert!(close(number(&sum), 6.0 * number(&expected)));
    let large = Tensor::from_slice(&[1e30, -1e30, 0.0]).view([1, 3]);
    assert_eq!(
        number(&cross_entropy(&large, &Tensor::from_slice(&[0i64]), Reduction::Mean).expect("a loss").total),
        0.0
    );
    for labels in [
        Tensor::from_slice(&[0i64, 3, 1, 2, 2, 4]),
        Tensor::from_slice(&[0i64, 3, 1, 2, 2, -1]),
        Tensor::from_slice(&[0i64]),
        Tensor::from_slice(&[0i32, 3, 1, 2, 2, 0]),
    ] {
        assert!(matches!(cross_entropy(&logits, &labels, Reduction::Mean), Err(Error::Labels(_))));
    }
}
