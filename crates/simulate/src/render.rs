//! From nuclei and architecture to amounts of stain per pixel.

use counterstain_tile::Tile;

use crate::appearance::Appearance;
use crate::architecture::Architecture;
use crate::noise::step;
use crate::nucleus::{Nucleus, NucleusType};

/// Amounts per pixel (1 is a well stained nucleus or cytoplasm), and the exact maps.
pub(crate) struct Densities {
    pub(crate) size: usize,
    /// Of nuclei.
    pub(crate) chromatin: Vec<f32>,
    /// Of cytoplasm and fibres, for eosin.
    pub(crate) protein: Vec<f32>,
    /// Of cytoplasm, for hematoxylin.
    pub(crate) basophilia: Vec<f32>,
    /// Of the marker: high in neoplastic nuclei, low in epithelial ones.
    pub(crate) nuclear_marker: Vec<f32>,
    /// Of the marker in the cytoplasm of the epithelium.
    pub(crate) cytoplasmic_marker: Vec<f32>,
    pub(crate) types: Tile<u32>,
    pub(crate) instances: Tile<u32>,
}

pub(crate) fn densities(
    architecture: &Architecture,
    nuclei: &[Nucleus],
    appearance: &Appearance,
) -> Densities {
    let size = architecture.size;
    let pixels = size * size;
    let mut densities = Densities {
        size,
        chromatin: vec![0.0; pixels],
        protein: vec![0.0; pixels],
        basophilia: vec![0.0; pixels],
        nuclear_marker: vec![0.0; pixels],
        cytoplasmic_marker: vec![0.0; pixels],
        types: Tile::filled(size, size, 1, 0),
        instances: Tile::filled(size, size, 1, 0),
    };
    paint_background(&mut densities, architecture, nuclei, appearance);
    for (number, nucleus) in nuclei.iter().enumerate() {
        paint_nucleus(&mut densities, architecture, nucleus, number as u32 + 1);
    }
    number_without_gaps(&mut densities.instances);
    densities
}

fn paint_background(
    densities: &mut Densities,
    architecture: &Architecture,
    nuclei: &[Nucleus],
    appearance: &Appearance,
) {
    let size = densities.size;
    let fibres = Fibres::new(architecture, appearance);
    for row in 0..size {
        for column in 0..size {
            let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
            let at = row * size + column;
            let Some((gland, depth)) = architecture.deepest(x, y) else {
                densities.protein[at] = fibres.protein(x, y);
                continue;
            };
            let inside = step(-1.0, 1.0, depth);
            let hollow = if gland.is_nest() { 0.0 } else { step(-1.2, 1.2, depth - gland.thickness) };
            let epithelium = inside * (1.0 - hollow);
            let mut protein = 0.0;
            if inside < 1.0 {
                // A thin cleft separates the epithelium from the stroma.
                let cleft = 1.0 - 0.55 * step(-2.6, -1.2, depth) * (1.0 - step(-1.2, 0.2, depth));
                protein += fibres.protein(x, y) * cleft * (1.0 - inside);
            }
            if hollow > 0.0 {
                let secretion = 0.06 + 0.06 * architecture.texture.at(x / 14.0, y / 14.0 + 5.0);
                protein += secretion * inside * hollow;
            }
            if epithelium > 0.0 {
                let grain = architecture.texture.octaves(x / 5.0 + 11.0, y / 5.0, 3);
                let (border, owner) = cell_border(nuclei, x, y);
                protein += (0.62 + 0.16 * grain) * (1.0 - 0.45 * border) * epithelium;
                densities.basophilia[at] = 0.17 * epithelium * (1.0 - 0.3 * border) * (1.0 + 0.4 * grain);
                densities.cytoplasmic_marker[at] = epithelium * marker(owner) * (0.7 + 0.3 * grain);
            }
            densities.protein[at] = protein;
        }
    }
    for cell in &architecture.red_cells {
        paint_red_cell(densities, architecture, cell.x, cell.y, cell.radius);
    }
}

/// Fibres: noise that is stretched along their direction, with clefts between.
struct Fibres<'a> {
    architecture: &'a Architecture,
    appearance: &'a Appearance,
    direction: (f32, f32),
}

impl<'a> Fibres<'a> {
    fn new(architecture: &'a Architecture, appearance: &'a Appearance) -> Self {
        let angle = architecture.fibre_angle;
        Self { architecture, appearance, direction: (libm::cosf(angle), libm::sinf(angle)) }
    }

    fn protein(&self, x: f32, y: f32) -> f32 {
        let Architecture { bend, texture, .. } = self.architecture;
        let (cosine, sine) = self.direction;
        let along = x * cosine + y * sine;
        let across = y * cosine - x * sine + 9.0 * bend.octaves(x / 34.0, y / 34.0, 2);
        let width = self.appearance.fibre_width;
        let fibre = texture.octaves(along / (7.0 * width), across / width, 3);
        let patches = bend.at(x / 18.0 + 3.0, y / 18.0 + 9.0);
        let cover = fibre + 0.45 * patches - 1.4 * (self.appearance.looseness - 0.3);
        let body = 0.60 + 0.42 * fibre + 0.12 * patches;
        (0.05 + 0.95 * step(-0.75, -0.15, cover)) * body.max(0.08)
    }
}

