//! What is decided without a disk; `tests/static_files.rs` has the rest.

use super::*;
use std::time::Duration;

#[test]
fn a_route_says_what_of_the_path_is_served() {
    let table = [
        (None, "/a/b", Some("/a/b")),
        (None, "//a", Some("//a")),
        (Some("/{*rest}"), "/a/b", Some("/a/b")),
        (Some("/{*rest}"), "//evil.example", Some("//evil.example")),
        (Some("/static/{*rest}"), "/static/a%2fb", Some("/a%2fb")),
        (Some("/static/{*rest}"), "/static//a", Some("//a")),
        (Some("/{user}/x{{/{*rest}"), "/ada/x{/a/", Some("/a/")),
        (Some("/static/"), "/static/", Some("/")),
        (Some("/{user}/"), "/ada/", Some("/")),
        (Some("/static"), "/static", None),
        (Some("/{{*rest}}"), "/{*rest}", None),
    ];
    for (pattern, path, served) in table {
        assert_eq!(served_path(pattern, path), served, "{pattern:?} {path}");
    }
}

#[test]
fn times_become_validators() {
    let at = |seconds, nanoseconds| UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    let now = at(1_000, 0);
    let found = validators(255, at(1_000, 0), now);
    assert_eq!((found.etag.as_str(), found.modified_unix_seconds), ("\"3e8.0-ff\"", Some(1_000)));
    let ahead = validators(255, at(1_000, 1), now);
    assert_eq!((ahead.etag.as_str(), ahead.modified_unix_seconds), ("\"3e8.1-ff\"", None));
    let early = validators(0, UNIX_EPOCH - Duration::from_secs(16), now);
    assert_eq!((early.etag.as_str(), early.modified_unix_seconds), ("\"-10.0-0\"", None));
}

#[test]
fn errors_have_their_status() {
    let raw = io::Error::from_raw_os_error;
    // ENOENT, ENXIO, EACCES, EXDEV, ENODEV, ENOTDIR, ENAMETOOLONG, ELOOP
    for errno in [2, 6, 13, 18, 19, 20, 36, 40] {
        assert!(matches!(Refusal::from(raw(errno)), Refusal::NotFound), "{errno}");
    }
    // ENOMEM, ENFILE, EMFILE, EIO
    for (errno, status) in [(12, 503), (23, 503), (24, 503), (5, 500)] {
        let Refusal::Failed(error) = Refusal::from(raw(errno)) else { panic!("{errno} is no 404") };
        let response = failed(error);
        assert_eq!(response.status(), status, "{errno}");
        assert_eq!(response.header("retry-after").is_some(), status == 503, "{errno}");
    }
    assert_eq!(failed(ErrorKind::UnexpectedEof.into()).status(), 503);
}
