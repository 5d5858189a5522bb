//! Notices the two ways in which adversarial training dies without a NaN.

/// Steps between two looks at the contrast of the painted images.
pub const CONTRAST_EVERY: u64 = 25;
/// Looks in a row without contrast before a warning: young generators are flat too.
const FLAT_LOOKS: u32 = 12;
/// Steps in a row with a perfect discriminator before a warning.
const WON_STEPS: u32 = 200;
/// Both discriminator terms together; an undecided one has 1.39 (vanilla) or 0.5 (least squares).
const WON_LOSS: f64 = 0.02;
/// Painted contrast below this share of the real images' is flat (a collapsed one has 0.001 to 0.06).
const FLAT_SHARE: f64 = 0.08;
/// Real images with less contrast (on the scale of -1 to 1) are flat themselves.
const FLAT: f64 = 0.016;

/// Counts suspicious steps; it warns once per kind until things get better.
#[derive(Debug, Default)]
pub struct Watch {
    won: u32,
    flat: u32,
}

impl Watch {
    /// Looks at the loss of the surest discriminator, its terms on real and painted images together. A warning
    /// when it has won for long.
    pub fn discriminator(&mut self, step: u64, loss: f64) -> Option<String> {
        if loss >= WON_LOSS {
            self.won = 0;
            return None;
        }
        self.won = self.won.saturating_add(1);
        (self.won == WON_STEPS).then(|| {
            format!(
                "the discriminator has told real from painted without error for {WON_STEPS} steps (at step {step}): \
                 its judgement teaches the generator nothing any more; fewer discriminator_filters or more images may help"
            )
        })
    }

    /// Looks at the contrast (mean standard deviation within an image) of painted and
    /// real images. A warning when the painted ones have been flat for long.
    pub fn contrast(&mut self, step: u64, painted: f64, real: f64) -> Option<String> {
        if painted >= FLAT_SHARE * real || real < FLAT {
            self.flat = 0;
            return None;
        }
        self.flat = self.flat.saturating_add(1);
        (self.flat == FLAT_LOOKS).then(|| {
            format!(
                "the generator paints one flat colour (contrast {painted:.4}, the real images have {real:.4}; \
                 at step {step}): where most of a layer is background, set lambda_l1 to 10; \
                 else check that the layer belongs to these tiles"
            )
        })
    }
}

impl Watch {
    /// Looks at whether a segmenter found a nucleus in patches that have some. A warning when it has found none for
    /// long.
    pub fn nuclei(&mut self, step: u64, found: bool) -> Option<String> {
        if found {
            self.flat = 0;
            return None;
        }
        self.flat = self.flat.saturating_add(1);
        (self.flat == FLAT_LOOKS).then(|| {
            format!(
                "the segmenter has found no nucleus for {} steps (at step {step}) though the patches have some: \
                 check that the instance maps belong to these tiles; else raise the learning rate or train longer",
                u64::from(FLAT_LOOKS) * CONTRAST_EVERY
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segmenter_that_finds_nothing_is_reported_once_until_it_finds_something() {
        let mut watch = Watch::default();
        assert_eq!((0..50).filter_map(|look| watch.nuclei(look, false)).count(), 1);
        assert!(watch.nuclei(51, true).is_none());
        assert_eq!((0..50).filter_map(|look| watch.nuclei(look, false)).count(), 1);
    }

    #[test]
    fn a_discriminator_that_has_won_is_reported_once() {
        let mut watch = Watch::default();
        let warnings = (0..1000).filter_map(|step| watch.discriminator(step, 0.002)).count();
        assert_eq!(warnings, 1);
        assert!(watch.discriminator(1000, 0.7).is_none());
        assert_eq!((0..1000).filter_map(|step| watch.discriminator(step, 0.002)).count(), 1);
    }

    #[test]
    fn flat_output_is_reported_unless_the_real_images_are_flat_too() {
        let mut watch = Watch::default();
        assert_eq!((0..50).filter_map(|look| watch.contrast(look, 0.0, 0.3)).count(), 1);
        let mut watch = Watch::default();
        assert_eq!((0..50).filter_map(|look| watch.contrast(look, 0.0, 0.001)).count(), 0);
    }
}
