//! Chooses and reads the tiles of the report's gallery: primary, synthetic and real privileged images, with the
//! scores of single tiles where the layer was judged.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::proto::job::v1::job_spec::Kind;
use counterstain_api::proto::job::v1::{Job, JobKind, JobState};
use counterstain_api::result::{SAMPLE_SCORES, SampleScores};
use counterstain_artifact::dataset::{Dataset, Layer, Reader};
use counterstain_artifact::{
    ArtifactKind, GeneratorBody, GeneratorNetwork, LayerKind, Manifest, Store, get_named,
};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode_labels, decode_rgb};
use counterstain_tile::palette::{MASK, NUCLEUS_TYPES, paint_types};
use counterstain_tile::resample::downsample_area;

use crate::report::{Gallery, GalleryRow, Picture, figure, measure_label};

/// Samples in one gallery.
const SAMPLES: usize = 8;
/// Tiles with longer sides are reduced, to keep the page small.
const LONGEST_SIDE: usize = 256;

/// Scores that a picture's caption tells, where it has them.
const TOLD: [&str; 6] =
    ["nuclei/dice", "nuclei/aji", "nuclei/pq", "image/psnr", "image/ssim", "image/cycle_l1"];

/// Scores by layer and sample.
type Scores = HashMap<(Digest, usize), BTreeMap<String, f64>>;

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
    let scores = scores(store, jobs).await?;
    for job in jobs.iter().filter(|job| job.state() == JobState::Succeeded) {
        match job.spec.as_ref().and_then(|spec| spec.kind.as_ref()) {
            Some(Kind::GenerateLayer(_)) => {
                let layer = Layer::open(store, &job.output.parse()?).await?;
                let dataset = Dataset::open(store, &layer.body.dataset).await?;
                // Only what learnt from pairs has a real image that its own can be held against.
                let real = learnt(store, &layer.digest).await?;
                if let Some((real, learnt_from)) = &real {
                    pairs.push((*learnt_from, vec![real.clone()]));
                    if dataset.layer(real).is_some() {
                        shown_with_real.push((dataset.digest, real.clone()));
                    }
                }
                wanted.push(generated(dataset, layer, real.map(|(real, _)| real)));
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
        wanted.iter().map(|gallery| read(&reader, gallery, &scores)).collect()
    })
    .await?
}

/// The scores of single samples that the evaluations of generators give.
async fn scores(store: &Store, jobs: &[Job]) -> Result<Scores> {
    let mut scores = Scores::new();
    let judged = |job: &&Job| job.kind() == JobKind::EvaluateGenerator && job.state() == JobState::Succeeded;
    for job in jobs.iter().filter(judged) {
        let manifest = store.manifest(&job.output.parse()?).await?;
        let bytes = get_named(store, &manifest, SAMPLE_SCORES).await?;
        let read: SampleScores = serde_json::from_slice(&bytes)
            .with_context(|| format!("the scores of single samples of {} cannot be read", job.name))?;
        for sample in read.samples {
            scores.entry((sample.layer, sample.sample as usize)).or_default().extend(sample.scores);
        }
    }
    Ok(scores)
}

/// The layer that a generator learnt to paint, and the dataset that holds it, if it learnt from pairs.
async fn learnt(store: &Store, layer: &Digest) -> Result<Option<(String, Digest)>> {
    let manifest = store.manifest(layer).await?;
    let Some(digest) = manifest.input("generator") else { return Ok(None) };
    let generator = store.manifest(&digest).await?;
    let body: GeneratorBody = generator.body_of(ArtifactKind::Generator)?;
    let is_paired = generator.input("target_dataset").is_none();
    let Some(dataset) = generator.input("dataset").filter(|_| is_paired) else { return Ok(None) };
    let name = match body.network {
        GeneratorNetwork::Hovernet { .. } => annotated_layer(&generator),
        _ => body.layer.name,
    };
    Ok(Some((name, dataset)))
}

/// The layer of annotations that a segmenter learnt from: types, or instances where it learnt no types.
fn annotated_layer(segmenter: &Manifest) -> String {
    let named = |key: &str| segmenter.spec.as_ref()?.get(key)?.as_str().filter(|name| !name.is_empty());
    named("types").or_else(|| named("instances")).unwrap_or("instances").to_owned()
}

/// Heading of the column of primary images.
fn primary_heading(dataset: &Dataset) -> String {
    match dataset.body.primary.as_str() {
        "he" => "H&E".to_owned(),
        other => other.to_owned(),
    }
}

fn generated(dataset: Dataset, layer: Layer, real: Option<String>) -> Wanted {
    let name = layer.body.layer.name.clone();
    let mut columns = vec![
        (primary_heading(&dataset), Source::Own(dataset.body.primary.clone(), LayerKind::Image)),
        (format!("synthetic {name}"), Source::Generated(Box::new(layer))),
    ];
    let real = real.and_then(|real| Some((dataset.layer(&real)?.kind, real)));
    let caption = match real {
        Some((kind, real)) => {
            columns.push((format!("real {real}"), Source::Own(real, kind)));
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
    let mut columns =
        vec![(primary_heading(&dataset), Source::Own(dataset.body.primary.clone(), LayerKind::Image))];
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

fn read(reader: &Reader, wanted: &Wanted, scores: &Scores) -> Result<Gallery> {
    let painted = wanted.columns.iter().find_map(|(_, source)| match source {
        Source::Generated(layer) => Some(layer.digest),
        Source::Own(..) => None,
    });
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
        let told = painted.and_then(|layer| scores.get(&(layer, sample))).map(told).unwrap_or_default();
        rows.push(GalleryRow { caption: format!("{label}{}{told}", record.key), pictures });
    }
    Ok(Gallery {
        title: wanted.title.clone(),
        caption: wanted.caption.clone(),
        columns: wanted.columns.iter().map(|(column, _)| column.clone()).collect(),
        colours: if wanted.has_labels() { palette() } else { Vec::new() },
        rows,
    })
}

/// The scores of a sample, for its caption.
fn told(scores: &BTreeMap<String, f64>) -> String {
    TOLD.iter()
        .filter_map(|metric| Some(format!(" · {} {}", measure_label(metric), figure(*scores.get(*metric)?))))
        .collect()
}

/// Samples of the test split (else valid, else all), evenly spaced and balanced over labels.
fn chosen(dataset: &Dataset) -> Vec<usize> {
    let of_split =
        ["test", "valid"].iter().map(|split| dataset.samples_of_split(split)).find(|all| !all.is_empty());
    let candidates = of_split.unwrap_or_else(|| (0..dataset.len()).collect());
    let mut by_label: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
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
