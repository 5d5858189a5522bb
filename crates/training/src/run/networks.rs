//! The branches of a run: an encoder and a projector for the primary image and for each privileged layer.
//!
//! Variables are named `primary.encoder.conv1.weight`, `primary.projector.0.weight`,
//! `privileged0.encoder.…`: initial weights come from (seed, name), so that all methods start from the same
//! primary encoder.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::training::v1::{Encoder as SpecEncoder, Method, TrainEncoderSpec};
use counterstain_model::init::{Scheme, initialise};
use counterstain_model::resnet::{Classifier, Depth, ResNet, Variant};
use counterstain_model::{Projector, weights};
use counterstain_torch::{NamedTensors, channels_last};
use counterstain_worker::TaskError;
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// Name of the primary branch's trunk in the store.
const PRIMARY_ENCODER: &str = "primary.encoder";

/// What stands on the trunk while it is trained.
enum Head {
    Projector(Projector),
    Classifier(Classifier),
}

struct Branch {
    encoder: ResNet,
    head: Head,
}

/// All branches of a run, on one device.
pub struct Networks {
    pub store: VarStore,
    primary: Branch,
    privileged: Vec<Branch>,
    primary_views: usize,
}

impl Networks {
    /// Builds and initialises the branches of a spec.
    ///
    /// # Errors
    /// A privileged image does not have three channels, or the projector's sizes are refused.
    pub fn new(
        spec: &TrainEncoderSpec,
        privileged_channels: &[u32],
        classes: usize,
        device: Device,
    ) -> Result<Self, TaskError> {
        if let Some(other) = privileged_channels.iter().find(|&&channels| channels != 3) {
            let message =
                format!("a privileged image has {other} channels; the encoders take images of 3 channels");
            return Err(TaskError::new(ErrorCode::InvalidArgument, message));
        }
        let store = VarStore::new(device);
        let root = store.root();
        let depth = depth(spec.encoder());
        let branch = |name: &str| -> Result<Branch, TaskError> {
            let path = &root / name;
            let encoder = ResNet::new(&(&path / "encoder"), depth, Variant::Torchvision);
            let width = encoder.representation_width();
            let head = if spec.method() == Method::Supervised {
                Head::Classifier(Classifier::new(&path, width, classes as i64))
            } else {
                let projector = Projector::new(
                    &(&path / "projector"),
                    width,
                    i64::from(spec.projector_width()),
                    spec.projector_depth() as usize,
                );
                Head::Projector(
                    projector
                        .map_err(|error| TaskError::new(ErrorCode::InvalidArgument, error.to_string()))?,
                )
            };
            Ok(Branch { encoder, head })
        };
        let primary = branch("primary")?;
        let privileged = (0..privileged_channels.len())
            .map(|index| branch(&format!("privileged{index}")))
            .collect::<Result<_, _>>()?;
        initialise(&store, spec.seed(), Scheme::Torch);
        lay_out_channels_last(&store);
        let primary_views = super::plan::primary_views(spec.method());
        Ok(Self { store, primary, privileged, primary_views })
    }

    /// Views `[N, 3, S, S]` to embeddings `[N, D]` (or logits `[N, classes]`): first those of the primary
    /// image, then one per privileged layer. Each view is a forward pass of its own, so that batch statistics
    /// are per view, as in the authors' code.
    pub fn forward(&self, views: &[Tensor]) -> Vec<Tensor> {
        let branches = std::iter::repeat_n(&self.primary, self.primary_views).chain(self.privileged.iter());
        branches.zip(views).map(|(branch, view)| branch.forward(view)).collect()
    }

    /// The trainable variables by name, sorted.
    pub fn trainable(&self) -> NamedTensors {
        let mut named: NamedTensors =
            self.store.variables().into_iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
        named.sort_by(|left, right| left.0.cmp(&right.0));
        named
    }

    /// The primary trunk's weights, named as torchvision names them.
    pub fn encoder_weights(&self) -> NamedTensors {
        weights::export_under(&self.store, PRIMARY_ENCODER)
    }

    /// Width of a representation.
    pub fn representation_width(&self) -> i64 {
        self.primary.encoder.representation_width()
    }
}

impl Branch {
    fn forward(&self, view: &Tensor) -> Tensor {
        let representation = self.encoder.forward_t(view, true);
        match &self.head {
            Head::Projector(projector) => projector.forward_t(&representation, true),
            Head::Classifier(classifier) => classifier.forward(&representation),
        }
    }
}

fn depth(encoder: SpecEncoder) -> Depth {
    match encoder {
        SpecEncoder::Resnet18 => Depth::R18,
        SpecEncoder::Resnet50 | SpecEncoder::Unspecified => Depth::R50,
    }
}

/// Convolution weights in the layout that channels-last images are multiplied with fastest.
fn lay_out_channels_last(store: &VarStore) {
    tch::no_grad(|| {
        for (_, mut variable) in store.variables() {
            if variable.dim() == 4 {
                let laid_out = channels_last(&variable);
                variable.set_data(&laid_out);
            }
        }
    });
}
