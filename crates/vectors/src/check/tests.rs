use super::*;

fn check(json: &str) -> Check {
    serde_json::from_str(json).expect("a valid check")
}

fn passes(json: &str, a: &[f64], b: &[f64]) -> bool {
    check(json).compare(&Tensor::from_slice(a), &Tensor::from_slice(b)).passed
}

#[test]
fn allclose_adds_absolute_and_relative_tolerance() {
    let kind = r#"{"kind":"allclose","rtol":0.1,"atol":1.0}"#;
    assert!(passes(kind, &[12.0, -12.0], &[10.0, -10.0]));
    assert!(!passes(kind, &[12.1, 0.0], &[10.0, 0.0]));
}

#[test]
fn allclose_with_a_centre_axis_ignores_a_shift_along_it() {
    let kind = check(r#"{"kind":"allclose","rtol":0.0,"atol":1e-9,"center_axis":0}"#);
    let b = Tensor::from_slice(&[1.0, 2.0, 3.0, 5.0]).view([2, 2]);
    let shift = Tensor::from_slice(&[10.0, -4.0]);
    assert!(kind.compare(&(&b + &shift), &b).passed);
    assert!(!kind.compare(&(&b + shift.view([2, 1])), &b).passed);
}

#[test]
fn relative_to_max_uses_the_largest_reference_value() {
    let kind = r#"{"kind":"relative_to_max","tol":0.01}"#;
    assert!(passes(kind, &[100.9, 1.0], &[100.0, 0.1]));
    assert!(!passes(kind, &[101.1, 0.1], &[100.0, 0.1]));
    assert!(passes(kind, &[0.005], &[0.0]), "tol is absolute where the reference is all zero");
}

#[test]
fn ignored_indices_count_neither_as_error_nor_for_the_maximum() {
    let kind = r#"{"kind":"relative_to_max","tol":0.01,"ignore_indices":[1]}"#;
    assert!(passes(kind, &[1.0, 7.0], &[1.0, 1000.0]));
    assert!(!passes(kind, &[1.1, 7.0], &[1.0, 1000.0]));
}

#[test]
fn not_a_number_and_infinity_fail_every_kind() {
    for kind in [
        r#"{"kind":"allclose","rtol":1.0,"atol":1e9}"#,
        r#"{"kind":"relative_to_max","tol":1e9}"#,
        r#"{"kind":"mismatch_fraction","max":1.0}"#,
        r#"{"kind":"at_most","rtol":0.0,"atol":1e9}"#,
        r#"{"kind":"exact"}"#,
    ] {
        assert!(!passes(kind, &[f64::NAN], &[f64::NAN]), "{kind}");
        assert!(!passes(kind, &[f64::NEG_INFINITY], &[f64::NEG_INFINITY]), "{kind}");
    }
}

#[test]
fn shapes_must_be_equal_and_empty_tensors_pass() {
    let kind = check(r#"{"kind":"exact"}"#);
    let row = Tensor::from_slice(&[1.0, 2.0]);
    assert!(!kind.compare(&row.view([1, 2]), &row).passed);
    let empty = Tensor::zeros([0, 3], (Kind::Float, Device::Cpu));
    assert!(kind.compare(&empty, &empty).passed);
}

#[test]
fn exact_tells_large_integers_apart_that_are_one_float() {
    let kind = check(r#"{"kind":"exact"}"#);
    let a = Tensor::from_slice(&[(1i64 << 60) + 1]);
    let b = Tensor::from_slice(&[1i64 << 60]);
    assert!(!kind.compare(&a, &b).passed);
    assert!(kind.compare(&a, &a).passed);
}

#[test]
fn mismatch_fraction_counts_differing_elements() {
    assert!(passes(
        r#"{"kind":"mismatch_fraction","max":0.25}"#,
        &[1.0, 2.0, 3.0, 9.0],
        &[1.0, 2.0, 3.0, 4.0]
    ));
    assert!(!passes(
        r#"{"kind":"mismatch_fraction","max":0.2}"#,
        &[1.0, 2.0, 3.0, 9.0],
        &[1.0, 2.0, 3.0, 4.0]
    ));
    let tolerant = r#"{"kind":"mismatch_fraction","max":0.0,"rtol":0.0,"atol":1.0}"#;
    assert!(passes(tolerant, &[1.0, 5.0], &[2.0, 4.0]));
}

#[test]
fn sign_invariance_is_judged_slice_by_slice() {
    let kind = check(r#"{"kind":"sign_invariant_allclose","axis":1,"rtol":0.0,"atol":1e-9}"#);
    let b = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0]).view([2, 2]);
    let flipped_column = Tensor::from_slice(&[-1.0, 2.0, -3.0, 4.0]).view([2, 2]);
    let flipped_row = Tensor::from_slice(&[-1.0, -2.0, 3.0, 4.0]).view([2, 2]);
    assert!(kind.compare(&flipped_column, &b).passed);
    assert!(!kind.compare(&flipped_row, &b).passed);
}

#[test]
fn labels_are_compared_as_partitions() {
    let kind = r#"{"kind":"permutation_invariant","metric":"adjusted_rand_index","min":0.999}"#;
    assert!(passes(kind, &[2.0, 2.0, 0.0, 1.0], &[0.0, 0.0, 1.0, 2.0]));
    assert!(!passes(kind, &[2.0, 0.0, 2.0, 1.0], &[0.0, 0.0, 1.0, 2.0]));
    assert!(!passes(r#"{"kind":"permutation_invariant","metric":"purity","min":0.1}"#, &[0.0], &[0.0]));
}

#[test]
fn bounds_hold_on_one_side_only() {
    let most = r#"{"kind":"at_most","rtol":0.0,"atol":0.1}"#;
    assert!(passes(most, &[-5.0], &[1.0]) && !passes(most, &[1.2], &[1.0]));
    let least = r#"{"kind":"at_least","rtol":0.0,"atol":0.1}"#;
    assert!(passes(least, &[5.0], &[1.0]) && !passes(least, &[0.8], &[1.0]));
}

#[test]
fn an_unknown_option_of_a_check_is_refused() {
    let faulty = r#"{"kind":"allclose","rtol":0.1,"atol":1.0,"wrap":360}"#;
    assert!(serde_json::from_str::<Check>(faulty).is_err());
    assert!(serde_json::from_str::<Check>(r#"{"kind":"similar"}"#).is_err());
}
