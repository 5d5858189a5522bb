use serde_json::json;

use super::*;

fn encoder(extra: Value) -> JobSpec {
    let mut spec = json!({
        "dataset": "@tiles", "method": "trident", "loss": "vicreg", "privileged": [{ "artifact": "@paint" }],
    });
    for (key, value) in extra.as_object().unwrap() {
        spec[key] = value.clone();
    }
    from_json(JobKind::TrainEncoder, &spec).unwrap()
}

#[test]
fn defaults_are_filled_in_and_left_out_of_the_canonical_form() {
    let resolved = resolve(&encoder(json!({ "epochs": 3, "learning_rate": 1e-4 }))).unwrap();
    assert_eq!(to_json(&resolved)["vicreg_lambda"], json!(25.0));
    assert_eq!(to_json(&resolved)["encoder"], json!("resnet50"));
    assert_eq!(
        canonical_json(&resolved),
        json!({
            "dataset": "@tiles", "method": "trident", "loss": "vicreg",
            "privileged": [{ "artifact": "@paint" }], "epochs": 3,
        })
    );
}

#[test]
fn the_small_preset_fills_only_what_was_left_out() {
    let resolved = to_json(&resolve(&encoder(json!({ "preset": "small", "epochs": 2 }))).unwrap());
    assert_eq!(resolved["encoder"], json!("resnet18"));
    assert_eq!(resolved["epochs"], json!(2));
    assert_eq!(resolved.get("preset"), None);
}

#[test]
fn defaults_of_a_generator_follow_its_method_and_preset_but_not_what_was_given() {
    let generator = |more: Value| {
        let mut spec = json!({ "dataset": "@tiles", "layer": "ihc" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        to_json(&resolve(&from_json(JobKind::TrainGenerator, &spec).unwrap()).unwrap())
    };
    let pix2pix = generator(json!({}));
    assert_eq!((&pix2pix["network"], &pix2pix["gan_mode"]), (&json!("unet"), &json!("vanilla")));
    let cyclegan = generator(json!({ "method": "cyclegan", "norm": "batch" }));
    assert_eq!((&cyclegan["network"], &cyclegan["gan_mode"]), (&json!("resnet"), &json!("lsgan")));
    assert_eq!((&cyclegan["norm"], &cyclegan["dropout"]), (&json!("batch"), &json!(false)));
    let shift = generator(json!({ "preset": "shift", "crop": 128 }));
    assert_eq!((&shift["intensity"], &shift["crop"]), (&json!("percentile"), &json!(128)));
    assert_eq!(shift.get("preset"), None);
}

#[test]
fn real_pairs_need_a_dataset_a_share_and_a_layer_for_each_branch() {
    let faults = |more: Value| -> Vec<String> {
        let spec = encoder(more);
        resolve(&spec).unwrap_err().into_iter().map(|fault| fault.field).collect()
    };
    assert_eq!(faults(json!({ "real_share": 0.25 })), ["real_share", "privileged[0].real"]);
    assert_eq!(faults(json!({ "real_dataset": "@real" })), ["real_share"]);
    assert_eq!(faults(json!({ "real_dataset": "@real", "real_share": 0.25 })), ["privileged[0].real"]);
}

#[test]
fn every_fault_is_reported_with_its_path() {
    let spec = json!({
        "dataset": "tiles", "method": "siamese", "loss": "cross-entropy", "epochs": 0, "warmup": 2.0,
        "privileged": [{}], "vicreg_nu": -1,
    });
    let faults = resolve(&from_json(JobKind::TrainEncoder, &spec).unwrap()).unwrap_err();
    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["dataset", "epochs", "warmup", "vicreg_nu", "privileged[0]", "loss"]);
}

#[test]
fn unknown_keys_and_wrong_types_are_faults_with_suggestions() {
    let spec = json!({ "dataset": 3, "epoch": 2, "method": "tridnet", "privileged": "x" });
    let faults = from_json(JobKind::TrainEncoder, &spec).unwrap_err();
    let texts: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.field, fault.description)).collect();
    assert!(texts.contains(&"dataset must be a string, not 3".to_owned()), "{texts:?}");
    assert!(texts.contains(&"epoch is unknown; did you mean \"epochs\"?".to_owned()), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("did you mean \"trident\"?")), "{texts:?}");
    assert!(texts.contains(&"privileged must be a list, not \"x\"".to_owned()), "{texts:?}");
}

#[test]
fn inputs_are_found_and_replaced() {
    let mut spec = encoder(json!({}));
    let paths: Vec<_> = inputs(&spec).into_iter().map(|input| (input.path, input.artifact_kind)).collect();
    let expected = [("dataset", "dataset"), ("privileged[0].artifact", "layer")];
    assert_eq!(paths, expected.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
    let digest = Digest::of(b"x").to_string();
    substitute(&mut spec, |input| (input.value == "@paint").then(|| digest.clone()));
    assert_eq!(inputs(&spec)[1].value, digest);
    assert_eq!(inputs(&spec)[0].value, "@tiles");
}

#[test]
fn every_default_parses_and_keeps_its_own_rule() {
    for (_, _, message) in KINDS {
        let descriptor = rule::pool().get_message_by_name(message).unwrap();
        for field in descriptor.fields() {
            let default = rule::default_of(&field);
            assert!(default.is_some() || rule::of(&field).default_value.is_none(), "{}", field.full_name());
        }
    }
    assert!(resolve(&encoder(json!({}))).is_ok());
}

#[test]
fn the_key_changes_with_spec_and_profile_only() {
    let profile = Profile { device_class: "cpu".into(), threads: 2, libtorch: "2.13.0".into(), revision: 1 };
    let spec = canonical_json(&resolve(&encoder(json!({}))).unwrap());
    let same = canonical_json(&resolve(&encoder(json!({ "epochs": 100 }))).unwrap());
    let key = artifact_key("train_encoder", &spec, &profile);
    assert_eq!(key, artifact_key("train_encoder", &same, &profile));
    assert_ne!(key, artifact_key("train_encoder", &spec, &Profile { threads: 1, ..profile }));
}

#[test]
fn the_documentation_names_every_kind() {
    let text = markdown();
    for (_, name) in kinds() {
        assert!(text.contains(&format!("### `{name}`")), "{name}");
    }
    assert!(text.contains("weight of the L1 term"), "comments of the protos are there");
}