/// How near a point is to the border between two cells of the epithelium (0..1),
/// and the type of the cell.
fn cell_border(nuclei: &[Nucleus], x: f32, y: f32) -> (f32, Option<NucleusType>) {
    let mut nearest = (f32::INFINITY, None);
    let mut second = f32::INFINITY;
    for nucleus in nuclei {
        if !matches!(nucleus.kind, NucleusType::Epithelial | NucleusType::Neoplastic) {
            continue;
        }
        let (dx, dy) = (x - nucleus.x, y - nucleus.y);
        let distance = (dx * dx + dy * dy).sqrt();
        if distance < nearest.0 {
            second = nearest.0;
            nearest = (distance, Some(nucleus.kind));
        } else {
            second = second.min(distance);
        }
    }
    // With fewer than two cells there is no border.
    let border = if second.is_finite() { 1.0 - step(0.3, 1.7, second - nearest.0) } else { 0.0 };
    (border, nearest.1)
}

fn marker(kind: Option<NucleusType>) -> f32 {
    match kind {
        Some(NucleusType::Neoplastic) => 1.0,
        Some(NucleusType::Epithelial) => 0.3,
        _ => 0.0,
    }
}

fn paint_red_cell(densities: &mut Densities, architecture: &Architecture, x: f32, y: f32, radius: f32) {
    for (column, row, at) in pixels_around(densities.size, x, y, radius + 1.5) {
        let (dx, dy) = (column - x, row - y);
        let distance = (dx * dx + dy * dy).sqrt();
        let cover = step(-0.7, 0.7, radius - distance);
        let outside = architecture.deepest(column, row).is_none_or(|(_, depth)| depth < -1.0);
        if outside && cover > 0.0 {
            // Thinner in the middle.
            let amount = 0.95 + 0.35 * (distance / radius).min(1.0);
            densities.protein[at] = densities.protein[at] * (1.0 - cover) + amount * cover;
        }
    }
}

fn paint_nucleus(densities: &mut Densities, architecture: &Architecture, nucleus: &Nucleus, number: u32) {
    let texture = &architecture.texture;
    let (offset_x, offset_y) = nucleus.texture_offset;
    let chromatin = &nucleus.chromatin;
    let nucleoli: Vec<(f32, f32)> = (0..chromatin.nucleoli)
        .map(|nucleolus| {
            let shift = 5.0 * nucleolus as f32;
            let u = 0.45 * texture.at(offset_x + shift, offset_y);
            let v = 0.45 * texture.at(offset_x, offset_y + shift + 2.5);
            (u * nucleus.axes.0, v * nucleus.axes.1)
        })
        .collect();
    for (x, y, at) in pixels_around(densities.size, nucleus.x, nucleus.y, nucleus.reach() + 1.5) {
        let (along, across) = nucleus.local(x, y);
        let inside = nucleus.inside(along, across);
        let cover = step(-0.8, 0.8, inside);
        if cover <= 0.0 {
            continue;
        }
        let clumps = texture.octaves(
            along / chromatin.clump_size + offset_x,
            across / chromatin.clump_size + offset_y,
            2,
        );
        let rim = 1.0 - step(0.6, 2.0, inside);
        // The rim adds what the middle lacks, so that the mean stays near the drawn amount.
        let mut amount = 1.0 + 1.5 * chromatin.clumping * clumps + chromatin.rim * (rim - 0.4);
        for (u, v) in &nucleoli {
            let distance = ((along - u) * (along - u) + (across - v) * (across - v)).sqrt();
            amount += 0.75 * (1.0 - step(0.7, 1.9, distance));
        }
        let amount = chromatin.amount * amount.max(0.25);
        if inside > 0.0 && densities.instances.data[at] == 0 {
            densities.instances.data[at] = number;
            densities.types.data[at] = nucleus.kind as u32;
        }
        densities.chromatin[at] = densities.chromatin[at].max(amount * cover);
        densities.protein[at] *= 1.0 - 0.55 * cover;
        densities.basophilia[at] *= 1.0 - 0.8 * cover;
        let marked = marker(Some(nucleus.kind)) * (0.8 + 0.2 * clumps);
        densities.nuclear_marker[at] = densities.nuclear_marker[at].max(marked * cover);
    }
}

/// Centres and places of the pixels in a square around a point, inside the tile.
fn pixels_around(size: usize, x: f32, y: f32, reach: f32) -> impl Iterator<Item = (f32, f32, usize)> {
    // Casts saturate: what lies outside gives an empty or clipped range.
    let range = move |centre: f32| {
        let first = (centre - reach).floor().max(0.0) as usize;
        let last = ((centre + reach).ceil().max(0.0) as usize).min(size);
        first.min(size)..last
    };
    range(y).flat_map(move |row| {
        range(x).map(move |column| (column as f32 + 0.5, row as f32 + 0.5, row * size + column))
    })
}

/// Renumbers so that hidden nuclei leave no gap.
fn number_without_gaps(instances: &mut Tile<u32>) {
    let mut present: Vec<u32> = instances.data.iter().copied().filter(|&number| number > 0).collect();
    present.sort_unstable();
    present.dedup();
    for number in &mut instances.data {
        if *number > 0 {
            *number = present.partition_point(|other| *other < *number) as u32 + 1;
        }
    }
}
