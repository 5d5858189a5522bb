//! Whether tiles fit the discriminator, said so that the operator knows what to change.

use super::error::Error;

/// Checks that a PatchGAN of `layers` strided layers has an output for tiles of this size.
///
/// # Errors
/// When its output would be empty; the message names the number of layers that fits.
pub fn check_patchgan(width: usize, height: usize, layers: u32) -> Result<(), Error> {
    let side = width.min(height);
    if patch_rows(side, layers) >= 1 {
        return Ok(());
    }
    let fits = (1..layers).rev().find(|&fewer| patch_rows(side, fewer) >= 1);
    let advice = fits.map_or_else(
        || "use larger tiles".to_owned(),
        |fewer| format!("set discriminator_layers to {fewer} or less"),
    );
    Err(Error::Unfit(format!(
        "tiles of {width} x {height} px are too small for a discriminator of {layers} strided layers; {advice}"
    )))
}

/// Rows of the PatchGAN's output: strided 4 x 4 convolutions with padding 1, then
/// two of stride 1.
fn patch_rows(side: usize, layers: u32) -> usize {
    let strided = (0..layers).fold(side, |side, _| side / 2);
    strided.saturating_sub(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patchgan_needs_three_rows_before_its_last_two_layers() {
        assert!(check_patchgan(32, 32, 3).is_ok());
        assert!(check_patchgan(24, 32, 3).is_ok());
        let text = check_patchgan(16, 64, 3).unwrap_err().to_string();
        assert!(text.contains("discriminator_layers to 2"), "{text}");
        assert!(check_patchgan(2, 2, 3).unwrap_err().to_string().contains("larger tiles"));
    }
}
