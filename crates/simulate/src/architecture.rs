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
    /// Amplitude of the outline's waves with 2 and 3 periods, relative to the radius.
    waves: (f32, f32),
    /// Cosine and sine of the waves' phases.
    phases: [(f32, f32); 2],
    /// Width divided by height.
    stretch: f32,
}

impl Gland {
    /// Depth below the outline in pixels (negative outside).
    pub(crate) fn depth(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = ((x - self.x) / self.stretch, (y - self.y) * self.stretch);
        let distance = (dx * dx + dy * dy).sqrt().max(1e-3);
        self.outline(dx / distance, dy / distance) - distance
    }

    /// The outline's distance in the direction of that cosine and sine.
    fn outline(&self, cosine: f32, sine: f32) -> f32 {
        let (double_cosine, double_sine) = (2.0 * cosine * cosine - 1.0, 2.0 * sine * cosine);
        let triple_cosine = double_cosine * cosine - double_sine * sine;
        let triple_sine = double_sine * cosine + double_cosine * sine;
        let [(cosine_2, sine_2), (cosine_3, sine_3)] = self.phases;
        let waves = self.waves.0 * (double_cosine * cosine_2 - double_sine * sine_2)
            + self.waves.1 * (triple_cosine * cosine_3 - triple_sine * sine_3);
        self.radius * (1.0 + waves)
    }

    /// The point at an angle and a depth below the outline.
    pub(crate) fn point(&self, angle: f32, depth: f32) -> (f32, f32) {
        let (sine, cosine) = (libm::sinf(angle), libm::cosf(angle));
        let distance = (self.outline(cosine, sine) - depth).max(0.0);
        (self.x + distance * cosine * self.stretch, self.y + distance * sine / self.stretch)
    }

    /// The direction from the centre towards [`Gland::point`] at an angle.
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
        let nuclear_share = stream.uniform(0.2, 0.36);
        let epithelial_share = stream.uniform(0.6, 0.88);
        let nuclear_area = side * side * nuclear_share * epithelial_share / count as f32;
        let glands = (0..count).map(|_| draw_gland(side, scale, nuclear_area, stream)).collect();
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
            nuclear_share,
            epithelial_share,
            lymphocyte_share: stream.uniform(0.1, 0.8),
            disorder: stream.uniform(0.3, 1.0),
        }
    }

    /// The structure that is deepest around a point, and how deep.
    pub(crate) fn deepest(&self, x: f32, y: f32) -> Option<(&Gland, f32)> {
        let mut deepest: Option<(&Gland, f32)> = None;
        for gland in &self.glands {
            let depth = gland.depth(x, y);
            if deepest.is_none_or(|(_, other)| depth > other) {
                deepest = Some((gland, depth));
            }
        }
        deepest
    }

    /// True in the hollow of a gland, up to a margin in pixels.
    pub(crate) fn in_lumen(&self, x: f32, y: f32, margin: f32) -> bool {
        self.deepest(x, y).is_some_and(|(gland, depth)| !gland.is_nest() && depth > gland.thickness - margin)
    }

    /// Direction of the fibres at a point in radians.
    pub(crate) fn direction(&self, x: f32, y: f32) -> f32 {
        self.fibre_angle + 0.7 * self.bend.at(x / 40.0, y / 40.0)
    }
}

/// Draws a structure with room for `nuclear_area` square pixels of nuclei.
fn draw_gland(side: f32, scale: f32, nuclear_area: f32, stream: &mut Stream) -> Gland {
    let nest = stream.chance(0.4);
    let filled = stream.uniform(0.36, 0.5);
    let nest_radius = (nuclear_area / (filled * std::f32::consts::PI)).sqrt();
    let hollow_radius = scale * stream.uniform(18.0, 28.0);
    let epithelium = scale * stream.uniform(11.0, 15.0);
    let (radius, thickness) =
        if nest { (nest_radius, 2.0 * nest_radius) } else { (hollow_radius, epithelium) };
    let unevenness = if nest { 1.8 } else { 1.0 };
    Gland {
        x: side * stream.uniform(0.12, 0.88),
        y: side * stream.uniform(0.12, 0.88),
        radius,
        thickness,
        waves: (unevenness * stream.uniform(0.03, 0.11), unevenness * stream.uniform(0.02, 0.09)),
        phases: std::array::from_fn(|_| {
            let phase = stream.uniform(0.0, std::f32::consts::TAU);
            (libm::cosf(phase), libm::sinf(phase))
        }),
        stretch: stream.uniform(0.85, 1.2),
    }
}
