use super::*;

/// A mixture of the two reference stains.
fn stained(width: usize, height: usize) -> Tile<u8> {
    let mut stream = crate::random::Stream::new(1, "stained", &[]);
    let mut data = Vec::new();
    for _ in 0..width * height {
        let (h, e) = (1.5 * stream.next_f64(), stream.next_f64());
        data.extend(
            macenko::Stains::REFERENCE
                .vectors
                .map(|[row_h, row_e]| (240.0 * (-(row_h * h + row_e * e)).exp()) as u8),
        );
    }
    Tile::new(width, height, 3, data).unwrap()
}

fn degenerate_tiles() -> Vec<Tile<u8>> {
    vec![
        Tile::filled(0, 0, 3, 0),
        Tile::filled(1, 1, 3, 100),
        Tile::filled(4, 4, 3, 255),
        Tile::filled(4, 4, 3, 0),
        Tile::filled(4, 4, 3, 90),
    ]
}

#[test]
fn macenko_finds_the_stains_that_made_an_image() {
    let stains = macenko::estimate(&stained(60, 60), &macenko::Parameters::default()).unwrap();
    for (found, expected) in stains.vectors.iter().zip(macenko::Stains::REFERENCE.vectors) {
        assert!((found[0] - expected[0]).abs() < 0.06 && (found[1] - expected[1]).abs() < 0.06, "{stains:?}");
    }
}

#[test]
fn images_without_two_stains_are_an_error_for_macenko_and_defined_for_the_others() {
    let target = reinhard::fit(&stained(8, 8)).unwrap();
    for tile in degenerate_tiles() {
        let result = macenko::normalize(&tile, &macenko::Stains::REFERENCE, &macenko::Parameters::default());
        assert!(matches!(result, Err(Error::NoStains { .. })), "{result:?}");
        assert_eq!(hed::rgb_to_hed(&tile).unwrap().data.len(), tile.data.len());
        assert_eq!(reinhard::normalize(&tile, &target).is_err(), tile.is_empty());
    }
    assert!(hed::rgb_to_hed(&Tile::filled(2, 2, 1, 0)).is_err());
}

#[test]
fn white_holds_no_stain_and_separated_stains_combine_to_the_image() {
    let white = hed::rgb_to_hed(&Tile::filled(1, 1, 3, 255)).unwrap();
    assert!(white.data.iter().all(|stain| stain.abs() < 1e-12));
    // A colour made of positive amounts survives the way there and back.
    let amounts = Tile::new(1, 1, 3, vec![0.05, 0.03, 0.01]).unwrap();
    let rgb = hed::hed_to_rgb(&amounts).unwrap().map(|value| (value * 255.0).round() as u8);
    let back = hed::rgb_to_hed(&rgb).unwrap();
    for (found, expected) in back.data.iter().zip(&amounts.data) {
        assert!((found - expected).abs() < 1e-3, "{back:?}");
    }
}

#[test]
fn reinhard_to_the_own_statistics_changes_next_to_nothing() {
    let tile = stained(20, 20);
    let same = reinhard::normalize(&tile, &reinhard::fit(&tile).unwrap()).unwrap();
    assert!(tile.data.iter().zip(&same.data).all(|(a, b)| a.abs_diff(*b) <= 1));
}

#[test]
fn percentiles_interpolate_between_order_statistics() {
    assert_eq!(percentile(&mut [3.0, 1.0, 2.0, 4.0], 50.0), 2.5);
    assert_eq!(percentile(&mut [7.0], 99.0), 7.0);
    assert_eq!(percentile(&mut [], 50.0), 0.0);
}
