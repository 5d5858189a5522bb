use proptest::prelude::*;

use super::patching::Patching;
use super::targets::targets;
use super::*;
use crate::error::Error;
use crate::tile::Tile;

/// Two touching discs of radius 9 in an image of 60 × 40 px.
fn two_discs() -> Tile<u32> {
    let mut instances = Tile::filled(60, 40, 1, 0_u32);
    for (number, centre) in [(1_u32, 20_i32), (2, 37)] {
        for y in 0..40_i32 {
            for x in 0..60_i32 {
                if (x - centre).pow(2) + (y - 20).pow(2) <= 81
                    && instances.pixel(x as usize, y as usize)[0] == 0
                {
                    instances.pixel_mut(x as usize, y as usize)[0] = number;
                }
            }
        }
    }
    instances
}

fn channel(distances: &Tile<f32>, channel: usize) -> Tile<f32> {
    let data = distances.data.chunks_exact(2).map(|pixel| pixel[channel]).collect();
    Tile::new(distances.width, distances.height, 1, data).unwrap()
}

#[test]
fn touching_nuclei_are_separated_from_their_own_targets() {
    let instances = two_discs();
    let made = targets(&instances, 60, 40).unwrap();
    let foreground = made.foreground.map(|set| set as f32);
    let (horizontal, vertical) = (channel(&made.distances, 0), channel(&made.distances, 1));
    let maps = Maps { foreground: &foreground, horizontal: &horizontal, vertical: &vertical };
    let found = segment(&maps, &Settings::default()).unwrap();
    assert_eq!(found, segment_with_stages(&maps, &Settings::default()).unwrap().instances);
    let described = describe(&found, None).unwrap();
    assert_eq!(described.len(), 2);
    let agreeing = found.data.iter().zip(&instances.data).filter(|(a, b)| a == b).count();
    assert!(agreeing * 100 > found.data.len() * 98, "{agreeing} of {}", found.data.len());
}

/// Many overlapping discs with noise, so that parts hold several markers.
#[test]
fn the_fast_way_gives_the_instances_of_the_stages() {
    let mut stream = crate::random::Stream::new(4, "crowded", &[]);
    for (width, height) in [(150, 170), (300, 40), (23, 190)] {
        let mut instances = Tile::filled(width, height, 1, 0_u32);
        for number in 1..=(width * height / 150) as u32 {
            let (x, y) = (stream.below(width as u64) as f32, stream.below(height as u64) as f32);
            let radius = stream.uniform(4.0, 9.0);
            for (place, pixel) in instances.data.iter_mut().enumerate() {
                let (dx, dy) = ((place % width) as f32 - x, (place / width) as f32 - y);
                if *pixel == 0 && dx * dx + dy * dy < radius * radius {
                    *pixel = number;
                }
            }
        }
        let made = targets(&instances, width, height).unwrap();
        let mut noisy = |map: Tile<f32>, amount: f32| {
            let data = map.data.iter().map(|value| value + amount * stream.normal()).collect();
            Tile::new(width, height, 1, data).unwrap()
        };
        let foreground = noisy(made.foreground.map(|set| set as f32), 0.2);
        let horizontal = noisy(channel(&made.distances, 0), 0.1);
        let vertical = noisy(channel(&made.distances, 1), 0.1);
        let maps = Maps { foreground: &foreground, horizontal: &horizontal, vertical: &vertical };
        for sobel_size in [5, 21] {
            let settings = Settings { sobel_size, ..Settings::default() };
            let stages = segment_with_stages(&maps, &settings).unwrap();
            assert_eq!(segment(&maps, &settings).unwrap(), stages.instances);
            assert!(describe(&stages.instances, None).unwrap().len() > 5);
        }
    }
}

#[test]
fn empty_tiny_constant_and_undefined_maps_have_a_result_or_an_error() {
    for (width, height) in [(0, 0), (1, 1), (1, 9), (30, 2), (12, 12)] {
        for value in [0.0, 1.0] {
            let map = Tile::filled(width, height, 1, value);
            let maps = Maps { foreground: &map, horizontal: &map, vertical: &map };
            let found = segment(&maps, &Settings::default()).unwrap();
            assert_eq!(found.data, vec![0; width * height], "constant maps hold no separate nuclei");
            assert!(describe(&found, Some(&found)).unwrap().is_empty());
            assert_eq!(targets(&found, width, height).unwrap().foreground, found);
        }
    }
    let fine = Tile::filled(4, 4, 1, 1.0);
    let undefined = Tile::filled(4, 4, 1, f32::NAN);
    let maps = Maps { foreground: &fine, horizontal: &undefined, vertical: &fine };
    assert_eq!(segment(&maps, &Settings::default()), Err(Error::NotFinite { what: "the horizontal map" }));
    let even = Settings { sobel_size: 4, ..Settings::default() };
    let maps = Maps { foreground: &fine, horizontal: &fine, vertical: &fine };
    assert!(segment(&maps, &even).is_err());
}

#[test]
fn components_are_numbered_by_their_first_pixel() {
    let mask = [true, false, true, true, false, true, false, true, true].map(|set| set);
    assert_eq!(label_components(&mask, 3), [1, 0, 2, 1, 0, 2, 0, 2, 2]);
    let u_shape = [true, false, true, true, true, true];
    assert_eq!(label_components(&u_shape, 3), [1, 0, 1, 1, 1, 1]);
}

