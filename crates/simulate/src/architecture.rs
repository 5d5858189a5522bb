//! The arrangement of a tile: glands, epithelial nests and the stroma around them.
//!
//! Invariant: it is drawn without knowing the class.

use counterstain_tile::random::Stream;

use crate::appearance::Appearance;
use crate::noise::Noise;

/// A closed epithelial structure with a wavy outline; a nest is a gland without lumen.
pub(crate) struct Gland {
    pub(crate) x: f32,
    pub(crate) y: f32,
    /// Mean outer radius in pixels.
    pub(crate) radius: f32,
    /// Thickness of the epithelium; at least the radius for a nest.
    pub(crate) thickness: f32,
    /// Phase of the outline's waves.
    phase: f32,
    /// Width divided by height.
    stretch: f32,
}

impl Gland {
    /// Depth below the outline in pixels (negative outside) and the angle.
    pub(crate) fn depth(&self, x: f32, y: f32) -> (f32, f32) {
        let (dx, dy) = ((x - self.x) / self.stretch, (y - self.y) * self.stretch);
        let angle = libm::atan2f(dy, dx);
        (self.outline(angle) - libm::sqrtf(dx * dx + dy * dy), angle)
    }

    fn outline(&self, angle: f32) -> f32 {
        let waves =
            0.09 * libm::sinf(2.0 * angle + self.phase) + 0.06 * libm::sinf(3.0 * angle - 2.0 * self.phase);
        self.radius * (1.0 + waves)
    }

    /// The point at an angle and a depth below the outline.
    pub(crate) fn point(&self, angle: f32, depth: f32) -> (f32, f32) {
        let distance = (self.outline(angle) - depth).max(0.0);
        (
            self.x + distance * libm::cosf(angle) * self.stretch,
            self.y + distance * libm::sinf(angle) / self.stretch,
        )
    }

    /// The direction from the centre towards a point at an angle of [`Gland::depth`].
    pub(crate) fn radial(&self, angle: f32) -> f32 {
        libm::atan2f(libm::sinf(angle) / self.stretch, libm::cosf(angle) * self.stretch)
    }

    pub(crate) fn is_nest(&self) -> bool {
        self.thickness >= self.radius
    }
}

/// A red blood cell.
pub(crate) struct RedCell {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) radius: f32,
}

/// Where what lies in a tile.
pub(crate) struct Architecture {
    pub(crate) size: usize,
    pub(crate) glands: Vec<Gland>,
    pub(crate) red_cells: Vec<RedCell>,
    /// Main direction of the fibres in radians.
    pub(crate) fibre_angle: f32,
    /// Bends the fibres.
    pub(crate) bend: Noise,
    /// Texture of fibres and cytoplasm.
    pub(crate) texture: Noise,
    /// Share of the tile that nuclei are to cover.
    pub(crate) nuclear_share: f32,
    /// Share of the nuclear area in the epithelium.
    pub(crate) epithelial_share: f32,
    /// Share of lymphocytes among the stroma's nuclei.
    pub(crate) lymphocyte_share: f32,
    /// How far nuclei stray from their place in the epithelium.
    pub(crate) disorder: f32,
}

impl Architecture {
    pub(crate) fn draw(size: usize, appearance: &Appearance, stream: &mut Stream) -> Self {
        let side = size as f32;
        let scale = appearance.magnification;
        // Tiles of 64 px show one or two structures; larger ones more, as their area grows.
        let expected = (side * side / (64.0 * 64.0)).max(0.5);
        let count = ((expected * stream.uniform(0.7, 1.9)) as usize).max(1);
        let glands: Vec<Gland> = (0..count).map(|_| draw_gland(side, scale, stream)).collect();
        let bleeding = stream.chance(0.25);
        let red_cells = (0..(expected * stream.uniform(3.0, 9.0)) as usize)
            .map(|_| RedCell {
                x: stream.uniform(0.0, side),
                y: stream.uniform(0.0, side),
                radius: scale * stream.uniform(2.4, 3.0),
            })
            .filter(|_| bleeding)
            .collect();
        Self {
            size,
            glands,
            red_cells,
            fibre_angle: stream.uniform(0.0, std::f32::consts::PI),
            bend: Noise::new(stream),
            texture: Noise::new(stream),
            nuclear_share: stream.uniform(0.16, 0.32),
            epithelial_share: stream.uniform(0.55, 0.85),
            lymphocyte_share: stream.uniform(0.1, 0.8),
            disorder: stream.uniform(0.3, 1.0),
        }
    }

    /// The structure that is deepest around a point: its number, the depth and the angle.
    pub(crate) fn deepest(&self, x: f32, y: f32) -> Option<(usize, f32, f32)> {
        let mut deepest: Option<(usize, f32, f32)> = None;
        for (number, gland) in self.glands.iter().enumerate() {
            let (depth, angle) = gland.depth(x, y);
            if deepest.is_none_or(|(_, other, _)| depth > other) {
                deepest = Some((number, depth, angle));
            }
        }
        deepest
    }

    /// True in the hollow of a gland, up to a margin in pixels.
    pub(crate) fn in_lumen(&self, x: f32, y: f32, margin: f32) -> bool {
        self.deepest(x, y).is_some_and(|(number, depth, _)| {
            let gland = &self.glands[number];
            !gland.is_nest() && depth > gland.thickness - margin
        })
    }

    /// Direction of the fibres at a point in radians.
    pub(crate) fn direction(&self, x: f32, y: f32) -> f32 {
        self.fibre_angle + 0.7 * self.bend.at(x / 40.0, y / 40.0)
    }
}

fn draw_gland(side: f32, scale: f32, stream: &mut Stream) -> Gland {
    let nest = stream.chance(0.4);
    let radius = scale * stream.uniform(17.0, 29.0);
    let thickness = if nest { 2.0 * radius } else { scale * stream.uniform(11.0, 15.0) };
    Gland {
        x: side * stream.uniform(0.1, 0.9),
        y: side * stream.uniform(0.1, 0.9),
        radius,
        thickness,
        phase: stream.uniform(0.0, std::f32::consts::TAU),
        stretch: stream.uniform(0.85, 1.2),
    }
}
