//! Chooses and reads the tiles of the report's gallery: primary, synthetic and real privileged images.

use anyhow::Result;
use counterstain_api::Digest;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::proto::job::v1::{Job, JobState};
use counterstain_artifact::dataset::{Dataset, Layer, Reader};
use counterstain_artifact::{ArtifactKind, GeneratorBody, LayerKind, Manifest, Store};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode_labels, decode_rgb};
use counterstain_tile::palette::{MASK, NUCLEUS_TYPES, paint_types};
use counterstain_tile::resample::downsample_area;

use crate::report::{Gallery, GalleryRow, Picture};

/// Samples in one gallery.
const SAMPLES: usize = 8;
/// Tiles with longer sides are reduced, to keep the page small.
const LONGEST_SIDE: usize = 256;

/// A gallery to be: which images of which samples.
struct Wanted {
    title: String,
    caption: String,
    dataset: Dataset,
    columns: Vec<(String, Source)>,
}

impl Wanted {
    /// Whether a column is a painted map of nucleus types.
    fn has_labels(&self) -> bool {
        self.columns.iter().any(|(_, source)| matches!(source, Source::Own(_, LayerKind::Label)))
    }
}

/// Names and colours of the nucleus types.
fn palette() -> Vec<(String, [u8; 3])> {
    NUCLEUS_TYPES.entries.iter().map(|entry| (entry.name.to_string(), entry.rgb)).collect()
}

enum Source {
    /// A layer inside the dataset.
    Own(String, LayerKind),
    /// A generated layer.
    Generated(Box<Layer>),
}

/// Pictures of every generated layer, beside the real one where the data set has it, and of the pairs that
/// generators and encoders learnt from.
///
/// # Errors
/// Those of the store.
pub async fn collect(store: &Store, jobs: &[Job]) -> Result<Vec<Gallery>> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut pairs: Vec<(Digest, Vec<String>)> = Vec::new();
    let mut shown_with_real: Vec<(Digest, String)> = Vec::new();
    for job in jobs.iter().filter(|job| job.state() == JobState::Succeeded) {
        match job.spec.as_ref().and_then(|spec| spec.kind.as_ref()) {
            Some(Kind::GenerateLayer(_)) => {
                let layer = Layer::open(store, &job.output.parse()?).await?;
                let generator = generator_of(store, &layer.digest).await?;
                let dataset = Dataset::open(store, &layer.body.dataset).await?;
                let real = generator.as_ref().map(|(body, _)| body.layer.name.clone()).unwrap_or_default();
                if let Some((_, Some(learnt_from))) = &generator {
                    pairs.push((*learnt_from, vec![real.clone()]));
                }
                if dataset.layer(&real).is_some() {
                    shown_with_real.push((dataset.digest, real.clone()));
                }
                wanted.push(generated(dataset, layer, &real));
            }
            Some(Kind::TrainEncoder(spec)) => {
                let names: Vec<String> = spec
                    .privileged
                    .iter()
                    .map(|layer| layer.name.clone())
                    .filter(|name| !name.is_empty())
                    .collect();
                if let (false, Ok(dataset)) = (names.is_empty(), spec.dataset.parse()) {
                    pairs.push((dataset, names));
                }
            }
            _ => {}
        }
    }
    let mut known: Vec<(Digest, Vec<String>)> = Vec::new();
    for (digest, names) in pairs {
        let is_shown = names.iter().all(|name| shown_with_real.contains(&(digest, name.clone())));
        if is_shown || known.contains(&(digest, names.clone())) {
            continue;
        }
        known.push((digest, names.clone()));
        wanted.extend(real_pairs(Dataset::open(store, &digest).await?, &names));
    }
    let (store, handle) = (store.clone(), tokio::runtime::Handle::current());
    tokio::task::spawn_blocking(move || {
        let cache = tempfile::tempdir()?;
        let reader = Reader::new(store, cache.path(), 1 << 30, handle);
        wanted.iter().map(|gallery| read(&reader, gallery)).collect()
    })
    .await?
}

/// The generator of a layer and the dataset that it learnt from.
async fn generator_of(store: &Store, layer: &Digest) -> Result<Option<(GeneratorBody, Option<Digest>)>> {
    let manifest = store.manifest(layer).await?;
    let Some(digest) = input(&manifest, "generator") else { return Ok(None) };
    let generator = store.manifest(&digest).await?;
    let body = generator.body_of(ArtifactKind::Generator)?;
    Ok(Some((body, input(&generator, "dataset"))))
}

