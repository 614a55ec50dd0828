//! Masking (RFC 6455, 5.3): an exclusive or with four bytes, in both directions the same.
//!
//! A copy that unmasks runs at the speed of a plain copy, because the words are written into the vector by an iterator
//! whose length the standard library trusts: no zeroing before, no second pass, no check of the capacity per word.

/// The mask as a word, turned so that its first byte is for the byte at `offset`.
#[inline]
fn word(mask: [u8; 4], offset: usize) -> [u8; 8] {
    let half = u32::from_le_bytes(mask).rotate_right(8 * (offset % 4) as u32);
    (u64::from(half) << 32 | u64::from(half)).to_le_bytes()
}

/// Masks or unmasks in place. `offset` is the position of `bytes` in the frame's payload.
///
/// ```
/// use sws::websocket::codec::mask::apply_mask;
///
/// let mut hello = [0x7f, 0x9f, 0x4d, 0x51, 0x58]; // RFC 6455, 5.7
/// apply_mask(&mut hello, [0x37, 0xfa, 0x21, 0x3d], 0);
/// assert_eq!(&hello, b"Hello");
/// ```
#[inline]
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let key = word(mask, offset);
    let wide = u64::from_ne_bytes(key);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Appends `bytes` to `out`, masked or unmasked on the way. `offset` is the position of `bytes` in the frame's payload.
///
/// ```
/// use sws::websocket::codec::mask::apply_mask_into;
///
/// let mut out = b"> ".to_vec();
/// apply_mask_into(&mut out, &[0x4d, 0x51, 0x58], [0x37, 0xfa, 0x21, 0x3d], 2);
/// assert_eq!(out, b"> llo");
/// ```
#[inline]
pub fn apply_mask_into(out: &mut Vec<u8>, bytes: &[u8], mask: [u8; 4], offset: usize) {
    let key = word(mask, offset);
    let wide = u64::from_ne_bytes(key);
    out.reserve(bytes.len());
    let (words, rest) = bytes.as_chunks::<8>();
    out.extend(words.iter().flat_map(|chunk| (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes()));
    let mut tail = key;
    for (byte, masked) in tail.iter_mut().zip(rest) {
        *byte ^= masked;
    }
    out.extend_from_slice(&tail[..rest.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(bytes: &[u8], mask: [u8; 4], offset: usize) -> Vec<u8> {
        bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[(at + offset) % 4]).collect()
    }

    #[test]
    fn rfc6455_5_3_octet_i_is_xored_with_mask_octet_i_modulo_4() {
        let mut rng = fastrand::Rng::with_seed(53);
        for len in (0..200).chain([1000, 4096, 65_537]) {
            for offset in 0..8 {
                let mask = rng.u32(..).to_ne_bytes();
                let bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
                let expected = naive(&bytes, mask, offset);
                let mut in_place = bytes.clone();
                apply_mask(&mut in_place, mask, offset);
                assert_eq!(in_place, expected, "len {len}, offset {offset}");
                let mut out = b"before".to_vec();
                apply_mask_into(&mut out, &bytes, mask, offset);
                assert_eq!(out.strip_prefix(b"before"), Some(&expected[..]), "len {len}, offset {offset}");
            }
        }
    }

    #[test]
    fn rfc6455_5_3_unmasking_is_masking_again() {
        let (mut bytes, mask) = (*b"some bytes and a few more", [1, 2, 3, 255]);
        apply_mask(&mut bytes, mask, 3);
        assert_ne!(&bytes, b"some bytes and a few more");
        apply_mask(&mut bytes, mask, 3);
        assert_eq!(&bytes, b"some bytes and a few more");
    }
}
