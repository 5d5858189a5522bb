use proptest::prelude::*;

use super::*;

fn noise_tile(width: usize, height: usize, channels: usize) -> Tile<u8> {
    let mut stream = Stream::new(5, "test tile", &[width as u64, height as u64]);
    let data = (0..width * height * channels).map(|_| stream.below(256) as u8).collect();
    Tile::new(width, height, channels, data).unwrap()
}

#[test]
fn a_view_depends_on_its_name_alone_and_every_part_of_it() {
    let tile = noise_tile(24, 20, 3);
    let view = |seed, epoch, sample, view| {
        Augmentation::paper().apply(&tile, 16, seed, epoch, sample, view).unwrap().data
    };
    assert_eq!(view(1, 2, 3, 0), view(1, 2, 3, 0));
    for other in [view(2, 2, 3, 0), view(1, 3, 3, 0), view(1, 2, 4, 0), view(1, 2, 3, 1)] {
        assert_ne!(view(1, 2, 3, 0), other);
    }
}

#[test]
fn views_stay_on_the_scale_of_their_preset() {
    let tile = noise_tile(32, 32, 3);
    for name in Augmentation::NAMES {
        let preset = Augmentation::named(name).unwrap();
        for view in 0..40 {
            let view = preset.apply(&tile, 32, 9, 0, 0, view).unwrap();
            assert!(view.data.iter().all(|value| (0.0..=preset.maximum).contains(value)), "{name}");
        }
    }
}

#[test]
fn without_augmentation_a_view_is_the_tile_itself() {
    let tile = noise_tile(16, 16, 3);
    assert_eq!(Augmentation::none().apply(&tile, 16, 1, 2, 3, 4).unwrap(), tile.to_unit());
}

#[test]
fn the_geometric_part_makes_the_same_moves_and_keeps_the_colours() {
    let preset = Augmentation::paper();
    for position in 0..20 {
        let mut whole = preset.draw(20, 20, &mut Stream::new(1, "augment", &[0, position, 0]));
        let moves = preset.geometric().draw(20, 20, &mut Stream::new(1, "augment", &[0, position, 0]));
        (whole.background, whole.solarize, whole.jitter) = (false, None, None);
        assert_eq!(whole, moves);
    }
}

#[test]
fn probabilities_are_those_of_the_preset() {
    let preset = Augmentation::paper();
    let draws: Vec<Draws> = (0..4000)
        .map(|position| preset.draw(100, 100, &mut Stream::new(1, "augment", &[position])))
        .collect();
    let share = |count: usize| count as f64 / draws.len() as f64;
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 0.03, "{found} {expected}");
    near(share(draws.iter().filter(|draw| draw.flips.left_right).count()), 0.5);
    near(share(draws.iter().filter(|draw| draw.angle.is_some()).count()), 0.4);
    near(share(draws.iter().filter(|draw| draw.solarize.is_some()).count()), 0.3);
    near(share(draws.iter().filter(|draw| draw.background).count()), 0.3);
    assert!(draws.iter().all(|draw| (75..=100).contains(&draw.window.width)));
}

#[test]
fn odd_sizes_and_channel_counts_have_a_view_and_empty_tiles_an_error() {
    for preset in Augmentation::NAMES.map(|name| Augmentation::named(name).unwrap()) {
        for (width, height, channels) in [(1, 1, 3), (1, 7, 1), (5, 1, 4), (3, 3, 3)] {
            for view in 0..30 {
                let tile = noise_tile(width, height, channels);
                let view = preset.apply(&tile, 8, 3, 0, 0, view).unwrap();
                assert_eq!((view.width, view.channels), (8, channels));
                assert!(view.data.iter().all(|value| value.is_finite()));
            }
        }
        assert!(preset.apply(&noise_tile(0, 0, 3), 8, 3, 0, 0, 0).is_err());
        assert!(preset.apply(&noise_tile(4, 4, 3), 0, 3, 0, 0, 0).unwrap().is_empty());
    }
}

#[test]
fn nan_passes_through_every_operation_without_a_panic() {
    let mut tile = Tile::filled(4, 4, 3, f32::NAN);
    tile.data[5] = 0.5;
    color_jitter(&mut tile, &JitterDraw { brightness: 0.1, contrast: 1.2, saturation: 0.7, hue: 0.1 }, 1.0);
    solarize(&mut tile, 0.5, 1.0);
    assert_eq!(rotate(&tile, f32::NAN).data, vec![0.0; 48]);
    rotate(&tile, 1.0);
    grayscale(&tile).unwrap();
}

proptest! {
    #[test]
    fn a_hue_turn_and_its_reverse_cancel(colors in proptest::collection::vec(0.0_f32..1.0, 12), delta in -0.5_f32..0.5) {
        let tile = Tile::new(2, 2, 3, colors).unwrap();
        let mut turned = tile.clone();
        adjust_hue(&mut turned, delta);
        adjust_hue(&mut turned, -delta);
        for (&first, &second) in tile.data.iter().zip(&turned.data) {
            prop_assert!((first - second).abs() < 1e-5);
        }
    }

    #[test]
    fn flipping_twice_gives_the_tile(width in 0_usize..6, height in 0_usize..6) {
        let tile = noise_tile(width, height, 3);
        prop_assert_eq!(&flip_left_right(&flip_left_right(&tile)), &tile);
        prop_assert_eq!(&flip_up_down(&flip_up_down(&tile)), &tile);
    }
}
