//! Pixels that wait to be flooded, in buckets by their level.
//!
//! A heap compares its way through all that wait; here a bucket holds the few pixels of nearly the same level, and
//! a bit for each bucket tells which ones hold any.

/// Buckets; a bit for each, and one for each of these words of bits.
const BUCKETS: usize = WORDS * 64;
const WORDS: usize = 64;
/// The end of a bucket's list.
const NONE: u32 = u32::MAX;

/// A pixel that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    level: f64,
    pixel: Pixel,
    /// The item that came into the same bucket before.
    next: u32,
}

/// A place in a map, and its column, which would cost a division to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pixel {
    pub(super) place: u32,
    pub(super) column: u32,
}

/// Gives the lowest level first and, of equal levels, the pixel that came first.
///
/// Levels between -1 and 0 are told apart well; others are in order too, but may be slow.
pub(super) struct Queue {
    items: Vec<Waiting>,
    /// The last item of each bucket.
    buckets: Vec<u32>,
    occupied: [u64; WORDS],
    occupied_words: u64,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { items: Vec::new(), buckets: vec![NONE; BUCKETS], occupied: [0; WORDS], occupied_words: 0 }
    }

    /// Levels must be finite.
    #[inline]
    pub(super) fn push(&mut self, level: f64, pixel: Pixel) {
        // Casting saturates, so that any level has a bucket, in the order of the levels.
        let bucket = (((level + 1.0) * BUCKETS as f64) as usize).min(BUCKETS - 1);
        let item = self.items.len() as u32;
        self.items.push(Waiting { level, pixel, next: self.buckets[bucket] });
        self.buckets[bucket] = item;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        self.occupied_words |= 1 << (bucket / 64);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Pixel> {
        if self.occupied_words == 0 {
            // What is to come is younger than nothing: ages may begin anew.
            self.items.clear();
            return None;
        }
        let word = self.occupied_words.trailing_zeros() as usize;
        let bucket = word * 64 + self.occupied[word].trailing_zeros() as usize;
        // From the youngest to the oldest: of equal levels the last one met is the oldest.
        let newest = self.buckets[bucket];
        let (mut before_lowest, mut lowest) = (NONE, newest);
        let (mut before, mut item) = (newest, self.items[newest as usize].next);
        while item != NONE {
            if self.items[item as usize].level <= self.items[lowest as usize].level {
                (before_lowest, lowest) = (before, item);
            }
            (before, item) = (item, self.items[item as usize].next);
        }
        let Waiting { pixel, next, .. } = self.items[lowest as usize];
        if before_lowest != NONE {
            self.items[before_lowest as usize].next = next;
        } else {
            self.buckets[bucket] = next;
            if next == NONE {
                self.occupied[word] &= !(1 << (bucket % 64));
                if self.occupied[word] == 0 {
                    self.occupied_words &= !(1 << word);
                }
            }
        }
        Some(pixel)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pixels_leave_in_the_order_of_their_levels_and_then_their_ages(
            steps in proptest::collection::vec((-6_i8..4, 0_usize..3), 0..200),
        ) {
            let mut queue = Queue::new();
            let mut waiting: Vec<(f64, u32)> = Vec::new();
            for (age, (level, pops)) in steps.into_iter().enumerate() {
                // Within a bucket, in other buckets, and outside of -1 to 0.
                let level = match level {
                    ..-3 => -0.5 + f64::from(level) * 1e-6,
                    level => f64::from(level) / 2.0,
                };
                queue.push(level, Pixel { place: age as u32, column: 0 });
                waiting.push((level, age as u32));
                for _ in 0..pops {
                    waiting.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
                    let expected = (!waiting.is_empty()).then(|| waiting.remove(0).1);
                    prop_assert_eq!(queue.pop().map(|pixel| pixel.place), expected);
                }
            }
        }
    }
}
