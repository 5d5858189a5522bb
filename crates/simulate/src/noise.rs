//! Smooth random fields: value noise on a periodic lattice.

use counterstain_tile::random::Stream;

/// Lattice points per side; a power of two.
const SIDE: usize = 32;

/// A periodic lattice of random values in -1..1 with smooth interpolation.
pub(crate) struct Noise {
    values: Vec<f32>,
}

impl Noise {
    pub(crate) fn new(stream: &mut Stream) -> Self {
        Self { values: (0..SIDE * SIDE).map(|_| stream.uniform(-1.0, 1.0)).collect() }
    }

    /// The field at a point in lattice units, in -1..1.
    pub(crate) fn at(&self, x: f32, y: f32) -> f32 {
        let (floor_x, floor_y) = (x.floor(), y.floor());
        let (weight_x, weight_y) = (smooth(x - floor_x), smooth(y - floor_y));
        // The cast saturates, so that any coordinate has a place on the lattice.
        let (column, row) = (floor_x as i32, floor_y as i32);
        let value = |dx: i32, dy: i32| {
            let column = column.wrapping_add(dx) as usize % SIDE;
            let row = row.wrapping_add(dy) as usize % SIDE;
            self.values[row * SIDE + column]
        };
        let top = value(0, 0) + (value(1, 0) - value(0, 0)) * weight_x;
        let bottom = value(0, 1) + (value(1, 1) - value(0, 1)) * weight_x;
        top + (bottom - top) * weight_y
    }

    /// Several octaves, each half as large and half as strong as the one before; within -1..1.
    pub(crate) fn octaves(&self, x: f32, y: f32, count: u32) -> f32 {
        let (mut sum, mut total) = (0.0, 0.0);
        let (mut frequency, mut strength) = (1.0, 1.0);
        for octave in 0..count {
            // The shift keeps the octaves' lattice points apart.
            let shift = 7.31 * octave as f32;
            sum += strength * self.at(x * frequency + shift, y * frequency - shift);
            total += strength;
            frequency *= 2.0;
            strength *= 0.5;
        }
        if total > 0.0 { sum / total } else { 0.0 }
    }
}

/// The cubic 3t² - 2t³ on 0..1, constant outside.
pub(crate) fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn step(low: f32, high: f32, value: f32) -> f32 {
    smooth((value - low) / (high - low))
}
