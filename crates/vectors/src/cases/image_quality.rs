//! `05_image_quality`: mean errors, PSNR, SSIM, MS-SSIM and the Fréchet distance
//! against torchmetrics, scikit-image and pytorch-fid.

use anyhow::{Context as _, bail};
use counterstain_evaluation::engine::metrics::image_quality::{
    SsimVariant, frechet_distance, mean_absolute_error, mean_squared_error, multi_scale_ssim, psnr, ssim,
};
use tch::{Kind, Tensor};

use crate::Case;

/// Compares one case.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    if case.has("fid") {
        let (first, second) = (case.input("act1")?, case.input("act2")?);
        return case.compare_number("fid", frechet_distance(&first, &second)?);
    }
    let range = case.number("data_range")?;
    let a = case.input("a")?.to_kind(Kind::Double);
    let b = case.input("b")?.to_kind(Kind::Double);
    match case.name() {
        "full" => full(case, &a, &b, range),
        "crop" => crop(case, &a, &b, range),
        other => bail!("no implementation of case {other}"),
    }
}

fn full(case: &mut Case, a: &Tensor, b: &Tensor, range: f64) -> anyhow::Result<()> {
    let similarity =
        |variant| -> anyhow::Result<Tensor> { Ok(ssim(a, b, range, variant)?.mean(Kind::Double)) };
    case.compare("tm_ssim", &similarity(SsimVariant::GaussianReflected)?)?;
    case.compare("tm_ms_ssim", &multi_scale_ssim(a, b, range)?.mean(Kind::Double))?;
    case.compare_number("tm_psnr", psnr(a, b, range)?)?;
    case.compare("skimage_gauss", &similarity(SsimVariant::GaussianInterior)?)?;
    case.compare("skimage_uniform7", &similarity(SsimVariant::UniformInterior)?)?;
    case.compare_number("sk_psnr", psnr(a, b, range)?)?;
    case.compare_number("mae", mean_absolute_error(a, b)?)?;
    case.compare_number("mse", mean_squared_error(a, b)?)
}

/// The names of the results hold the size of the crop, so they are taken from the file.
fn crop(case: &mut Case, a: &Tensor, b: &Tensor, range: f64) -> anyhow::Result<()> {
    let text = case.text("crop")?;
    let sides: Vec<i64> =
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let [height, width] = sides[..] else { bail!("the crop {text} does not name a height and a width") };
    let cut = |images: &Tensor| images.narrow(2, 0, height).narrow(3, 0, width).contiguous();
    let prediction = cut(b).set_requires_grad(true);
    let similarity = ssim(&prediction, &cut(a), range, SsimVariant::GaussianReflected)?.mean(Kind::Double);
    similarity.backward();
    let expected = case.expected();
    let find = |ending: &str| {
        expected
            .iter()
            .copied()
            .find(|name| name.ends_with(ending))
            .with_context(|| format!("no result ends in {ending}"))
    };
    case.compare(find("tm_ssim")?, &similarity.detach())?;
    case.compare(find("grad_b")?, &prediction.grad())
}
