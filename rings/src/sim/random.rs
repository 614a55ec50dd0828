//! The one source of chance in a simulation: everything that is drawn comes from the seed.

use std::time::Duration;

/// SplitMix64: any seed will do, also 0.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound`, without `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        self.next() % bound
    }

    /// From 1 to `len`, without `len`: a part that is not the whole. `len` itself where it has no parts.
    pub(super) fn part(&mut self, len: usize) -> usize {
        if len < 2 { len } else { 1 + self.below(len as u64 - 1) as usize }
    }

    pub(super) fn chance(&mut self, rate: f64) -> bool {
        const UNIT: f64 = (1u64 << 53) as f64;
        ((self.next() >> 11) as f64) / UNIT < rate
    }

    /// From 0 to `max`.
    pub(super) fn duration(&mut self, max: Duration) -> Duration {
        Duration::from_nanos(self.below(max.as_nanos() as u64 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_its_neighbour_differs() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn rates_are_kept() {
        let mut random = Random::new(1);
        let hits = (0..10_000).filter(|_| random.chance(0.25)).count();
        assert!((2_000..3_000).contains(&hits), "{hits}");
        assert!(!random.chance(0.0));
        assert!(random.chance(1.0));
        assert!((1..100).contains(&random.part(100)));
    }
}
