//! Counter-based random numbers: the only random source of the project's Rust code.
//!
//! A [`Stream`] is named by a seed, a purpose and a position. The same name
//! gives the same numbers on every platform, thread and worker, so there is no
//! generator state to save: an augmentation can be recomputed anywhere from
//! `(seed, epoch, sample, view)`.
//!
//! Algorithm: Philox4x32 with 10 rounds (Salmon et al., "Parallel random
//! numbers: as easy as 1, 2, 3", SC 2011). The name is hashed to 128 bits by
//! two chains of the SplitMix64 finaliser (Steele et al., OOPSLA 2014); one half
//! is the key, the other the upper half of the counter. The lower half of the
//! counter numbers the blocks, so a stream has 2^64 blocks of four 32-bit words.
//!
//! Invariants: the algorithm is frozen. Changing any output changes digests of
//! artifacts, so the tests hold fixed values.

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;

/// One block of Philox4x32-10: 128 bits of counter and 64 bits of key to 128 bits.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut words = counter;
    let mut keys = key;
    for _ in 0..10 {
        let product_0 = u64::from(MULTIPLIER_0) * u64::from(words[0]);
        let product_1 = u64::from(MULTIPLIER_1) * u64::from(words[2]);
        words = [
            (product_1 >> 32) as u32 ^ words[1] ^ keys[0],
            product_1 as u32,
            (product_0 >> 32) as u32 ^ words[3] ^ keys[1],
            product_0 as u32,
        ];
        keys = [keys[0].wrapping_add(WEYL_0), keys[1].wrapping_add(WEYL_1)];
    }
    words
}

/// The finaliser of SplitMix64: a bijection that mixes all bits.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Absorbs words into a 128-bit name by two differently salted chains.
struct Absorber([u64; 2]);

impl Absorber {
    fn word(&mut self, word: u64) {
        let [first, second] = self.0;
        self.0 = [
            mix(first.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ word),
            mix(second.wrapping_mul(0xD6E8_FEB8_6659_FD93).wrapping_add(word)).wrapping_add(first),
        ];
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

/// A deterministic stream of random numbers named by `(seed, purpose, position)`.
///
/// Streams of different names are independent for every practical use.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u32; 2],
    counter_high: [u32; 2],
    block: u64,
    buffer: [u32; 4],
    used: usize,
    spare_normal: Option<f64>,
}

impl Stream {
    /// Opens the stream of that name at its beginning.
    ///
    /// `purpose` says what the numbers are for (`"augment"`, `"order"`, a
    /// parameter's name, …); `position` says where (`[epoch, sample, view]`, …).
    pub fn new(seed: u64, purpose: &str, position: &[u64]) -> Self {
        let mut name = Absorber([0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344]);
        name.word(seed);
        name.bytes(purpose.as_bytes());
        name.word(position.len() as u64);
        for &word in position {
            name.word(word);
        }
        let [key, high] = name.0;
        Self {
            key: [key as u32, (key >> 32) as u32],
            counter_high: [high as u32, (high >> 32) as u32],
            block: 0,
            buffer: [0; 4],
            used: 4,
            spare_normal: None,
        }
    }

    /// The next 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let counter =
                [self.block as u32, (self.block >> 32) as u32, self.counter_high[0], self.counter_high[1]];
            self.buffer = philox4x32_10(counter, self.key);
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        let word = self.buffer[self.used];
        self.used += 1;
        word
    }

    /// The next 64 random bits (two 32-bit draws, low half first).
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | (u64::from(self.next_u32()) << 32)
    }

    /// A uniform number in [0, 1) with 24 bits (one 32-bit draw).
    #[inline]
    pub fn next_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// A uniform number in [0, 1) with 53 bits (two 32-bit draws).
    #[inline]
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A uniform number between `low` (included) and `high`.
    ///
    /// Rounding may return `high` itself for some bounds.
    #[inline]
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.next_f32()
    }

    /// As [`Stream::uniform`], in double precision.
    #[inline]
    pub fn uniform_f64(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next_f64()
    }

    /// True with the given probability (never at 0 or below, always at 1 or above).
    #[inline]
    pub fn chance(&mut self, probability: f32) -> bool {
        self.next_f32() < probability
    }

    /// A standard normal number in double precision (Box and Muller 1958).
    ///
    /// Computed with the pure-Rust `libm`, so its bits depend on no system library.
    pub fn normal_f64(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.next_f64()));
        let angle = core::f64::consts::TAU * self.next_f64();
        self.spare_normal = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    /// A standard normal number ([`Stream::normal_f64`] rounded to single precision).
    #[inline]
    pub fn normal(&mut self) -> f32 {
        self.normal_f64() as f32
    }

    /// A uniform integer in `0..bound`, without bias (Lemire 2019); 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Reorders the slice; every order is equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A uniformly random order of `0..count`.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_agrees_with_the_known_answers_of_random123() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32_10([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn a_stream_has_fixed_values() {
        let mut stream = Stream::new(7, "augment", &[1, 2, 3]);
        let drawn: Vec<u64> = (0..3).map(|_| stream.next_u64()).collect();
        assert_eq!(drawn, [244_252_294_676_233_120, 5_123_490_836_197_700_272, 7_030_287_419_123_373_759]);
        let mut stream = Stream::new(7, "normal", &[]);
        let normals = [stream.normal_f64().to_bits(), stream.normal_f64().to_bits()];
        let order = Stream::new(7, "order", &[0]).permutation(8);
        assert_eq!(
            (normals, order),
            ([13_821_806_364_708_158_095, 13_826_456_166_131_360_322], vec![4, 5, 1, 2, 3, 0, 7, 6])
        );
    }

    #[test]
    fn every_part_of_the_name_changes_the_stream() {
        let names: [(u64, &str, &[u64]); 8] = [
            (0, "", &[]),
            (1, "", &[]),
            (0, "a", &[]),
            (0, "a\0", &[]),
            (0, "", &[0]),
            (0, "", &[0, 0]),
            (0, "", &[1, 0]),
            (0, "", &[0, 1]),
        ];
        let mut firsts: Vec<u64> = names
            .iter()
            .map(|(seed, purpose, position)| Stream::new(*seed, purpose, position).next_u64())
            .collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), names.len());
    }

    #[test]
    fn moments_and_ranges_are_those_of_the_distributions() {
        let mut stream = Stream::new(3, "moments", &[]);
        let count = 200_000;
        let uniform: Vec<f64> = (0..count).map(|_| f64::from(stream.next_f32())).collect();
        assert!(uniform.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = uniform.iter().sum::<f64>() / f64::from(count);
        assert!((mean - 0.5).abs() < 0.003, "mean {mean}");
        let normal: Vec<f64> = (0..count).map(|_| stream.normal_f64()).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(count);
        let variance = normal.iter().map(|value| value * value).sum::<f64>() / f64::from(count);
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
    }

    #[test]
    fn below_covers_its_range_evenly_and_is_defined_for_zero() {
        let mut stream = Stream::new(3, "below", &[]);
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.below(1), 0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        for count in [0, 1, 2, 100] {
            let mut order = Stream::new(1, "order", &[count as u64]).permutation(count);
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }
}
