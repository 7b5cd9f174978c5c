//! Random draws for resampling: SplitMix64, keyed by a seed and the number of a stream.
//!
//! G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number generators", 2014; D.
//! Lemire, "Fast random integer generation in an interval", 2019.
//!
//! A resample needs even draws, not a cipher, so that this crate stays without the one of
//! `cnn-core`.

/// The golden ratio's fraction times 2⁶⁴, made odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// One stream of draws; the same for the same seed and number, on every platform.
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let key = mix(seed.wrapping_add(GAMMA)).wrapping_add(stream);
        Self {
            state: mix(key.wrapping_add(GAMMA)),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// An integer from 0 to below `bound`, each as likely as any other; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // 2⁶⁴ modulo the bound: so many low halves come once too often.
        let surplus = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= surplus {
                return (product >> 64) as u64;
            }
        }
    }
}

/// The finaliser of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first outputs of the authors' generator from a state of 1234567.
    #[test]
    fn equals_the_published_generator() {
        let mut draws = Draws { state: 1_234_567 };
        assert_eq!(
            [draws.next(), draws.next(), draws.next()],
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn draws_are_even_and_in_range() {
        let mut counts = [0_u32; 7];
        let mut draws = Draws::new(3, 0);
        for _ in 0..70_000 {
            counts[draws.below(7) as usize] += 1;
        }
        // Six standard deviations of a binomial count.
        assert!(
            counts.iter().all(|&count| count.abs_diff(10_000) < 560),
            "{counts:?}"
        );
        assert_eq!((draws.below(1), draws.below(0)), (0, 0));
        let bound = (1 << 63) + 1;
        assert!((0..1000).all(|_| draws.below(bound) < bound));
    }

    #[test]
    fn seeds_and_streams_differ() {
        let first = |seed, stream| Draws::new(seed, stream).next();
        assert_eq!(first(5, 9), first(5, 9));
        let mut all: Vec<u64> = (0..30)
            .flat_map(|seed| (0..30).map(move |stream| first(seed, stream)))
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 900);
    }
}
