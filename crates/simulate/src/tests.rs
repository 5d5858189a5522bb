use super::*;

#[test]
fn a_sample_depends_on_its_name_alone() {
    let tissue = Tissue::default();
    let first = tissue.sample(3, 1, 1);
    assert_eq!(first, tissue.sample(3, 1, 1));
    assert_ne!(first.he, tissue.sample(4, 1, 1).he);
    assert_ne!(first.he, tissue.sample(3, 0, 1).he);
    assert_ne!(first.he, Tissue { seed: 1, ..tissue }.sample(3, 1, 1).he);
}

#[test]
fn the_maps_agree_with_each_other_and_with_the_class() {
    let tissue = Tissue::default();
    for index in 0..60 {
        let class = index as usize % 2;
        let sample = tissue.sample(index, index as usize % 4, class);
        let mut type_of = std::collections::BTreeMap::new();
        for (&number, &kind) in sample.instances.data.iter().zip(&sample.types.data) {
            assert_eq!(number == 0, kind == 0);
            assert_eq!(*type_of.entry(number).or_insert(kind), kind, "one nucleus has one type");
        }
        let largest = sample.instances.data.iter().copied().max().unwrap();
        assert_eq!(type_of.len() as u32, largest + 1, "numbers have no gaps");
        let has = |kind: NucleusType| sample.types.data.contains(&(kind as u32));
        assert_eq!((has(NucleusType::Neoplastic), has(NucleusType::Epithelial)), (class == 1, class == 0));
        assert_eq!(sample.label, CLASSES[class]);
    }
}

#[test]
fn nuclear_area_and_mean_colour_tell_the_classes_apart_hardly_at_all() {
    let tissue = Tissue::default();
    let mut shares = [0.0; 2];
    let mut brightness = [0.0; 2];
    let count = 150;
    for index in 0..2 * count {
        let class = index as usize % 2;
        let sample = tissue.sample(index, 0, class);
        let nuclear = sample.instances.data.iter().filter(|&&number| number > 0).count();
        shares[class] += nuclear as f64 / (sample.instances.data.len() as f64 * count as f64);
        let sum: f64 = sample.he.data.iter().map(|&value| f64::from(value)).sum();
        brightness[class] += sum / (sample.he.data.len() as f64 * count as f64);
    }
    assert!((shares[0] - shares[1]).abs() < 0.03, "{shares:?}");
    assert!((brightness[0] - brightness[1]).abs() < 5.0, "{brightness:?}");
}

#[test]
fn every_size_and_odd_settings_give_tiles_of_that_size() {
    for size in [0, 1, 7, 96, 224] {
        let tissue = Tissue { size, centres: 0, patients_per_centre: 0, ..Tissue::default() };
        let sample = tissue.sample(u64::MAX, 9, 9);
        for tile in [&sample.he, &sample.ihc, &sample.fluorescence] {
            assert_eq!((tile.width, tile.height, tile.data.len()), (size, size, 3 * size * size));
        }
        assert_eq!(sample.types.data.len(), size * size);
    }
    let strange = Tissue { nuisance: f32::NAN, ..Tissue::default() };
    assert_eq!(strange.sample(0, 0, 0).he.width, 64);
}

#[test]
fn splits_keep_patients_and_the_last_centre_apart() {
    let tissue = Tissue::default();
    let sizes = SplitSizes { train: 200, valid: 60, test: 80 };
    let assignments = tissue.assignments(sizes);
    let of = |split: &str| assignments.iter().filter(|one| one.split == split).collect::<Vec<_>>();
    assert_eq!((of("train").len(), of("valid").len(), of("test").len()), (200, 60, 80));
    assert!(of("test").iter().all(|one| one.centre == 3));
    assert!(of("train").iter().chain(&of("valid")).all(|one| one.centre < 3));
    for train in of("train") {
        assert!(of("valid").iter().all(|valid| valid.patient != train.patient));
    }
    assert_eq!(of("train").iter().filter(|one| one.class == 1).count(), 100);
    let one_of_all = Tissue { centres: 1, patients_per_centre: 1, ..tissue };
    assert_eq!(one_of_all.assignments(sizes).len(), 340);
}
