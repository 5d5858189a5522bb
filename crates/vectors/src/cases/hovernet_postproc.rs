//! `04_hovernet_postproc`: nuclei from HoVer-Net's maps against the authors' post-processing.

use anyhow::ensure;
use counterstain_tile::Tile;
use counterstain_tile::nuclei::{
    ELLIPSE_5, Maps, Nucleus, SMOOTHING_TAPS, Settings, derivative_taps, describe, segment,
    segment_with_stages, smoothing_taps,
};
use tch::{Kind, Tensor};

use super::tiles::{float_tile, label_tile};
use crate::{Case, ComputedIn};

/// Compares one case: `NAME/segment`, `NAME/info` or `kernels`.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    match case.name().rsplit_once('/') {
        Some((name, "segment")) => segmentation(case, name),
        Some((name, "info")) => description(case, name),
        _ if case.name() == "kernels" => kernels(case),
        _ => anyhow::bail!("no implementation of case {}", case.name()),
    }
}

fn channel(map: &Tile<f32>, channel: usize) -> anyhow::Result<Tile<f32>> {
    ensure!(channel < map.channels, "the prediction has only {} channels", map.channels);
    let data = map.data.chunks_exact(map.channels).map(|pixel| pixel[channel]).collect();
    Ok(Tile::new(map.width, map.height, 1, data)?)
}

fn segmentation(case: &mut Case, name: &str) -> anyhow::Result<()> {
    let prediction = float_tile(&case.input(&format!("{name}/pred_map"))?)?;
    let names: Vec<String> = serde_json::from_value(case.param("channels")?.clone())?;
    let find = |wanted: &str| {
        let place = names.iter().position(|name| name == wanted);
        place.ok_or_else(|| anyhow::anyhow!("the prediction has no channel {wanted}"))
    };
    let foreground = channel(&prediction, find("np")?)?;
    let horizontal = channel(&prediction, find("hv_x")?)?;
    let vertical = channel(&prediction, find("hv_y")?)?;
    let maps = Maps { foreground: &foreground, horizontal: &horizontal, vertical: &vertical };
    let stages = segment_with_stages(&maps, &Settings::default())?;

    let shape = [prediction.height as i64, prediction.width as i64];
    let shaped = |tensor: Tensor| tensor.f_reshape(shape);
    let masks: Vec<u8> = stages.foreground.iter().map(|&set| u8::from(set)).collect();
    let floats = [
        ("h_dir", shaped(Tensor::from_slice(&stages.horizontal))?),
        ("v_dir", shaped(Tensor::from_slice(&stages.vertical))?),
        ("sobelh_raw", shaped(Tensor::from_slice(&stages.horizontal_gradient))?),
        ("sobelv_raw", shaped(Tensor::from_slice(&stages.vertical_gradient))?),
        ("sobelh_norm", shaped(Tensor::from_slice(&stages.horizontal_edge))?),
        ("sobelv_norm", shaped(Tensor::from_slice(&stages.vertical_edge))?),
        ("overall", shaped(Tensor::from_slice(&stages.edge))?),
        ("dist", shaped(Tensor::from_slice(&stages.landscape))?),
        ("marker", shaped(labels(&stages.markers)?)?),
        ("inst_map", shaped(labels(&segment(&maps, &Settings::default())?.data)?)?),
    ];
    case.compare(&format!("{name}/blb"), &shaped(Tensor::from_slice(&masks))?)?;
    for (stage, tensor) in floats {
        let full = format!("{name}/{stage}");
        // Not every case stores the raw gradients.
        if case.has(&full) {
            case.compare_computed_in(&full, &tensor, ComputedIn::F64)?;
        }
    }
    Ok(())
}

fn labels(values: &[u32]) -> anyhow::Result<Tensor> {
    let values = values.iter().map(|&value| i32::try_from(value)).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::from_slice(&values))
}

fn description(case: &mut Case, name: &str) -> anyhow::Result<()> {
    let instances = label_tile(&case.given(&format!("{name}/inst_map"))?)?;
    let prediction = float_tile(&case.input(&format!("{name}/pred_map"))?)?;
    // The type is the first channel where types were predicted.
    let types = match case.param("nr_types")?.as_i64() {
        Some(_) => Some(channel(&prediction, 0)?.map(|kind| kind as u32)),
        None => None,
    };
    let nuclei = describe(&instances, types.as_ref())?;
    let rows = |values: Vec<i64>, columns: i64| Tensor::from_slice(&values).f_reshape([-1, columns]);
    let each =
        |number: &dyn Fn(&Nucleus) -> i64| Tensor::from_slice(&nuclei.iter().map(number).collect::<Vec<_>>());
    let boxes = nuclei.iter().flat_map(|nucleus| {
        let bounds = nucleus.bounding_box;
        [bounds.top, bounds.left, bounds.bottom, bounds.right].map(|side| side as i64)
    });
    let count = nuclei.len() as i64;
    let boxes = Tensor::from_slice(&boxes.collect::<Vec<_>>()).f_reshape([count, 4])?;
    let centroids: Vec<f64> =
        nuclei.iter().flat_map(|nucleus| [nucleus.centroid.0, nucleus.centroid.1]).collect();
    let corners: Vec<i64> = nuclei
        .iter()
        .flat_map(|nucleus| nucleus.contour.iter().flat_map(|&(x, y)| [i64::from(x), i64::from(y)]))
        .collect();
    let corner_count = corners.len() as i64 / 2;
    let corners = if corner_count == 0 {
        Tensor::zeros([0, 2], (Kind::Int64, tch::Device::Cpu))
    } else {
        rows(corners, 2)?
    };
    case.compare(&format!("{name}/info_id"), &each(&|nucleus| i64::from(nucleus.id)))?;
    if types.is_some() {
        case.compare(
            &format!("{name}/info_type"),
            &each(&|nucleus| nucleus.kind.map_or(-1, |kind| i64::from(kind.kind))),
        )?;
        let probabilities: Vec<f64> =
            nuclei.iter().map(|nucleus| nucleus.kind.map_or(f64::NAN, |kind| kind.probability)).collect();
        case.compare(&format!("{name}/info_type_prob"), &Tensor::from_slice(&probabilities))?;
    }
    case.compare(&format!("{name}/info_bbox"), &boxes)?;
    case.compare(&format!("{name}/info_centroid"), &Tensor::from_slice(&centroids).f_reshape([count, 2])?)?;
    case.compare(&format!("{name}/info_ncontour"), &each(&|nucleus| nucleus.contour.len() as i64))?;
    case.compare(&format!("{name}/info_contours_cat"), &corners)
}

fn kernels(case: &mut Case) -> anyhow::Result<()> {
    let size = usize::try_from(case.integer("sobel_ksize")?)?;
    ensure!(case.integer("ellipse")? == 5 && case.integer("gauss")? == 3, "only 5 and 3 are implemented");
    case.compare("sobel21_dx_kernel", &Tensor::from_slice(&derivative_taps(size)))?;
    case.compare("sobel21_smooth_kernel", &Tensor::from_slice(&smoothing_taps(size)))?;
    case.compare("ellipse5", &Tensor::from_slice(ELLIPSE_5.as_flattened()).f_reshape([5, 5])?)?;
    case.compare("gauss3", &Tensor::from_slice(&SMOOTHING_TAPS))
}
