//! Builders and headers of responses.

use super::*;

const fn assert_send<T: Send>() {}
const _: () = assert_send::<Response>();

#[test]
fn builders_set_status_type_and_body() {
    let cases = [
        (Response::text("a"), 200, Some(TEXT)),
        (Response::html("a"), 200, Some(HTML)),
        (Response::bytes("a"), 200, Some(OCTETS)),
        (Response::json("a"), 200, Some(JSON)),
        (Response::new(StatusCode::GONE), 410, None),
        (Response::redirect("/x"), 303, None),
        (Response::stream("a/b", |_| Ok(())), 200, Some("a/b")),
    ];
    for (response, status, content_type) in cases {
        assert_eq!((response.status().as_u16(), response.header("Content-Type")), (status, content_type));
    }
    assert_eq!(Response::json(&[1, 2]).body().as_bytes(), Some(&b"[1,2]"[..]));
    assert_eq!(Response::redirect("/x").header("location"), Some("/x"));
}

#[test]
fn a_plain_response_has_no_header_list() {
    let parts = Response::text("Hello").into_parts();
    assert_eq!((parts.content_type, parts.headers.capacity()), (Some(TEXT), 0));
    assert!(matches!(parts.body, Body::Static(b"Hello")));
}

#[test]
fn set_replaces_and_append_adds() {
    let mut response = Response::text("").with_header("x-a", "1").with_header("X-A", "2");
    response.append_header("x-a", "3");
    response.append_header("x-b", "4");
    let values: Vec<_> = response.headers().get_all("x-a").iter().cloned().collect();
    assert_eq!(values, ["2", "3"]);
    assert_eq!(response.header("X-A"), Some("2"));
    response.remove_header(&HeaderName::from_static("x-a"));
    assert_eq!((response.header("x-a"), response.header("x-b")), (None, Some("4")));
}

#[test]
fn there_is_one_content_type() {
    let mut response = Response::text("a").with_header("content-type", "a/b");
    assert_eq!(response.header("content-type"), Some("a/b"));
    response.append_header(CONTENT_TYPE, "c/d");
    assert_eq!(response.headers().get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["c/d"]);
    response.remove_header(&CONTENT_TYPE);
    assert_eq!(response.header("content-type"), None);
    let mut inline = Response::text("a");
    inline.remove_header(&CONTENT_TYPE);
    assert_eq!(inline.into_parts().content_type, None);
}

#[test]
fn what_cannot_be_sent_is_a_500_for_good() {
    let split = "a\r\nSet-Cookie: x=1";
    let mut cases = vec![
        Response::text("secret").with_header("x-a", split),
        Response::text("secret").with_header("bad name", "v"),
        Response::redirect(split),
    ];
    let mut appended = Response::text("secret");
    appended.append_header("x-a", split);
    cases.push(appended);
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    cases.push(Response::json(&Fails));
    for response in cases {
        let response = response.with_status(StatusCode::CREATED).with_body("other");
        assert_eq!(response.status(), 500);
        assert_eq!(response.body().as_bytes(), Some(&b"Internal Server Error"[..]));
        assert_eq!(response.header("x-a"), None);
    }
}

#[test]
fn http_responses_convert_both_ways() {
    let source = http::Response::builder()
        .status(201)
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("content-type", "a/b")
        .body("made")
        .unwrap();
    let response = Response::from(source);
    assert_eq!((response.status().as_u16(), response.header("content-type")), (201, Some("a/b")));
    let back = http::Response::<Body>::from(response);
    assert_eq!(back.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(back.body().as_bytes(), Some(&b"made"[..]));
    let inline = http::Response::<Body>::from(Response::text("x"));
    assert_eq!(inline.headers()[CONTENT_TYPE], TEXT);
}
