//! Readers of a request, and the parameters of its route.

use super::*;
use crate::http1::{Decoded, HeadLimits, decode};

fn request(bytes: &str) -> Request {
    let bytes = bytes.as_bytes().to_vec();
    let mut head = Box::<Head>::default();
    assert_eq!(decode(&bytes, &HeadLimits::default(), &mut head), Decoded::Complete);
    Request::new(head, RequestBytes::Owned(bytes), RequestBody::empty(), Peer::Unknown)
}

#[test]
fn readers_give_what_was_sent() {
    let request = request("PUT /a%20b/?x=1&y HTTP/1.0\r\nhost: h\r\nX-A: 1\r\nx-a: 2\r\n\r\n");
    assert_eq!((request.method(), request.version()), (&Method::PUT, Version::HTTP_10));
    assert_eq!((request.path(), request.query()), ("/a%20b/", Some("x=1&y")));
    assert_eq!(request.uri().unwrap(), "/a%20b/?x=1&y");
    assert_eq!((request.header("X-a"), request.header("x-b")), (Some("1"), None));
    let headers = request.headers();
    assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(request.header_list().next(), Some(("host", &b"h"[..])));
    assert_eq!(request.remote_addr(), None);
}

#[test]
fn a_header_that_is_not_text_is_there_as_bytes() {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX-A: ".to_vec();
    bytes.extend_from_slice(b"\xff\r\n\r\n");
    let mut head = Box::<Head>::default();
    assert_eq!(decode(&bytes, &HeadLimits::default(), &mut head), Decoded::Complete);
    let request = Request::new(head, RequestBytes::Owned(bytes), RequestBody::empty(), Peer::Unknown);
    assert_eq!((request.header("x-a"), request.header_bytes("x-a")), (None, Some(&b"\xff"[..])));
    assert_eq!(request.headers()["x-a"].as_bytes(), b"\xff");
}

fn params(pattern: &str, names: &[&str], path: &str) -> Params {
    let mut tree = matchit::Router::new();
    tree.insert(pattern, ()).unwrap();
    let names: Rc<[Box<str>]> = names.iter().map(|&name| name.into()).collect();
    Params::new(&names, &tree.at(path).unwrap().params, path)
}

#[test]
fn params_are_ranges_of_the_path() {
    let path = "/a/x1/b/y-2";
    let params = params("/a/{x}/b/{y}", &["x", "y"], path);
    assert_eq!((params.len(), params.decoded.is_none()), (2, true));
    assert_eq!(params.position("y"), Some(1));
    assert_eq!(params.position("z"), None);
    assert_eq!((params.value(0, path), params.value(1, path)), (Ok("x1"), Ok("y-2")));
}

#[test]
fn params_are_decoded_once_after_the_split() {
    let path = "/a%2Fb/%2525/%C3%A9/%FF";
    let params = params("/{a}/{b}/{c}/{d}", &["a", "b", "c", "d"], path);
    let values: Vec<_> = (0..4).map(|index| params.value(index, path)).collect();
    assert_eq!(values, [Ok("a/b"), Ok("%25"), Ok("é"), Err(NotUtf8)]);
}

#[test]
fn as_many_params_as_the_bound_allows() {
    let path = "/1/2/3/4/5/6/7/8";
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let params = params("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", &names, path);
    assert_eq!(params.len(), PARAMS_MAX);
    assert_eq!(params.value(PARAMS_MAX - 1, path), Ok("8"));
}
