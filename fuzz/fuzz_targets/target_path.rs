//! Any text as a path, a range and a list of entity tags.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::{Component, Path};
use sws::http1::target::decode_path;
use sws::static_files::conditional::{Conditions, ETag, Validators};
use sws::static_files::media::media_type;
use sws::static_files::path::resolve;
use sws::static_files::range::{RangeOutcome, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_decoding(text);
        check_resolving(text);
        assert!(media_type(text).contains('/'));
    }
    check_range(bytes);
    let validators = Validators { etag: ETag::new(1, 2, 3), modified_unix_seconds: Some(2) };
    let conditions =
        Conditions { if_match: Some(bytes), if_none_match: Some(bytes), ..Conditions::default() };
    let _ = conditions.evaluate(&http::Method::GET, &validators);
});

/// What is decoded is what the usual library decodes; what has no escapes stays as it is.
fn check_decoding(text: &str) {
    let Ok(decoded) = decode_path(text) else { return };
    let theirs = percent_encoding::percent_decode_str(text).decode_utf8().expect("we found it to be UTF-8");
    assert_eq!(decoded, theirs);
    assert!(!decoded.contains('\0'));
}

/// A resolved path has plain names only, so joined to a folder it stays below it.
fn check_resolving(text: &str) {
    let Ok(path) = resolve(text) else { return };
    let relative = Path::new(path.as_str());
    assert!(relative.components().all(|part| matches!(part, Component::Normal(_))));
    let names = path.as_str().split('/').filter(|_| !path.as_str().is_empty());
    for name in names {
        assert!(!name.is_empty() && (!name.starts_with('.') || name == ".well-known"));
        assert!(!name.contains(['\\', '\0', '\r', '\n']));
    }
    assert!(Path::new("/folder").join(relative).starts_with("/folder"));
}

fn check_range(bytes: &[u8]) {
    for len in [0, 1, 10, u64::MAX] {
        if let RangeOutcome::Partial { start, end } = parse(bytes, len) {
            assert!(start < end && end <= len);
        }
    }
}
