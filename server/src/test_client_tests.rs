//! The test client refuses and reads what the server would.

use std::io::Write;

use super::*;

#[test]
fn a_request_is_decoded_as_in_the_server() {
    let client =
        TestClient::new(Router::new().any("/", |headers: HeaderMap| format!("{:?}", headers.get("host"))));
    assert_eq!(client.get("/").send().text(), r#"Some("localhost")"#);
    assert_eq!(client.get("/").header("Host", "a").send().text(), r#"Some("a")"#);
    for (name, value, status) in
        [("X-A", "a\rb", 400), ("bad name", "v", 400), ("Content-Length", "+1", 400), ("Host", "a b", 400)]
    {
        assert_eq!(client.get("/").header(name, value).send().status(), status, "{name}: {value:?}");
    }
    assert_eq!(client.get("no-slash").send().status(), 400);
}

#[test]
fn a_failed_stream_keeps_what_it_wrote() {
    fn handler() -> Response {
        Response::stream("text/plain", |out| {
            out.write_all(b"part")?;
            Err(io::ErrorKind::TimedOut.into())
        })
    }
    let response = TestClient::new(Router::new().get("/", handler)).get("/").send();
    assert_eq!(response.text(), "part");
    assert_eq!(response.body_error().map(io::Error::kind), Some(io::ErrorKind::TimedOut));
}

#[test]
fn responses_are_read_as_json() {
    let client = TestClient::new(Router::new().get("/", || crate::Json([1, 2])));
    assert_eq!(client.get("/").send().json::<Vec<u8>>(), [1, 2]);
    assert_eq!(client.get("/").send().headers().len(), 1);
}

#[test]
#[should_panic(expected = "the router cannot be built: the route \"a\" is invalid: a pattern begins with /")]
fn a_router_that_cannot_be_built_is_named() {
    TestClient::new(Router::new().get("a", || ""));
}
