//! Seconds per forward and backward pass of the losses at the paper's size, 3 branches, in f32:
//! `cargo xtask bench losses`.
//!
//! VICReg's covariance term is computed from the N×N Gram matrix while N < D; the line `vicreg, D x D` is the
//! same term from the D×D covariance matrix, on the same inputs in the same run. Limit: 2·N²·D
//! multiply-adds per branch for the Gram form, 2·N·D² for the other, each three times (forward, and twice
//! backward).

use std::time::Instant;

use counterstain_training::engine::loss::{InfonceConfig, VicregConfig, infonce, vicreg};
use tch::{Device, Kind, Tensor};

fn main() {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    counterstain_torch::set_threads(threads);
    println!("{threads} thread(s), best of 5");
    for (samples, width) in [(16, 8192), (256, 8192), (256, 1024)] {
        let branches: Vec<Tensor> = (0..3)
            .map(|_| Tensor::randn([samples, width], (Kind::Float, Device::Cpu)).set_requires_grad(true))
            .collect();
        let gram = best(|| {
            vicreg(&branches, &VicregConfig::default()).expect("two branches or more").total.backward()
        });
        let square = best(|| covariance_from_features(&branches).backward());
        let other = best(|| {
            infonce(&branches, &InfonceConfig::default()).expect("two branches or more").total.backward()
        });
        println!("N = {samples}, D = {width}");
        println!("  vicreg           {gram:8.4} s");
        println!("  covariance, DxD  {square:8.4} s   ratio {:.1}", square / gram);
        println!("  infonce          {other:8.4} s");
    }
}

/// The covariance term alone, from the D×D matrix.
fn covariance_from_features(branches: &[Tensor]) -> Tensor {
    let terms = branches.iter().map(|z| {
        let z = z - z.mean_dim(&[0_i64][..], true, Kind::Float);
        let covariance = z.tr().matmul(&z) / z.size()[0] as f64;
        covariance.tril(-1).square().sum(Kind::Float) * 2.0 / z.size()[1] as f64
    });
    terms.reduce(|left, right| left + right).expect("three branches")
}

fn best(mut run: impl FnMut()) -> f64 {
    let timed = (0..5).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    });
    timed.fold(f64::INFINITY, f64::min)
}