fn input(manifest: &Manifest, name: &str) -> Option<Digest> {
    manifest.inputs.iter().find(|input| input.name == name).map(|input| input.digest)
}

fn generated(dataset: Dataset, layer: Layer, real: &str) -> Wanted {
    let name = layer.body.layer.name.clone();
    let mut columns = vec![
        ("H&E".to_owned(), Source::Own(dataset.body.primary.clone(), LayerKind::Image)),
        (format!("synthetic {name}"), Source::Generated(Box::new(layer))),
    ];
    let own = dataset.layer(real).map(|info| info.kind);
    let caption = match own {
        Some(kind) => {
            columns.push((format!("real {real}"), Source::Own(real.to_owned(), kind)));
            "The tile, what the generator painted for it, and what is really there."
        }
        None => {
            "The tile and what the generator painted for it; the real image does not exist for these tiles."
        }
    };
    Wanted {
        title: format!("Synthetic {name} for {}", dataset.body.name),
        caption: caption.to_owned(),
        dataset,
        columns,
    }
}

fn real_pairs(dataset: Dataset, names: &[String]) -> Option<Wanted> {
    let mut columns = vec![("H&E".to_owned(), Source::Own(dataset.body.primary.clone(), LayerKind::Image))];
    for name in names {
        let kind = dataset.layer(name)?.kind;
        columns.push((format!("real {name}"), Source::Own(name.clone(), kind)));
    }
    Some(Wanted {
        title: format!("Real pairs of {}", dataset.body.name),
        caption: "Pairs that were learnt from.".to_owned(),
        dataset,
        columns,
    })
}

fn read(reader: &Reader, wanted: &Wanted) -> Result<Gallery> {
    let mut rows = Vec::new();
    for sample in chosen(&wanted.dataset) {
        let record = &wanted.dataset.samples[sample];
        let mut pictures = Vec::new();
        for (column, source) in &wanted.columns {
            let tile = match source {
                Source::Own(layer, kind) => decoded(&reader.read(&wanted.dataset, sample, layer)?, *kind)?,
                Source::Generated(layer) => {
                    decoded(&reader.read_layer(layer, sample)?, layer.body.layer.kind)?
                }
            };
            pictures.push(Some(Picture::new(&small(tile)?, format!("{column} of {}", record.key))?));
        }
        let label = record.label.as_deref().map(|label| format!("{label} · ")).unwrap_or_default();
        rows.push(GalleryRow { caption: format!("{label}{}", record.key), pictures });
    }
    Ok(Gallery {
        title: wanted.title.clone(),
        caption: wanted.caption.clone(),
        columns: wanted.columns.iter().map(|(column, _)| column.clone()).collect(),
        colours: if wanted.has_labels() { palette() } else { Vec::new() },
        rows,
    })
}

/// Samples of the test split (else valid, else all), evenly spaced and balanced over labels.
fn chosen(dataset: &Dataset) -> Vec<usize> {
    let of_split =
        ["test", "valid"].iter().map(|split| dataset.samples_of_split(split)).find(|all| !all.is_empty());
    let candidates = of_split.unwrap_or_else(|| (0..dataset.len()).collect());
    let mut by_label: std::collections::BTreeMap<Option<&str>, Vec<usize>> =
        std::collections::BTreeMap::new();
    for &sample in &candidates {
        by_label.entry(dataset.samples[sample].label.as_deref()).or_default().push(sample);
    }
    let each = SAMPLES.div_ceil(by_label.len().max(1));
    let picks: Vec<Vec<usize>> = by_label
        .into_values()
        .map(|samples| {
            let count = each.min(samples.len());
            (0..count).map(|index| samples[(2 * index + 1) * samples.len() / (2 * count)]).collect()
        })
        .collect();
    // Labels take turns, so that a cut list still shows them all.
    (0..each)
        .flat_map(|turn| picks.iter().filter_map(move |samples| samples.get(turn).copied()))
        .take(SAMPLES)
        .collect()
}

fn decoded(bytes: &[u8], kind: LayerKind) -> Result<Tile<u8>> {
    let limits = Limits::default();
    Ok(match kind {
        LayerKind::Image => decode_rgb(bytes, &limits)?,
        LayerKind::Label => paint_types(&decode_labels(bytes, &limits)?, &NUCLEUS_TYPES),
        LayerKind::Instance => paint_types(&decode_labels(bytes, &limits)?, &MASK),
    })
}

fn small(tile: Tile<u8>) -> Result<Tile<u8>> {
    let factor = tile.width.max(tile.height).div_ceil(LONGEST_SIDE);
    Ok(if factor > 1 { downsample_area(&tile, factor)? } else { tile })
}
