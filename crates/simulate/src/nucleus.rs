//! Nuclei: their types, shapes and chromatin.

use counterstain_tile::random::Stream;

/// The types, numbered as in the palette `nucleus-types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NucleusType {
    /// Lymphocyte: small, round, dense.
    Inflammatory = 2,
    /// Small, oval, regular, with fine chromatin.
    Epithelial = 3,
    /// Fibroblast: long and thin, along the fibres.
    Spindle = 4,
    /// Large, irregular, with clumped chromatin and nucleoli.
    Neoplastic = 5,
}

/// What the chromatin of a nucleus looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chromatin {
    /// Amount of hematoxylin, averaged over the nucleus.
    pub(crate) amount: f32,
    /// Relative strength of the clumps.
    pub(crate) clumping: f32,
    /// Size of a clump in pixels.
    pub(crate) clump_size: f32,
    /// Relative strength of the dark rim.
    pub(crate) rim: f32,
    /// Number of nucleoli.
    pub(crate) nucleoli: u32,
}

/// One nucleus.
#[derive(Debug, Clone)]
pub(crate) struct Nucleus {
    pub(crate) kind: NucleusType,
    pub(crate) x: f32,
    pub(crate) y: f32,
    /// Half axes in pixels, the longer first.
    pub(crate) axes: (f32, f32),
    /// Cosine and sine of the longer axis' direction.
    direction: (f32, f32),
    /// The outline's waves with 2, 3, 4, … periods: the factors of cosine and sine.
    waves: [(f32, f32); 4],
    pub(crate) chromatin: Chromatin,
    /// Where in the shared texture its chromatin lies.
    pub(crate) texture_offset: (f32, f32),
}

impl Nucleus {
    /// Draws a nucleus of a type at the origin, not yet turned.
    pub(crate) fn draw(kind: NucleusType, scale: f32, stream: &mut Stream) -> Self {
        let (length, roundness, irregularity, chromatin) = match kind {
            NucleusType::Inflammatory => (
                stream.uniform(2.9, 3.5),
                stream.uniform(0.88, 1.0),
                0.03,
                Chromatin { amount: 1.45, clumping: 0.25, clump_size: 1.6, rim: 0.1, nucleoli: 0 },
            ),
            NucleusType::Epithelial => (
                stream.uniform(4.3, 5.2),
                stream.uniform(0.66, 0.84),
                0.03,
                Chromatin { amount: 1.0, clumping: 0.12, clump_size: 1.8, rim: 0.3, nucleoli: 0 },
            ),
            NucleusType::Spindle => (
                stream.uniform(6.5, 8.8),
                stream.uniform(0.22, 0.32),
                0.05,
                Chromatin { amount: 1.1, clumping: 0.12, clump_size: 2.0, rim: 0.1, nucleoli: 0 },
            ),
            NucleusType::Neoplastic => (
                stream.uniform(6.4, 9.6),
                stream.uniform(0.66, 0.95),
                stream.uniform(0.09, 0.15),
                Chromatin {
                    amount: 1.0,
                    clumping: stream.uniform(0.4, 0.6),
                    clump_size: 2.8,
                    rim: 0.45,
                    nucleoli: 1 + stream.below(2) as u32,
                },
            ),
        };
        let spread = if kind == NucleusType::Neoplastic { 0.16 } else { 0.10 };
        let amount = chromatin.amount * libm::expf(spread * stream.normal());
        let waves = std::array::from_fn(|number| {
            let amplitude = irregularity * stream.uniform(0.3, 1.0) / (1.0 + 0.4 * number as f32);
            let phase = stream.uniform(0.0, std::f32::consts::TAU);
            (amplitude * libm::cosf(phase), amplitude * libm::sinf(phase))
        });
        Self {
            kind,
            x: 0.0,
            y: 0.0,
            axes: (scale * length, scale * length * roundness),
            direction: (1.0, 0.0),
            waves,
            chromatin: Chromatin { amount, ..chromatin },
            texture_offset: (stream.uniform(0.0, 32.0), stream.uniform(0.0, 32.0)),
        }
    }

    /// Area of the ellipse in square pixels.
    pub(crate) fn area(&self) -> f32 {
        std::f32::consts::PI * self.axes.0 * self.axes.1
    }

    /// Points the longer axis along an angle in radians.
    pub(crate) fn turn_to(&mut self, angle: f32) {
        self.direction = (libm::cosf(angle), libm::sinf(angle));
    }

    /// Largest distance from the centre to the outline.
    pub(crate) fn reach(&self) -> f32 {
        let waves: f32 = self.waves.iter().map(|(cosine, sine)| (cosine * cosine + sine * sine).sqrt()).sum();
        self.axes.0 * (1.0 + waves)
    }

    /// Coordinates along the axes.
    pub(crate) fn local(&self, x: f32, y: f32) -> (f32, f32) {
        let (cosine, sine) = self.direction;
        let (dx, dy) = (x - self.x, y - self.y);
        (dx * cosine + dy * sine, dy * cosine - dx * sine)
    }

    /// The distance of a point in local coordinates to the outline along the ray
    /// from the centre, in pixels; positive inside.
    pub(crate) fn inside(&self, along: f32, across: f32) -> f32 {
        let (u, v) = (along / self.axes.0, across / self.axes.1);
        let relative = (u * u + v * v).sqrt();
        if relative < 1e-3 {
            return self.axes.1;
        }
        let (cosine, sine) = (u / relative, v / relative);
        let (mut multiple_cosine, mut multiple_sine) = (cosine, sine);
        let mut outline = 1.0;
        for (with_cosine, with_sine) in self.waves {
            // The addition theorem turns k periods into k + 1.
            (multiple_cosine, multiple_sine) = (
                multiple_cosine * cosine - multiple_sine * sine,
                multiple_sine * cosine + multiple_cosine * sine,
            );
            outline += with_cosine * multiple_cosine - with_sine * multiple_sine;
        }
        let radius = (along * along + across * across).sqrt();
        radius * (outline / relative - 1.0)
    }
}
