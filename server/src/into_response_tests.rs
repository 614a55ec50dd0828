//! The response to each value that a handler may return.

use std::collections::HashMap;

use super::*;

fn parts(value: impl IntoResponse) -> (u16, Option<String>, Vec<u8>) {
    let response = value.into_response();
    let content_type = response.header("content-type").map(str::to_owned);
    (response.status().as_u16(), content_type, response.body().as_bytes().unwrap().to_vec())
}

fn expected(status: u16, content_type: &str, body: &str) -> (u16, Option<String>, Vec<u8>) {
    (status, (!content_type.is_empty()).then(|| content_type.to_owned()), body.into())
}

const TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";

#[test]
fn plain_values() {
    assert_eq!(parts("a"), expected(200, TEXT, "a"));
    assert_eq!(parts(String::from("a")), expected(200, TEXT, "a"));
    assert_eq!(parts(Cow::Borrowed("a")), expected(200, TEXT, "a"));
    assert_eq!(parts(b"a"), expected(200, OCTETS, "a"));
    assert_eq!(parts(&b"a"[..]), expected(200, OCTETS, "a"));
    assert_eq!(parts(vec![b'a']), expected(200, OCTETS, "a"));
    assert_eq!(parts(Bytes::from_static(b"a")), expected(200, OCTETS, "a"));
    assert_eq!(parts(()), expected(200, "", ""));
    assert_eq!(parts(StatusCode::ACCEPTED), expected(202, "", ""));
    assert_eq!(parts(Html("a")), expected(200, "text/html; charset=utf-8", "a"));
    assert_eq!(parts(Json([1])), expected(200, "application/json", "[1]"));
    assert_eq!(parts(http::Response::new("a")), expected(200, "", "a"));
}

#[test]
fn tuples_add_status_and_headers() {
    assert_eq!(parts((StatusCode::CREATED, "a")), expected(201, TEXT, "a"));
    let response = ([("x-a", "1"), ("x-b", "2")], "a").into_response();
    assert_eq!((response.header("x-a"), response.header("x-b")), (Some("1"), Some("2")));
    let response = (StatusCode::CREATED, [("content-type", "a/b")], "a").into_response();
    assert_eq!((response.status().as_u16(), response.header("content-type")), (201, Some("a/b")));
    let dynamic = (StatusCode::OK, [(String::from("x-a"), String::from("v"))], ()).into_response();
    assert_eq!(dynamic.header("x-a"), Some("v"));
}

#[test]
fn what_cannot_be_sent_stays_a_500_inside_a_tuple() {
    let not_json = HashMap::from([((1, 2), 3)]);
    assert_eq!(parts((StatusCode::CREATED, Json(not_json))).0, 500);
    assert_eq!(parts((StatusCode::CREATED, [("x-a", "a\nb")], "a")).0, 500);
    assert_eq!(parts(Redirect::to("/\r\nx: y")).0, 500);
}

#[test]
fn options_and_results() {
    assert_eq!(parts(Some("a")), expected(200, TEXT, "a"));
    assert_eq!(parts(None::<&str>), expected(404, TEXT, "Not Found"));
    assert_eq!(parts(Ok::<_, StatusCode>("a")), expected(200, TEXT, "a"));
    assert_eq!(parts(Err::<&str, _>((StatusCode::CONFLICT, "b"))), expected(409, TEXT, "b"));
}

#[test]
fn an_io_error_does_not_tell_the_peer_why() {
    let error = io::Error::new(io::ErrorKind::NotFound, "/etc/secret");
    assert_eq!(parts(error), expected(500, TEXT, "Internal Server Error"));
    assert_eq!(parts(io::Error::from(BodyError::TimedOut)).0, 408);
}

#[test]
fn redirects_have_their_statuses() {
    for (redirect, status) in [
        (Redirect::to("/x"), 303),
        (Redirect::temporary("/x"), 307),
        (Redirect::permanent(String::from("/x")), 308),
    ] {
        let response = redirect.into_response();
        assert_eq!((response.status().as_u16(), response.header("location")), (status, Some("/x")));
    }
}

#[test]
fn errors_of_the_log_are_what_its_routes_answer() {
    let parts = |value: Response| {
        let header = |name| value.header(name).map(str::to_owned);
        (value.status().as_u16(), header("retry-after"), header("content-type"))
    };
    let wanted = |status, after: Option<&str>| {
        (status, after.map(str::to_owned), Some("application/problem+json".to_owned()))
    };
    let retry_after = std::time::Duration::from_millis(1200);
    let produce = [
        (ProduceError::UnknownTopic, wanted(404, None)),
        (ProduceError::Overloaded { retry_after }, wanted(429, Some("2"))),
        (ProduceError::StorageFull, wanted(507, None)),
        (ProduceError::Cancelled, wanted(503, Some("1"))),
    ];
    for (error, answer) in produce {
        assert_eq!(parts(Err::<(), _>(error.clone()).into_response()), answer, "{error:?}");
    }
    let fetch = [
        (FetchError::UnknownPartition, wanted(404, None)),
        (FetchError::OutOfRange { low: 1, high: 2 }, wanted(416, None)),
        (FetchError::Closed, wanted(503, Some("1"))),
    ];
    for (error, answer) in fetch {
        assert_eq!(parts(error.clone().into_response()), answer, "{error:?}");
    }
    for (error, answer) in [(TopicError::Exists, wanted(409, None)), (TopicError::Name, wanted(400, None))] {
        assert_eq!(parts(error.clone().into_response()), answer, "{error:?}");
    }
}
