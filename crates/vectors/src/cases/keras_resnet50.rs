//! Keras' ResNet-50, in the precision of the reference: its own place for the
//! strides, its batch norm, and both conventions of the running variance.

use anyhow::{Context as _, bail};
use counterstain_model::resnet::{Depth, FeatureMaps, Variant};
use counterstain_model::{ResNet, keras};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::networks::{generated, is_training, mean_std_absmax};
use crate::Case;

/// Runs a case.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let variant = match case.text("bn_moving_variance")? {
        "unbiased" => Variant::Keras,
        "biased" => Variant::KerasUnfused,
        other => bail!("unknown moving variance {other}"),
    };
    let mut store = VarStore::new(Device::Cpu);
    let network = ResNet::new(&store.root(), Depth::R50, variant);
    let images = generated(case, 0)?.permute([0, 3, 1, 2]).contiguous();
    let images = match case.text("dtype_of_reference")? {
        "f64" => {
            store.double();
            images
        }
        "f32" => images.to_kind(tch::Kind::Float),
        other => bail!("unknown dtype {other}"),
    };
    for (name, mut variable) in store.variables() {
        let keras_name = keras::resnet_name(&name).with_context(|| format!("{name} is not in Keras"))?;
        let stored = case.weight(&keras_name, &keras::stored_shape(&variable.size()))?;
        tch::no_grad(|| variable.copy_(&keras::from_stored(&stored)));
    }
    let maps =
        tch::no_grad(|| -> anyhow::Result<_> { Ok(network.feature_maps(&images, is_training(case)?)) })?;
    for name in case.expected() {
        let value = quantity(name, &maps, &store)?;
        case.compare(name, &value)?;
    }
    Ok(())
}

fn quantity(name: &str, maps: &FeatureMaps, store: &VarStore) -> anyhow::Result<Tensor> {
    if name.starts_with("after_") {
        let wanted = name.split_once('/').map(|(_, keras_name)| keras_name);
        let found =
            store.variables().into_iter().find(|(own, _)| keras::resnet_name(own).as_deref() == wanted);
        return Ok(found.with_context(|| format!("the network has no {name}"))?.1);
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    if last == "features" {
        return Ok(maps.representation.shallow_clone());
    }
    let stage =
        match last.strip_suffix("_mean_std_absmax").with_context(|| format!("unknown tensor {name}"))? {
            "conv1_relu" => &maps.stem,
            "pool1_pool" => &maps.pooled,
            "conv2_block3_out" => &maps.layers[0],
            "conv3_block4_out" => &maps.layers[1],
            "conv4_block6_out" => &maps.layers[2],
            "conv5_block3_out" => &maps.layers[3],
            other => bail!("unknown stage {other}"),
        };
    Ok(mean_std_absmax(stage))
}
