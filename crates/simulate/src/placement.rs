//! Puts nuclei into a tile's architecture until they cover the drawn share.
//!
//! Invariant: the class decides only which type stands in the epithelium; the
//! covered area is drawn before and is the same for all classes on average.

use counterstain_tile::random::Stream;

use crate::appearance::Appearance;
use crate::architecture::Architecture;
use crate::nucleus::{Nucleus, NucleusType};

/// Tries per nucleus before the tile counts as full.
const TRIES: usize = 40;

pub(crate) fn place_nuclei(
    class: usize,
    architecture: &Architecture,
    appearance: &Appearance,
    stream: &mut Stream,
) -> Vec<Nucleus> {
    let side = architecture.size as f32;
    let budget = side * side * architecture.nuclear_share;
    let scale = appearance.magnification;
    let mut nuclei = Vec::new();
    let epithelial_kind = if class == 1 { NucleusType::Neoplastic } else { NucleusType::Epithelial };
    let epithelial_budget = budget * architecture.epithelial_share;
    let covered = fill(&mut nuclei, architecture, epithelial_budget, stream, |stream| {
        Nucleus::draw(epithelial_kind, scale, stream)
    });
    if nuclei.is_empty() {
        // The structures lie so that nothing fits: the class must show nevertheless.
        let mut nucleus = Nucleus::draw(epithelial_kind, scale, stream);
        (nucleus.x, nucleus.y) = (0.5 * side, 0.5 * side);
        nuclei.push(nucleus);
    }
    fill(&mut nuclei, architecture, budget - covered, stream, |stream| {
        let lymphocyte = stream.chance(architecture.lymphocyte_share);
        let kind = if lymphocyte { NucleusType::Inflammatory } else { NucleusType::Spindle };
        Nucleus::draw(kind, scale, stream)
    });
    nuclei
}

/// Adds nuclei until they cover the budget or several in a row find no place; the area added.
fn fill(
    nuclei: &mut Vec<Nucleus>,
    architecture: &Architecture,
    budget: f32,
    stream: &mut Stream,
    draw: impl Fn(&mut Stream) -> Nucleus,
) -> f32 {
    let (mut covered, mut misses) = (0.0, 0);
    while covered < budget && misses < 6 {
        let nucleus = draw(stream);
        match find_place(nucleus, architecture, nuclei, stream) {
            Some(nucleus) => {
                covered += nucleus.area();
                nuclei.push(nucleus);
            }
            None => misses += 1,
        }
    }
    covered
}

/// A free place where such a nucleus belongs.
fn find_place(
    mut nucleus: Nucleus,
    architecture: &Architecture,
    others: &[Nucleus],
    stream: &mut Stream,
) -> Option<Nucleus> {
    for _ in 0..TRIES {
        let suits = match nucleus.kind {
            NucleusType::Epithelial | NucleusType::Neoplastic => {
                stand_in_epithelium(&mut nucleus, architecture, stream)
            }
            NucleusType::Inflammatory | NucleusType::Spindle => {
                lie_in_stroma(&mut nucleus, architecture, stream)
            }
        };
        if suits && others.iter().all(|other| are_apart(&nucleus, other)) {
            return Some(nucleus);
        }
    }
    None
}

fn stand_in_epithelium(nucleus: &mut Nucleus, architecture: &Architecture, stream: &mut Stream) -> bool {
    let gland = &architecture.glands[stream.below(architecture.glands.len() as u64) as usize];
    let angle = stream.uniform(0.0, std::f32::consts::TAU);
    let disorder = architecture.disorder;
    let depth = if gland.is_nest() {
        // Uniform over the disc.
        gland.radius * (1.0 - stream.next_f32().sqrt())
    } else {
        gland.thickness * (0.48 + 0.26 * disorder * stream.uniform(-1.0, 1.0))
    };
    (nucleus.x, nucleus.y) = gland.point(angle, depth.max(0.8 * nucleus.axes.1));
    let turn = if gland.is_nest() { std::f32::consts::PI } else { 0.5 * disorder };
    nucleus.turn_to(gland.radial(angle) + turn * stream.uniform(-1.0, 1.0));
    is_visible(nucleus, architecture) && !architecture.in_lumen(nucleus.x, nucleus.y, 0.35 * nucleus.axes.1)
}

fn lie_in_stroma(nucleus: &mut Nucleus, architecture: &Architecture, stream: &mut Stream) -> bool {
    let side = architecture.size as f32;
    let margin = nucleus.axes.1;
    nucleus.x = stream.uniform(-margin, side + margin);
    nucleus.y = stream.uniform(-margin, side + margin);
    nucleus.turn_to(architecture.direction(nucleus.x, nucleus.y) + 0.25 * stream.uniform(-1.0, 1.0));
    let depth = architecture.deepest(nucleus.x, nucleus.y).map_or(f32::NEG_INFINITY, |(_, depth)| depth);
    depth < -nucleus.axes.1 - 1.0
}

/// At least the centre lies in the tile or barely outside.
fn is_visible(nucleus: &Nucleus, architecture: &Architecture) -> bool {
    let side = architecture.size as f32;
    let margin = 0.5 * nucleus.axes.1;
    (-margin..side + margin).contains(&nucleus.x) && (-margin..side + margin).contains(&nucleus.y)
}

/// Whether two nuclei do not overlap, or only barely so.
fn are_apart(first: &Nucleus, second: &Nucleus) -> bool {
    let (dx, dy) = (second.x - first.x, second.y - first.y);
    let distance = (dx * dx + dy * dy).sqrt();
    if distance > first.reach() + second.reach() {
        return true;
    }
    let extent = |nucleus: &Nucleus| {
        // Radius of the ellipse in the direction of the other nucleus.
        let (along, across) = nucleus.local(nucleus.x + dx, nucleus.y + dy);
        let (u, v) = (along / nucleus.axes.0, across / nucleus.axes.1);
        distance / (u * u + v * v).sqrt().max(1e-6)
    };
    distance > 0.98 * (extent(first) + extent(second))
}
