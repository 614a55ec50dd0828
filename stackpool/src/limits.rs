//! The bounds of this crate, by name.

/// The most slots a pool may have: 1,048,576 connections per worker.
pub const SLOTS_MAX: u32 = 1 << 20;

/// Bits that a slot index needs at most, so that index, generation (32) and an op kind (8) fit one 64-bit token.
pub const INDEX_BITS: u32 = 24;

/// The largest slot in bytes, workspace included.
pub const SLOT_BYTES_MAX: usize = 256;

/// The smallest class of [`TieredBuffers`](crate::TieredBuffers), in bytes.
pub const BUFFER_BYTES_MIN: usize = 512;

/// The largest class of [`TieredBuffers`](crate::TieredBuffers), in bytes.
pub const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The bytes of one [`LargeBlock`](crate::LargeBlock).
pub const LARGE_BLOCK_BYTES: usize = 1024 * 1024;

/// Descriptors that [`default_slots_max`] leaves to listeners, rings, files and the user's own code, where there are enough.
pub const DESCRIPTORS_RESERVED: u64 = 256;

const _: () = assert!(SLOTS_MAX <= 1 << INDEX_BITS);

/// The default number of slots for a process that may open `nofile` descriptors (`RLIMIT_NOFILE`, the soft limit after
/// it was raised to the hard one; the caller makes that call).
///
/// [`DESCRIPTORS_RESERVED`], but at most a quarter of the limit, is left to everything that is not a connection. The
/// answer is at least 1 and at most [`SLOTS_MAX`]; an infinite limit (`u64::MAX`) gives [`SLOTS_MAX`].
///
/// ```
/// use sws_stackpool::limits::{SLOTS_MAX, default_slots_max};
///
/// assert_eq!(default_slots_max(1024), 768);
/// assert_eq!(default_slots_max(20_000), 19_744);
/// assert_eq!(default_slots_max(u64::MAX), SLOTS_MAX);
/// ```
pub fn default_slots_max(nofile: u64) -> u32 {
    let reserved = DESCRIPTORS_RESERVED.min(nofile / 4);
    (nofile - reserved).clamp(1, u64::from(SLOTS_MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_follows_the_descriptor_limit() {
        let table =
            [(0, 1), (1, 1), (4, 3), (256, 192), (1024, 768), (1_048_576, 1_048_320), (1_048_832, SLOTS_MAX)];
        for (nofile, slots) in table {
            assert_eq!(default_slots_max(nofile), slots, "nofile {nofile}");
        }
        assert_eq!(default_slots_max(u64::MAX), SLOTS_MAX);
    }
}
