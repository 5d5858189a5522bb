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

/// Logistic regression on standardised features by gradient descent; the test accuracy.
fn accuracy_of_linear_classifier(train: &[(Vec<f32>, usize)], test: &[(Vec<f32>, usize)]) -> f64 {
    let width = train[0].0.len();
    let count = train.len() as f32;
    let mean: Vec<f32> =
        (0..width).map(|column| train.iter().map(|(row, _)| row[column]).sum::<f32>() / count).collect();
    let deviation: Vec<f32> = (0..width)
        .map(|column| {
            let squares: f32 = train.iter().map(|(row, _)| (row[column] - mean[column]).powi(2)).sum();
            (squares / count).sqrt().max(1e-6)
        })
        .collect();
    let standard = |row: &[f32]| -> Vec<f32> {
        (0..width).map(|column| (row[column] - mean[column]) / deviation[column]).collect()
    };
    let rows: Vec<(Vec<f32>, f32)> =
        train.iter().map(|(row, class)| (standard(row), *class as f32)).collect();
    let mut weights = vec![0.0_f32; width + 1];
    let score = |weights: &[f32], row: &[f32]| {
        row.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f32>() + weights[width]
    };
    for _ in 0..1500 {
        let mut gradient = vec![0.0_f32; width + 1];
        for (row, class) in &rows {
            let error = 1.0 / (1.0 + (-score(&weights, row)).exp()) - class;
            for (slope, value) in gradient.iter_mut().zip(row.iter().chain([&1.0])) {
                *slope += error * value / count;
            }
        }
        for (weight, slope) in weights.iter_mut().zip(gradient) {
            *weight -= 0.3 * (slope + 1e-3 * *weight);
        }
    }
    let right = test.iter().filter(|(row, class)| (score(&weights, &standard(row)) > 0.0) == (*class == 1));
    right.count() as f64 / test.len() as f64
}

#[test]
fn across_centres_colour_statistics_say_little_and_the_sizes_of_nuclei_nearly_all() {
    let tissue = Tissue::default();
    let sizes = SplitSizes { train: 400, valid: 0, test: 200 };
    let mut statistics = [Vec::new(), Vec::new()];
    let mut nuclear = [Vec::new(), Vec::new()];
    for assignment in tissue.assignments(sizes) {
        let sample = tissue.sample_of(&assignment);
        let split = usize::from(assignment.split == "test");
        let colours = counterstain_tile::statistics::colour_statistics(&sample.he).unwrap();
        statistics[split].push((colours, assignment.class));
        let mut areas = std::collections::BTreeMap::<u32, f32>::new();
        for &number in sample.instances.data.iter().filter(|&&number| number > 0) {
            *areas.entry(number).or_default() += 1.0;
        }
        let largest = areas.values().copied().fold(0.0, f32::max);
        nuclear[split].push((vec![largest], assignment.class));
    }
    let by_colour = accuracy_of_linear_classifier(&statistics[0], &statistics[1]);
    let by_shape = accuracy_of_linear_classifier(&nuclear[0], &nuclear[1]);
    println!("colour statistics {by_colour:.3}, largest nucleus {by_shape:.3}");
    assert!(by_colour < 0.80, "colour statistics alone reach {by_colour}");
    assert!(by_shape > 0.95, "the largest nucleus alone reaches {by_shape}");
}
