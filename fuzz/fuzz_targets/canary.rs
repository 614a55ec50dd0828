//! A target with a false claim, which the fuzzer must refute within seconds: it shows that the harness finds things.
//!
//! The claim is that every accepted request with a body has one of five bytes, as that of its seed has. To refute it the
//! fuzzer has to change the length and to leave the rest of the head valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws::http1::{Decoded, Framing, Head, HeadLimits, decode};

fuzz_target!(|bytes: &[u8]| {
    let mut head = Head::default();
    if decode(bytes, &HeadLimits::default(), &mut head) == Decoded::Complete {
        if let Framing::Length(length) = head.framing() {
            assert_eq!(length, 5, "the canary sings");
        }
    }
});
