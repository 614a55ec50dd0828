//! Conditional requests, in the order of RFC 9110, 13.2.2.

use super::*;

const MODIFIED: u64 = 784_111_777;
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn validators() -> Validators {
    Validators { etag: ETag::new(255, MODIFIED as i64, 5), modified_unix_seconds: Some(MODIFIED) }
}

fn tag() -> String {
    validators().etag.to_string()
}

#[test]
fn tags_tell_states_apart_and_fit() {
    let first = ETag::new(1, 2, 3);
    for other in [ETag::new(2, 2, 3), ETag::new(1, 3, 3), ETag::new(1, 2, 4), ETag::new(1, -2, 3)] {
        assert_ne!(first, other);
    }
    let longest = ETag::new(u64::MAX, i64::MIN, u32::MAX);
    assert_eq!(longest.as_str(), "\"-8000000000000000.ffffffff-ffffffffffffffff\"");
}

#[test]
fn lists_of_tags() {
    let etag = validators().etag;
    let own = tag();
    // (list, strong comparison, weak comparison)
    let table = [
        ("*".to_owned(), true, true),
        (own.clone(), true, true),
        (format!("W/{own}"), false, true),
        (format!("\"a\", {own}"), true, true),
        (format!("\"a\",W/\"b\" ,\t{own}, \"c\""), true, true),
        (format!(",, {own}"), true, true),
        (format!("\"a,b\", {own}"), true, true),
        ("\"a\"".to_owned(), false, false),
        (String::new(), false, false),
        (",".to_owned(), false, false),
        ("\"".to_owned(), false, false),
        ("W/".to_owned(), false, false),
        (own.trim_matches('"').to_owned(), false, false),
        (format!("\"a\" {own}"), false, false),
        (format!("a, {own}"), false, false),
        (format!("w/{own}"), false, false),
        (format!("\"x{own}"), false, false),
    ];
    for (list, strong, weak) in table {
        assert_eq!(any_tag(list.as_bytes(), &etag, Comparison::Strong), strong, "{list}");
        assert_eq!(any_tag(list.as_bytes(), &etag, Comparison::Weak), weak, "{list}");
    }
}

struct Case<'a> {
    if_match: Option<&'a str>,
    if_unmodified_since: Option<&'a str>,
    if_none_match: Option<&'a str>,
    if_modified_since: Option<&'a str>,
    get: Outcome,
    put: Outcome,
}

#[test]
fn the_order_of_13_2_2() {
    use Outcome::{NotModified, PreconditionFailed, Proceed};
    let own = tag();
    let own = Some(own.as_str());
    let other = Some("\"other\"");
    let case = |if_match, if_unmodified_since, if_none_match, if_modified_since, get, put| Case {
        if_match,
        if_unmodified_since,
        if_none_match,
        if_modified_since,
        get,
        put,
    };
    let table = [
        case(None, None, None, None, Proceed, Proceed),
        case(own, None, None, None, Proceed, Proceed),
        case(other, None, None, None, PreconditionFailed, PreconditionFailed),
        // If-Unmodified-Since counts only without If-Match.
        case(own, Some(BEFORE), None, None, Proceed, Proceed),
        case(None, Some(BEFORE), None, None, PreconditionFailed, PreconditionFailed),
        case(None, Some(SAME), None, None, Proceed, Proceed),
        case(None, Some(AFTER), None, None, Proceed, Proceed),
        case(None, Some("soon"), None, None, Proceed, Proceed),
        case(None, None, own, None, NotModified, PreconditionFailed),
        case(None, None, Some("*"), None, NotModified, PreconditionFailed),
        case(None, None, other, None, Proceed, Proceed),
        // If-Modified-Since counts only without If-None-Match, and only for GET and HEAD.
        case(None, None, other, Some(SAME), Proceed, Proceed),
        case(None, None, None, Some(SAME), NotModified, Proceed),
        case(None, None, None, Some(AFTER), NotModified, Proceed),
        case(None, None, None, Some(BEFORE), Proceed, Proceed),
        case(None, None, None, Some("Sunday, 06-Nov-94 08:49:37 GMT"), NotModified, Proceed),
        case(None, None, None, Some("Sun Nov  6 08:49:37 1994"), NotModified, Proceed),
        case(None, None, None, Some("784111777"), Proceed, Proceed),
        // The preconditions come before the validators of the client's copy.
        case(other, None, own, None, PreconditionFailed, PreconditionFailed),
        case(own, None, own, None, NotModified, PreconditionFailed),
        case(None, Some(BEFORE), None, Some(SAME), PreconditionFailed, PreconditionFailed),
    ];
    for (index, case) in table.iter().enumerate() {
        let conditions = Conditions {
            if_match: case.if_match.map(str::as_bytes),
            if_none_match: case.if_none_match.map(str::as_bytes),
            if_modified_since: case.if_modified_since.map(str::as_bytes),
            if_unmodified_since: case.if_unmodified_since.map(str::as_bytes),
        };
        for (method, outcome) in [(Method::GET, case.get), (Method::HEAD, case.get), (Method::PUT, case.put)]
        {
            assert_eq!(conditions.evaluate(&method, &validators()), outcome, "case {index}, {method}");
        }
    }
}

#[test]
fn without_a_modification_time_dates_are_ignored() {
    let validators = Validators { modified_unix_seconds: None, ..validators() };
    let since = Conditions { if_modified_since: Some(SAME.as_bytes()), ..Conditions::default() };
    let unless = Conditions { if_unmodified_since: Some(BEFORE.as_bytes()), ..Conditions::default() };
    assert_eq!(since.evaluate(&Method::GET, &validators), Outcome::Proceed);
    assert_eq!(unless.evaluate(&Method::GET, &validators), Outcome::Proceed);
}

#[test]
fn last_modified_round_trips() {
    assert_eq!(last_modified(MODIFIED).as_deref(), Some(SAME));
    assert_eq!(http_date_seconds(SAME.as_bytes()), Some(MODIFIED));
    assert_eq!(last_modified(253_402_300_800), None);
    assert!(last_modified(253_402_300_799).is_some());
}
