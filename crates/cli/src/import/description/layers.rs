//! Where the images of a layer are and what their pixels mean.

use std::path::PathBuf;

use counterstain_artifact::LayerKind;
use serde::{Deserialize, Serialize};

/// What the pixels of a layer's files mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Colour or grey images.
    #[default]
    Image,
    /// A class for each pixel.
    Label,
    /// The number of an object for each pixel, 0 for none.
    Instance,
    /// A mask: every value but 0 becomes class 1.
    Mask,
    /// A mask whose connected components (4 neighbours) become instances.
    Components,
}

impl Content {
    /// All, with the words that name them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("image", Self::Image),
        ("label", Self::Label),
        ("instance", Self::Instance),
        ("mask", Self::Mask),
        ("components", Self::Components),
    ];

    /// The content with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, content)| (known == word).then_some(content))
    }

    /// What the pixels of the written layer mean.
    pub fn kind(self) -> LayerKind {
        match self {
            Self::Image => LayerKind::Image,
            Self::Label | Self::Mask => LayerKind::Label,
            Self::Instance | Self::Components => LayerKind::Instance,
        }
    }

    /// Whether pixels are computed from the file's, so that its bytes cannot be kept.
    pub fn is_derived(self) -> bool {
        matches!(self, Self::Mask | Self::Components)
    }

    /// Whether a lossy format would change what a pixel means.
    pub fn must_be_exact(self) -> bool {
        self != Self::Image
    }
}

/// Where the images of a layer are: `"DIR"` (images), `"label:DIR"` and the like, or a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "LayerSourceText", into = "LayerSourceText")]
pub struct LayerSource {
    /// The folder.
    pub path: PathBuf,
    /// What the pixels of its files mean.
    pub content: Content,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LayerSourceText {
    Text(String),
    Table(LayerSourceTable),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerSourceTable {
    path: PathBuf,
    #[serde(default)]
    kind: Content,
}

impl From<LayerSourceText> for LayerSource {
    fn from(text: LayerSourceText) -> Self {
        match text {
            LayerSourceText::Table(LayerSourceTable { path, kind }) => Self { path, content: kind },
            LayerSourceText::Text(text) => {
                let prefixed =
                    text.split_once(':').and_then(|(word, path)| Some((Content::named(word)?, path)));
                let (content, path) = prefixed.unwrap_or((Content::Image, &text));
                Self { path: path.into(), content }
            }
        }
    }
}

impl From<LayerSource> for LayerSourceText {
    fn from(source: LayerSource) -> Self {
        Self::Table(LayerSourceTable { path: source.path, kind: source.content })
    }
}
