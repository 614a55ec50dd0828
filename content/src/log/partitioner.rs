//! Which partition a record goes to.

use serde::{Deserialize, Serialize};

/// How a partition is chosen for a record whose producer names none.
///
/// The hash is part of the format: records of one key stay in one partition for as long as the topic has the same number of them.
///
/// ```
/// use sws_content::log::Partitioner;
///
/// assert_eq!(Partitioner::KeyHash.choose(Some(b"user-1"), 8, 0), 4);
/// assert_eq!(Partitioner::KeyHash.choose(None, 8, 10), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Partitioner {
    /// By FNV-1a (64 bit) of the key, modulo the number of partitions; records without a key in turn.
    #[default]
    KeyHash,
    /// In turn, whatever the key.
    RoundRobin,
    /// The first.
    Single,
    /// None is chosen: each producer names one.
    Explicit,
}

impl Partitioner {
    /// The partition of a record. `turn` counts the records of the topic so far; without a choice it is the first.
    pub fn choose(self, key: Option<&[u8]>, partitions: u32, turn: u64) -> u32 {
        let partitions = u64::from(partitions.max(1));
        let chosen = match (self, key) {
            (Partitioner::KeyHash, Some(key)) => key_hash(key) % partitions,
            (Partitioner::KeyHash, None) | (Partitioner::RoundRobin, _) => turn % partitions,
            (Partitioner::Single | Partitioner::Explicit, _) => 0,
        };
        chosen as u32
    }
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo; RFC 9923), the hash of keys.
pub fn key_hash(key: &[u8]) -> u64 {
    key.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_has_its_published_values() {
        // The vectors of the algorithm's authors.
        assert_eq!(key_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(key_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(key_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn keys_keep_their_partition_and_others_take_turns() {
        let key = Some(b"foobar".as_slice());
        let chosen = Partitioner::KeyHash.choose(key, 5, 0);
        assert!((1..100).all(|turn| Partitioner::KeyHash.choose(key, 5, turn) == chosen));
        let turns: Vec<u32> = (0..6).map(|turn| Partitioner::RoundRobin.choose(key, 3, turn)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        assert_eq!(Partitioner::Single.choose(key, 3, 7), 0);
        assert_eq!(Partitioner::KeyHash.choose(key, 0, 7), 0, "no division by zero");
    }
}
