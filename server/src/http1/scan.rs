//! Runs of bytes, eight at a time.

const ONES: u64 = u64::MAX / 0xff;
const HIGH: u64 = ONES << 7;

/// The high bit of the first byte of `word` (in memory order, as a little-endian word) that is below `limit`, which is at
/// most 0x80. Bits above the lowest one that is set mean nothing.
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH
}

/// As [`below`], for the first byte that is `byte`.
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// How many bytes at the start of `bytes` are none that `find` or `is_stop` stops at; both stop at the same ones.
#[inline(always)]
fn run_len(bytes: &[u8], find: impl Fn(u64) -> u64, is_stop: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = find(u64::from_le_bytes(*word));
        if stops != 0 {
            return index * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    let tail_len = tail.iter().position(|&byte| is_stop(byte)).unwrap_or(tail.len());
    words.len() * 8 + tail_len
}

/// The high bit of every byte of `word` that lies in `first..=last`. All bytes of `word`, and both bounds, are below 0x80,
/// so no sum carries into the next byte.
fn within(word: u64, first: u8, last: u8) -> u64 {
    let from_first = word + ONES * u64::from(0x80 - first);
    let beyond_last = word + ONES * u64::from(0x7f - last);
    from_first & !beyond_last & HIGH
}

/// The high bit of every byte of `word` that is no letter, no digit and not in `first..=last`.
fn not_alphanumeric(word: u64, first: u8, last: u8) -> u64 {
    let ascii = word & !HIGH;
    let letters = within(ascii | (ONES * 0x20), b'a', b'z');
    let allowed = letters | within(ascii, b'0', b'9') | within(ascii, first, last);
    !allowed & HIGH | (word & HIGH)
}

/// Bytes of a field name of the usual kind: letters, digits and `-`.
#[inline]
pub(super) fn plain_name_len(bytes: &[u8]) -> usize {
    run_len(
        bytes,
        |word| not_alphanumeric(word, b'-', b'-'),
        |byte| !byte.is_ascii_alphanumeric() && byte != b'-',
    )
}

/// Bytes of a host of the usual kind: letters, digits, `-` and `.`.
#[inline]
pub(super) fn plain_host_len(bytes: &[u8]) -> usize {
    run_len(
        bytes,
        |word| not_alphanumeric(word, b'-', b'.'),
        |byte| !byte.is_ascii_alphanumeric() && byte != b'-' && byte != b'.',
    )
}

/// Bytes of a target: the visible ones of ASCII except `#`. More than RFC 3986 allows, because browsers send `|`, `{`
/// and their like unescaped in queries; none of them moves a boundary.
#[inline]
pub(super) fn target_len(bytes: &[u8]) -> usize {
    let find = |word| below(word, 0x21) | equal(word, b'#') | equal(word, 0x7f) | (word & HIGH);
    run_len(bytes, find, |byte| !byte.is_ascii_graphic() || byte == b'#')
}

/// As [`target_len`], up to the first `?`.
#[inline]
pub(super) fn target_path_len(bytes: &[u8]) -> usize {
    let find =
        |word| below(word, 0x21) | equal(word, b'#') | equal(word, b'?') | equal(word, 0x7f) | (word & HIGH);
    run_len(bytes, find, |byte| !byte.is_ascii_graphic() || byte == b'#' || byte == b'?')
}

/// Bytes of a field value without HTAB: SP, VCHAR and obs-text.
#[inline]
pub(super) fn text_len(bytes: &[u8]) -> usize {
    run_len(bytes, |word| below(word, 0x20) | equal(word, 0x7f), |byte| byte < 0x20 || byte == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for stop in 0..=u8::MAX {
            for at in 0..20 {
                for filler in [b'a', b'!', b'~', b'"', b'$'] {
                    let mut bytes = [filler; 20];
                    bytes[at] = stop;
                    // A second stop behind the first changes nothing.
                    if at < 18 {
                        bytes[at + 1] = stop;
                    }
                    let is_target = (0x21..0x7f).contains(&stop) && stop != b'#';
                    assert_eq!(target_len(&bytes), if is_target { 20 } else { at }, "{stop:#x} at {at}");
                    assert_eq!(
                        target_path_len(&bytes),
                        if is_target && stop != b'?' { 20 } else { at },
                        "{stop:#x} at {at}"
                    );
                    let is_text = stop >= 0x20 && stop != 0x7f;
                    assert_eq!(text_len(&bytes), if is_text { 20 } else { at }, "{stop:#x} at {at}");
                }
            }
        }
        for stop in 0..=u8::MAX {
            for at in 0..20 {
                for filler in *b"azAZ09-" {
                    let mut bytes = [filler; 20];
                    bytes[at] = stop;
                    let is_name = stop.is_ascii_alphanumeric() || stop == b'-';
                    assert_eq!(plain_name_len(&bytes), if is_name { 20 } else { at }, "{stop:#x} at {at}");
                    let is_host = is_name || stop == b'.';
                    assert_eq!(plain_host_len(&bytes), if is_host { 20 } else { at }, "{stop:#x} at {at}");
                }
            }
        }
        assert_eq!((target_len(b""), text_len(b"")), (0, 0));
        assert_eq!(text_len(b"\xff\x80 \x1f"), 3);
        assert_eq!(target_len(b"abcdefgh\x80"), 8);
    }
}
