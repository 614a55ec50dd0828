//! Each extractor, and the answer to each request that it refuses.

use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use super::*;
use crate::body::BodyError;
use crate::router::Router;
use crate::test_client::{TestClient, TestRequest};

fn path_client() -> TestClient {
    #[derive(Deserialize, Debug)]
    struct Named {
        b: u8,
        a: String,
    }
    #[derive(Deserialize, Debug)]
    struct Id(u8);
    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Green,
    }
    #[derive(Deserialize)]
    struct Other {
        #[serde(rename = "z")]
        _z: u8,
    }
    TestClient::new(
        Router::new()
            .get("/tuple/{a}/{b}", |Path(v): Path<(String, u8)>| format!("{v:?}"))
            .get("/named/{a}/{b}", |Path(v): Path<Named>| format!("{} {}", v.a, v.b))
            .get("/map/{a}/{b}", |Path(v): Path<HashMap<String, String>>| format!("{} {}", v["a"], v["b"]))
            .get("/list/{a}/{b}", |Path(v): Path<Vec<i64>>| format!("{v:?}"))
            .get("/id/{a}", |Path(v): Path<Id>| format!("Id({})", v.0))
            .get("/ids/{a}/{b}", |Path(v): Path<(Id, Option<Id>)>| format!("{v:?}"))
            .get("/colour/{a}", |Path(v): Path<Colour>| format!("{v:?}"))
            .get("/char/{a}", |Path(v): Path<char>| format!("{v:?}"))
            .get("/bool/{a}", |Path(v): Path<(bool,)>| format!("{v:?}"))
            .get("/wrong/one/{a}/{b}", |Path(v): Path<u8>| format!("{v}"))
            .get("/wrong/three/{a}/{b}", |Path(v): Path<(u8, u8, u8)>| format!("{v:?}"))
            .get("/wrong/field/{a}/{b}", |Path(_): Path<Other>| "")
            .get("/wrong/nested/{a}", |Path(v): Path<((u8, u8),)>| format!("{v:?}"))
            .get("/wrong/none", |Path(v): Path<u8>| format!("{v}")),
    )
}

#[test]
fn paths_become_values() {
    let client = path_client();
    for (target, text) in [
        ("/tuple/a%2Fb/7", r#"("a/b", 7)"#),
        ("/named/x/7", "x 7"),
        ("/map/x/y", "x y"),
        ("/list/-1/2", "[-1, 2]"),
        ("/id/9", "Id(9)"),
        ("/ids/9/8", "(Id(9), Some(Id(8)))"),
        ("/colour/red", "Red"),
        ("/colour/green", "Green"),
        ("/char/%C3%A9", "'é'"),
        ("/bool/true", "(true,)"),
    ] {
        let response = client.get(target).send();
        assert_eq!((response.status().as_u16(), response.text()), (200, text), "{target}");
    }
}

#[test]
fn paths_that_do_not_fit_are_the_peers_fault() {
    let client = path_client();
    for target in [
        "/tuple/a/256",
        "/tuple/%FF/7",
        "/named/x/",
        "/id/x",
        "/ids/1/x",
        "/colour/blue",
        "/char/ab",
        "/bool/1",
    ] {
        let status = client.get(target).send().status();
        assert_eq!(status, if target == "/named/x/" { 404 } else { 400 }, "{target}");
    }
    assert_eq!(client.get("/tuple/a/x").send().text(), "the path parameter b is not a u8");
}

#[test]
fn types_that_no_path_of_the_route_gives_are_the_programs_fault() {
    let client = path_client();
    for target in ["/wrong/one/1/2", "/wrong/three/1/2", "/wrong/field/1/2", "/wrong/nested/1", "/wrong/none"]
    {
        let response = client.get(target).send();
        assert_eq!((response.status().as_u16(), response.text()), (500, "Internal Server Error"), "{target}");
    }
}

fn json_client() -> TestClient {
    #[derive(Deserialize)]
    struct Point {
        x: i32,
    }
    TestClient::new(Router::new().post("/", |Json(point): Json<Point>| point.x.to_string()))
}

fn post<'a>(client: &'a TestClient, content_type: &str) -> TestRequest<'a> {
    match content_type {
        "" => client.post("/"),
        _ => client.post("/").header("Content-Type", content_type),
    }
}