#[test]
fn only_enclosed_holes_are_filled() {
    let mut ring = [true, true, true, true, false, true, true, true, true, false, false, false];
    fill_holes(&mut ring, 3);
    assert_eq!(ring, [true, true, true, true, true, true, true, true, true, false, false, false]);
    let mut open = [true, true, true, true, false, true, true, false, true];
    fill_holes(&mut open, 3);
    assert!(!open[4]);
}

#[test]
fn contours_list_corners_counter_clockwise() {
    let square = |x: i32, y: i32| (2..5).contains(&x) && (1..4).contains(&y);
    assert_eq!(outer_contour((2, 1), square), [(2, 1), (2, 3), (4, 3), (4, 1)]);
    assert_eq!(outer_contour((2, 1), |x, y| (x, y) == (2, 1)), [(2, 1)]);
    assert_eq!(outer_contour((0, 0), |x, y| y == 0 && (0..4).contains(&x)), [(0, 0), (3, 0)]);
}

#[test]
fn a_nucleus_takes_its_most_frequent_type_that_is_not_background() {
    let instances = Tile::filled(3, 3, 1, 7);
    let types = Tile::new(3, 3, 1, vec![0, 0, 0, 0, 0, 2, 2, 1, 2]).unwrap();
    let nuclei = describe(&instances, Some(&types)).unwrap();
    assert_eq!((nuclei[0].id, nuclei[0].area, nuclei[0].centroid), (7, 9, (1.0, 1.0)));
    assert_eq!(nuclei[0].kind.unwrap().kind, 2);
    assert!((nuclei[0].kind.unwrap().probability - 3.0 / 9.0).abs() < 1e-6);
}

#[test]
fn windows_cover_the_image_without_overlap() {
    for (width, height, window, mask) in [(75, 60, 32, 20), (1, 1, 8, 8), (40, 20, 20, 20), (7, 3, 9, 2)] {
        let plan = Patching::plan(width, height, window, mask).unwrap();
        let image = Tile::new(width, height, 1, (0..(width * height) as u32).collect()).unwrap();
        let padded = plan.pad(&image).unwrap();
        assert_eq!(padded.crop(plan.left, plan.top, width, height).unwrap(), image);
        let mut covered = vec![0; width * height];
        for patch in &plan.patches {
            padded.crop(patch.x, patch.y, window, window).unwrap();
            for y in patch.y..(patch.y + mask).min(height) {
                for x in patch.x..(patch.x + mask).min(width) {
                    covered[y * width + x] += 1;
                }
            }
        }
        assert!(covered.iter().all(|&count| count == 1));
    }
    assert!(Patching::plan(0, 3, 8, 4).is_err());
    assert!(Patching::plan(3, 3, 8, 0).is_err());
}

proptest! {
    #[test]
    fn segmentation_of_any_finite_maps_stays_inside_the_foreground(
        values in proptest::collection::vec(-1.0_f32..1.0, 3 * 16 * 13),
    ) {
        let map = |number: usize| Tile::new(16, 13, 1, values[number * 208..(number + 1) * 208].to_vec()).unwrap();
        let (foreground, horizontal, vertical) = (map(0).map(f32::abs), map(1), map(2));
        let maps = Maps { foreground: &foreground, horizontal: &horizontal, vertical: &vertical };
        let settings = Settings { smallest: 2, sobel_size: 5, ..Settings::default() };
        let stages = segment_with_stages(&maps, &settings).unwrap();
        prop_assert_eq!(&segment(&maps, &settings).unwrap(), &stages.instances);
        for (place, &number) in stages.instances.data.iter().enumerate() {
            prop_assert!(number == 0 || stages.foreground[place]);
            prop_assert!(stages.markers[place] == 0 || stages.markers[place] == number);
        }
    }

    #[test]
    fn flooding_by_parts_equals_flooding_the_whole_also_among_equal_levels(
        mask in proptest::collection::vec(proptest::bool::weighted(0.8), 11 * 9),
        markers in proptest::collection::vec(prop_oneof![4 => Just(0_u32), 1 => 1_u32..5], 11 * 9),
        levels in proptest::collection::vec(0_u8..5, 11 * 9),
        spread: bool,
    ) {
        let level = |place: usize| {
            // Without the summand levels are often equal, with it never.
            -f64::from(levels[place]) + if spread { place as f64 * 1e-3 } else { 0.0 }
        };
        let parts = label_components(&mask, 11);
        let all: Vec<f64> = (0..mask.len()).map(level).collect();
        prop_assert_eq!(
            super::flood::flood_parts(&parts, &markers, 11, &all),
            watershed(&all, &markers, &mask, 11)
        );
    }

    #[test]
    fn descriptions_of_any_map_are_consistent(values in proptest::collection::vec(0_u32..4, 8 * 7)) {
        let instances = Tile::new(8, 7, 1, values).unwrap();
        for nucleus in describe(&instances, Some(&instances)).unwrap() {
            let bounds = nucleus.bounding_box;
            let on_nucleus = |&(x, y): &(i32, i32)| {
                (bounds.left..bounds.right).contains(&(x as usize))
                    && (bounds.top..bounds.bottom).contains(&(y as usize))
                    && instances.pixel(x as usize, y as usize)[0] == nucleus.id
            };
            prop_assert!(nucleus.contour.iter().all(on_nucleus));
            prop_assert_eq!(nucleus.kind.unwrap().kind, nucleus.id);
        }
        let made = targets(&instances, 6, 5).unwrap();
        prop_assert!(made.distances.data.iter().all(|value| (-1.0..=1.0).contains(value)));
    }
}
