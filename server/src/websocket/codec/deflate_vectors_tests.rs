//! Messages that another implementation has compressed: zlib, through Python's module of that name.
//!
//! ```text
//! import zlib
//!
//! def numbers(n):
//!     return "".join(f"{i} squared is {i * i}; " for i in range(n)).encode()
//!
//! def deflate(text, bits=-15, level=9, strategy=0, flushes=(zlib.Z_SYNC_FLUSH,)):
//!     stream = zlib.compressobj(level, zlib.DEFLATED, bits, 9, strategy)
//!     step, out = -(-len(text) // len(flushes)), b""
//!     for at, flush in enumerate(flushes):
//!         out += stream.compress(text[at * step:(at + 1) * step]) + stream.flush(flush)
//!     return out + b"\0" if flushes[-1] == zlib.Z_FINISH else out[:-4]
//!
//! print(deflate(numbers(12)).hex())
//! ```
//!
//! The arguments of `deflate` stand beside each vector where they are others.

use super::Inflater;

fn numbers(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| format!("{i} squared is {}; ", i * i).into_bytes()).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("a vector is hexadecimal")
}

/// What the message is, the smallest window for it, and its payload.
fn vectors() -> [(Vec<u8>, u8, &'static str); 9] {
    let runs = [[b'a'; 300], [b'b'; 300]].concat();
    [
        // bits=-9: a window of 512 bytes, where the message is longer than that.
        (
            numbers(24),
            9,
            "54cf310ec4300804c0aff00483b1cf16af3929295226d1fdff968e2d41687768f2debfef731e72bdd242b4ce1a6275f6905ee71de2743f43465dd8089975d171f1a14864acba9828d975b1a0d046352da12cb5bc22ac3a92b4b30f6dcae40d91323ad53af98fbc22b8adcc227ab76cdcfc2f5c467a4fbd91de3daf48ef0b5946fa6168fc03",
        ),
        // bits=-10 to -15: another payload, the same for all of them.
        (
            numbers(24),
            10,
            "5490410ec4300803bfc2130221d944bc66a5f6d0635bedff17dff0d196650f3479efdff7390fb95e69215ab58658d51ed2abde214ef91932aa61236456a367e24395d9b1aa31736457632585369a69006552438a60d5b3493bf3e59a32f24e22656850ebe43b9022705be822f46e58dc7c2f7e48f40e7a237a77a4f8d52bbb8ce887e5e21f",
        ),
        // level=4, strategy=zlib.Z_FILTERED
        (
            numbers(12),
            9,
            "548ec10d80300c0357b91192b694569e06091e3ca1627fbec9f34e966d633ddff15e27f7c284477651223751234fd152be8b2d8ab2891e45ed624f95538c287a13338ae1c22dcd9809cf4f8b8b1f",
        ),
        // strategy=zlib.Z_HUFFMAN_ONLY
        (
            numbers(12),
            9,
            "04c1c18d03510844c1545e08f3edf1ac2da2418203476891ff565da8d7278312977150af4f06258ef142bd3e1994b88d37eaf5c9a0c4cfb851af4f0625ce637c50af4f06255e1fe341bd3e1994783fc61feaf5c9a0c4fd33bea8d7278312cf6dfc50af4f0625bec73817eaf5c9a0c4b92ee31cd4eb934189f33ac63f00",
        ),
        // deflate(b"a" * 300 + b"b" * 300, strategy=zlib.Z_RLE)
        (runs, 9, "4a1c054483a45140340000"),
        // strategy=zlib.Z_FIXED
        (
            numbers(12),
            9,
            "3250282e2c4d2c4a4d51c82c5630b0563044e61b5a2b1821f34dac158c91f996d60a2628eacdac154c91058c4cad15cc90058c812acc518c049a61812c6006b4c41259c002e80a4303146b0c400e4575a911501500",
        ),
        // numbers(4), level=0: a block without compression
        (
            numbers(4),
            9,
            "004000bfff30207371756172656420697320303b2031207371756172656420697320313b2032207371756172656420697320343b2033207371756172656420697320393b2000",
        ),
        // flushes=(zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_BLOCK, zlib.Z_SYNC_FLUSH): blocks that end within a byte
        (
            numbers(12),
            9,
            "3250282e2c4d2c4a4d51c82c5630b0563044e61b5a2b18c1f8000104e29b582b1823f32dad154c50d49b592b9802000000ffff42163032b5563043163006aa30870a00000000ffff4a51c82c5630b1b456b050282e2c4d2c4a4d01099899582b58220b58180264ad6068802c62686000143244113202aa0200",
        ),
        // flushes=(zlib.Z_FINISH,): BFINAL, then the header of an empty block
        (
            numbers(12),
            9,
            "558ecb0d80300c4357f10849faa155a641820347a8d89f70738eefc9b22d58f7bb3fe7816b411ccaac0e63ae8ec23c1d35e5bba3b1b0e6e82c4a24b654191d83458f91c962c40b953423ffd1fcd422f50100",
        ),
    ]
}

#[test]
fn rfc7692_7_2_2_what_zlib_compresses_is_inflated() {
    for (message, smallest, hex) in vectors() {
        let payload = unhex(hex);
        for window_bits in smallest..=15 {
            for takeover in [false, true] {
                let (mut inflater, mut out) = (Inflater::new(window_bits, takeover), Vec::new());
                for _ in 0..2 {
                    out.clear();
                    inflater.decompress(&payload, &mut out, message.len()).expect("inflates");
                    assert!(out == message, "{hex} with {window_bits}");
                }
            }
        }
    }
}

/// A message of one reference of three bytes as far back as a window of these bits goes, by fixed codes (RFC 1951, 3.2.6).
fn reference(window_bits: u8) -> Vec<u8> {
    let mut bits = 0_u64;
    let mut at = 0;
    let mut push = |value: u64, count: u8| {
        bits |= value << at;
        at += count;
    };
    push(0b010, 3);
    push(0b100_0000, 7);
    push(u64::from((2 * window_bits - 1).reverse_bits() >> 3), 5);
    push((1 << (window_bits - 2)) - 1, window_bits - 2);
    push(0, 7 + 3);
    bits.to_le_bytes()[..usize::from(at.div_ceil(8))].to_vec()
}

#[test]
fn rfc7692_7_2_2_the_whole_window_is_kept_between_messages() {
    for window_bits in 9..=15 {
        let len = 1_u16 << window_bits;
        let message: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let stored = [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), &message, &[0]].concat();
        let (mut inflater, mut out) = (Inflater::new(window_bits, true), Vec::new());
        inflater.decompress(&stored, &mut out, message.len()).expect("inflates");
        inflater.decompress(&reference(window_bits), &mut out, 3).expect("inflates");
        assert_eq!(out[message.len()..], message[..3], "{window_bits}");
    }
}