#[test]
fn json_has_its_media_types() {
    let client = json_client();
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/problem+json", 200),
        ("application/json ;x=y", 200),
        ("", 415),
        ("text/json", 415),
        ("application/jsonp", 415),
        ("application/json+xml", 415),
        ("application/x-www-form-urlencoded", 415),
        ("json", 415),
    ] {
        assert_eq!(
            post(&client, content_type).body(r#"{"x":1}"#).send().status(),
            status,
            "{content_type:?}"
        );
    }
}

#[test]
fn json_that_does_not_parse_or_fit() {
    let client = json_client();
    for (body, status) in [
        (r#"{"x":1}"#, 200),
        ("", 400),
        (r#"{"x":1"#, 400),
        (r#"{"x":1}}"#, 400),
        ("{x:1}", 400),
        ("\"\\u12\"", 400),
        ("{}", 422),
        (r#"{"x":"1"}"#, 422),
        ("[]", 422),
    ] {
        let response = post(&client, "application/json").body(body).send();
        assert_eq!(response.status(), status, "{body}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

#[test]
fn forms_have_their_media_type_and_fit() {
    #[derive(Deserialize)]
    struct Fields {
        a: u8,
    }
    const FORM: &str = "application/x-www-form-urlencoded";
    let client = TestClient::new(Router::new().post("/", |Form(fields): Form<Fields>| fields.a.to_string()));
    assert_eq!(post(&client, FORM).body("b=2&a=1").send().text(), "1");
    assert_eq!(post(&client, "application/X-WWW-form-urlencoded;a=b").body("a=1").send().status(), 200);
    assert_eq!(post(&client, FORM).body("a=x").send().status(), 422);
    assert_eq!(post(&client, FORM).body("").send().status(), 422);
    assert_eq!(post(&client, "application/json").body("a=1").send().status(), 415);
    assert_eq!(post(&client, "").body("a=1").send().status(), 415);
}

#[test]
fn bodies_are_refused_with_the_status_of_their_error() {
    struct Fails(BodyError);
    impl io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }
    let client = TestClient::new(
        Router::new().post("/text", |body: String| body).post("/bytes", |body: Bytes| body).layer(
            |ctx, next| {
                ctx.set_body_bytes_max(4);
                next.run(ctx)
            },
        ),
    );
    assert_eq!(client.post("/text").body("né").send().text(), "né");
    assert_eq!(client.post("/text").body(&b"\xff"[..]).send().status(), 400);
    assert_eq!(client.post("/bytes").body(&b"\xff"[..]).send().bytes(), b"\xff");
    for path in ["/text", "/bytes"] {
        assert_eq!(client.post(path).body("12345").send().status(), 413);
        for (error, status) in
            [(BodyError::Malformed, 400), (BodyError::TimedOut, 408), (BodyError::Cancelled, 503)]
        {
            assert_eq!(client.post(path).body_stream(Fails(error)).send().status(), status);
        }
    }
}

#[test]
fn refusals_can_be_handled() {
    fn optional(x: Option<Path<u8>>) -> String {
        format!("{:?}", x.map(|Path(x)| x))
    }
    fn result(x: Result<Path<u8>, Rejection>) -> String {
        format!("{:?}", x.map(|Path(x)| x).map_err(|rejection| rejection.status().as_u16()))
    }
    let client = TestClient::new(Router::new().get("/o/{x}", optional).get("/r/{x}", result));
    assert_eq!(client.get("/o/1").send().text(), "Some(1)");
    assert_eq!(client.get("/o/x").send().text(), "None");
    assert_eq!(client.get("/r/1").send().text(), "Ok(1)");
    assert_eq!(client.get("/r/x").send().text(), "Err(400)");
}

#[test]
fn parts_of_the_head() {
    fn handler(method: Method, version: Version, uri: Uri, headers: HeaderMap) -> String {
        format!("{method} {version:?} {uri} {:?}", headers.get("x-a"))
    }
    let client = TestClient::new(Router::new().any("/{*rest}", handler));
    let response = client.put("/a?b=c").header("X-A", "1").send();
    assert_eq!(response.text(), r#"PUT HTTP/1.1 /a?b=c Some("1")"#);
}

#[test]
fn an_address_or_a_state_that_is_not_there_is_a_500() {
    let router = Router::new()
        .get("/addr", |RemoteAddr(addr): RemoteAddr| addr.to_string())
        .get("/state", |State(state): State<u8>| state.to_string());
    let client = TestClient::new(router.with_state("not a u8"));
    assert_eq!(client.get("/addr").send().status(), 500);
    assert_eq!(client.get("/state").send().status(), 500);
}
