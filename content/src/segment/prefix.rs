//! Checksums of many overlapping ranges of the same bytes, in a time that does not grow with their lengths.
//!
//! The search behind a bad record tries the checksum of whatever looks like a record. Bytes made to deceive can look like one
//! at every few bytes, each as long as all that follows, and checking each of them from end to end would be quadratic. So the
//! checksum of every prefix that ends at a block is kept: a range's own follows from two prefixes by one multiplication, as
//! `crc(A + B) = crc(A) * x^(8 * |B|) + crc(B)` over GF(2), modulo the polynomial.

use super::record::checksum;

const BLOCK_BYTES: usize = 512;
/// Shorter records are checked directly, which is as fast.
const DIRECT_BYTES: usize = 4096;
/// The Castagnoli polynomial, lowest power first.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// `x^(2^n)` modulo the polynomial.
const POWERS: [u32; 32] = powers();

/// Checksums of records within `bytes`.
pub(super) struct PrefixCrc<'a> {
    bytes: &'a [u8],
    /// The checksum of the first `n` blocks at `n`, as far as it was needed.
    prefixes: Vec<u32>,
}

impl<'a> PrefixCrc<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, prefixes: vec![0] }
    }

    /// What [`checksum`] gives for the record of `len` bytes at `at`.
    pub(super) fn checksum(&mut self, at: usize, len: usize) -> u32 {
        let record = &self.bytes[at..at + len];
        if len <= DIRECT_BYTES {
            return checksum(record);
        }
        let (first, last) = ((at + 8).div_ceil(BLOCK_BYTES), (at + len) / BLOCK_BYTES);
        let (from, to) = (first * BLOCK_BYTES, last * BLOCK_BYTES);
        let front = crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &self.bytes[at + 8..from]);
        let (before, through) = (self.prefix(first), self.prefix(last));
        let middle = shift(front ^ before, to - from) ^ through;
        crc32c::crc32c_append(middle, &self.bytes[to..at + len])
    }

    fn prefix(&mut self, blocks: usize) -> u32 {
        while self.prefixes.len() <= blocks {
            let (last, done) =
                (self.prefixes[self.prefixes.len() - 1], (self.prefixes.len() - 1) * BLOCK_BYTES);
            self.prefixes.push(crc32c::crc32c_append(last, &self.bytes[done..done + BLOCK_BYTES]));
        }
        self.prefixes[blocks]
    }
}

/// The part that some bytes' checksum has in the checksum of these and `bytes` more.
fn shift(crc: u32, bytes: usize) -> u32 {
    let (mut factor, mut rest, mut power) = (1 << 31, bytes, 3);
    while rest != 0 {
        if rest & 1 != 0 {
            factor = multiply(POWERS[power % 32], factor);
        }
        (rest, power) = (rest >> 1, power + 1);
    }
    multiply(factor, crc)
}

/// The product of two polynomials modulo [`POLYNOMIAL`]; the highest bit is the power 0.
const fn multiply(left: u32, right: u32) -> u32 {
    let (mut product, mut right, mut bit) = (0, right, 1 << 31);
    while bit != 0 {
        if left & bit != 0 {
            product ^= right;
        }
        right = if right & 1 != 0 { (right >> 1) ^ POLYNOMIAL } else { right >> 1 };
        bit >>= 1;
    }
    product
}

const fn powers() -> [u32; 32] {
    let mut powers = [1 << 30; 32];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = multiply(powers[at - 1], powers[at - 1]);
        at += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_has_the_checksum_of_its_bytes() {
        let mut random = fastrand::Rng::with_seed(4);
        let bytes: Vec<u8> = (0..40_000).map(|_| random.u8(..)).collect();
        let mut prefix = PrefixCrc::new(&bytes);
        for round in 0..3_000 {
            let at = random.usize(..bytes.len() - 48);
            let room = bytes.len() - at;
            let len = if round % 5 == 0 { room } else { random.usize(48..=room) };
            assert_eq!(prefix.checksum(at, len), checksum(&bytes[at..at + len]), "{len} bytes at {at}");
        }
    }

    #[test]
    fn shifting_agrees_with_the_library() {
        for bytes in [0, 1, 511, 512, 4096, 1 << 20, (1 << 26) + 512] {
            assert_eq!(shift(0x1234_5678, bytes), crc32c::crc32c_combine(0x1234_5678, 0, bytes));
        }
    }
}
