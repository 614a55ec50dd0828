//! Matching, automatic answers, nesting, layers, states, and the routers that are refused.

use http::Method;

use super::*;
use crate::extract::{Path, State};
use crate::test_client::TestClient;

fn text(client: &TestClient, method: Method, target: &str) -> String {
    let response = client.request(method, target).send();
    format!("{} {}", response.status().as_u16(), response.text())
}

fn get_text(client: &TestClient, target: &str) -> String {
    text(client, Method::GET, target)
}

#[test]
fn literals_win_over_parameters_and_these_over_the_rest() {
    let client = TestClient::new(
        Router::new()
            .get("/{*rest}", |Path(rest): Path<String>| format!("rest {rest}"))
            .get("/users/{id}", |Path(id): Path<String>| format!("id {id}"))
            .get("/users/me", || "me")
            .get("/v{major}/x", |Path(major): Path<u8>| format!("major {major}"))
            .get("/{{x}}", || "braces"),
    );
    for (target, expected) in [
        ("/users/me", "200 me"),
        ("/users/you", "200 id you"),
        ("/users/a%2Fb", "200 id a/b"),
        ("/users/me/x", "200 rest users/me/x"),
        ("/users/", "200 rest users/"),
        ("/v2/x", "200 major 2"),
        ("/v2/y", "200 rest v2/y"),
        ("/{x}", "200 braces"),
        ("/a/../b", "200 rest a/../b"),
        ("/", "404 Not Found"),
    ] {
        if target.contains('{') {
            continue;
        }
        assert_eq!(get_text(&client, target), expected, "{target}");
    }
}

#[test]
fn a_trailing_slash_is_another_path() {
    let client = TestClient::new(Router::new().get("/a", || "a").get("/b/", || "b"));
    for (target, expected) in [
        ("/a", "200 a"),
        ("/a/", "404 Not Found"),
        ("/b", "404 Not Found"),
        ("/b/", "200 b"),
        ("/A", "404 Not Found"),
    ] {
        assert_eq!(get_text(&client, target), expected, "{target}");
    }
}

#[test]
fn methods_and_their_automatic_answers() {
    let purge = Method::from_bytes(b"PURGE").unwrap();
    let client = TestClient::new(
        Router::new()
            .route("/all", get(|| "get").post(|| "post").on(purge.clone(), || "purge"))
            .put("/all", || "put")
            .head("/head", || ([("x-head", "own")], ""))
            .get("/head", || "get")
            .options("/options", || "own")
            .any("/any", |method: Method| method.to_string())
            .get("/any", || "get"),
    );
    for (method, target, expected) in [
        (Method::GET, "/all", "200 get"),
        (Method::POST, "/all", "200 post"),
        (Method::PUT, "/all", "200 put"),
        (purge.clone(), "/all", "200 purge"),
        (Method::DELETE, "/all", "405 Method Not Allowed"),
        (Method::OPTIONS, "/all", "204 "),
        (Method::OPTIONS, "/options", "200 own"),
        (Method::GET, "/options", "405 Method Not Allowed"),
        (Method::GET, "/any", "200 get"),
        (Method::PATCH, "/any", "200 PATCH"),
        (Method::OPTIONS, "/any", "200 OPTIONS"),
        (purge, "/any", "200 PURGE"),
        (Method::OPTIONS, "/nothing", "404 Not Found"),
    ] {
        assert_eq!(text(&client, method.clone(), target), expected, "{method} {target}");
    }
    let allow = "GET, HEAD, POST, PUT, OPTIONS, PURGE";
    assert_eq!(client.options("/all").send().header("allow"), Some(allow));
    assert_eq!(client.delete("/all").send().header("allow"), Some(allow));
    assert_eq!(client.get("/options").send().header("allow"), Some("OPTIONS"));
    assert_eq!(client.head("/head").send().header("x-head"), Some("own"));
    let from_get = client.head("/all").send();
    assert_eq!((from_get.status().as_u16(), from_get.bytes()), (200, &b""[..]));
    assert_eq!(from_get.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn options_of_the_server() {
    let client = TestClient::new(Router::new().get("/a", || "a").delete("/b", || "b"));
    let response = client.options("*").send();
    assert_eq!(response.status(), 204);
    assert_eq!(response.header("allow"), Some("GET, HEAD, DELETE, OPTIONS"));
}

#[test]
fn prefixes_are_joined() {
    fn inner() -> Router {
        Router::new()
            .get("/", || "root")
            .get("/x/", || "x")
            .nest("/deep", Router::new().get("/{id}", |Path(ids): Path<Vec<u8>>| format!("{ids:?}")))
    }
    let client = TestClient::new(
        Router::new().nest("/a", inner()).nest("/b/", inner()).nest("/c/{n}", inner()).nest("/", inner()),
    );
    for (target, expected) in [
        ("/a", "200 root"),
        ("/a/", "404 Not Found"),
        ("/b", "404 Not Found"),
        ("/b/", "200 root"),
        ("/a/x/", "200 x"),
        ("/b/x/", "200 x"),
        ("/a/deep/7", "200 [7]"),
        ("/c/1", "200 root"),
        ("/c/1/deep/7", "200 [1, 7]"),
        ("/", "200 root"),
        ("/x/", "200 x"),
        ("/deep/3", "200 [3]"),
    ] {
        assert_eq!(get_text(&client, target), expected, "{target}");
    }
}

#[test]
fn the_nearest_fallback_answers() {
    fn says(text: &'static str) -> impl Fn() -> &'static str {
        move || text
    }
    let client = TestClient::new(
        Router::new()
            .fallback(says("outer"))
            .get("/api/real", says("real"))
            .nest("/api", Router::new().get("/x", says("x")).fallback(says("api")))
            .nest("/api/v2", Router::new().fallback(says("v2")))
            .nest("/t/{tenant}", Router::new().fallback(says("tenant")))
            .nest("/plain", Router::new().get("/x", says("x"))),
    );
    for (target, expected) in [
        ("/", "outer"),
        ("/ap", "outer"),
        ("/apix", "outer"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/y", "api"),
        ("/api/real", "real"),
        ("/api/v2", "v2"),
        ("/api/v2/x/y", "v2"),
        ("/api/v22", "api"),
        ("/t", "outer"),
        ("/t/7/x", "tenant"),
        ("/plain/y", "outer"),
    ] {
        assert_eq!(get_text(&client, target), format!("200 {expected}"), "{target}");
    }
    assert_eq!(
        text(&client, Method::POST, "/api/x"),
        "405 Method Not Allowed",
        "a 405 is not the fallback's"
    );
}

/// A layer that writes its name around the response.
fn mark(name: &'static str) -> impl Fn(&mut Context, Next<'_>) -> Response {
    move |ctx, next| {
        let trace = ctx.extensions_mut().remove::<String>().unwrap_or_default();
        ctx.extensions_mut().insert(trace + name);
        let mut response = next.run(ctx);
        response.append_header("x-after", name);
        response
    }
}

/// What the layers wrote before and after.
fn trace(client: &TestClient, method: Method, target: &str) -> (String, String) {
    let response = client.request(method, target).send();
    let after: Vec<_> =
        response.headers().get_all("x-after").iter().map(|value| value.to_str().unwrap()).collect();
    (response.text().to_owned(), after.concat())
}

#[test]
fn layers_wrap_in_order_and_are_inherited() {
    fn before(ctx: &mut Context) -> String {
        ctx.extensions().get::<String>().cloned().unwrap_or_default()
    }
    let client = TestClient::new(
        Router::new()
            .layer(mark("a"))
            .get("/x", before)
            .layer(mark("b"))
            .nest("/in", Router::new().get("/x", before).layer(mark("c")))
            .merge(Router::new().get("/merged", before).layer(mark("d")))
            .nest("/own", Router::new().fallback(before).layer(mark("e"))),
    );
    for (target, expected, after) in [
        ("/x", "ab", "ba"),
        ("/in/x", "abc", "cba"),
        ("/merged", "abd", "dba"),
        ("/own/nothing", "abe", "eba"),
        ("/nothing", "Not Found", "ba"),
        ("/in/nothing", "Not Found", "cba"),
    ] {
        assert_eq!(trace(&client, Method::GET, target), (expected.into(), after.into()), "{target}");
    }
    assert_eq!(trace(&client, Method::POST, "/in/x").1, "cba", "405 passes the layers");
    assert_eq!(trace(&client, Method::OPTIONS, "/in/x").1, "cba", "so does the automatic OPTIONS");
    assert_eq!(trace(&client, Method::OPTIONS, "*").1, "ba", "and that of the server");
}

#[test]
fn a_layer_may_answer_by_itself() {
    fn handler() -> &'static str {
        unreachable!("the layer answers")
    }
    let router = Router::new().get("/", handler).layer(|_, _| Response::text("layer"));
    assert_eq!(get_text(&TestClient::new(router), "/"), "200 layer");
}

#[test]
fn a_merged_fallback_serves_both_and_keeps_its_layers() {
    fn handler(ctx: &mut Context) -> String {
        format!("{:?} {:?}", ctx.extensions().get::<String>(), ctx.try_state::<u8>())
    }
    let merged = Router::new().fallback(handler).layer(mark("m")).with_state(1u8);
    let router = Router::new().merge(merged).layer(mark("o")).nest("/in", Router::new().get("/x", || "x"));
    let client = TestClient::new(router.with_state(2u8));
    assert_eq!(trace(&client, Method::GET, "/no"), (r#"Some("om") Some(1)"#.into(), "mo".into()));
    assert_eq!(trace(&client, Method::GET, "/in/no").1, "mo");
}

#[test]
fn states_are_inherited_and_replaced() {
    fn handler(State(name): State<&'static str>, State(number): State<u8>) -> String {
        format!("{name} {number}")
    }
    let inner = Router::new().get("/x", handler).with_state("inner");
    let client = TestClient::new(
        Router::new()
            .nest("/in", inner)
            .get("/x", handler)
            .with_state("outer")
            .with_state(7u8)
            .fallback(handler),
    );
    assert_eq!(get_text(&client, "/in/x"), "200 inner 7");
    assert_eq!(get_text(&client, "/x"), "200 outer 7");
    assert_eq!(get_text(&client, "/in/no"), "200 outer 7", "a fallback sees the states of its own router");
}

fn error(router: Router) -> RouteError {
    router.build().expect_err("the router is refused")
}

#[test]
fn conflicts_are_refused_and_name_both_routes() {
    let conflict = |route: &str, with: &str| RouteError::Conflict { route: route.into(), with: with.into() };
    let router = Router::new().get("/a/{x}", || "").nest("/a", Router::new().post("/{y}", || ""));
    assert_eq!(error(router), conflict("/a/{y}", "/a/{x}"));
    let router = Router::new().get("/{*a}", || "").merge(Router::new().get("/{*b}", || ""));
    assert_eq!(error(router), conflict("/{*b}", "/{*a}"));
    let message = conflict("/a/{y}", "/a/{x}").to_string();
    assert_eq!(message, "the route /a/{y} conflicts with the route /a/{x}");
}

#[test]
fn a_method_is_answered_once() {
    let twice = |method| RouteError::Duplicate { route: "/a/x".into(), method };
    let inner = || Router::new().get("/x", || "");
    assert_eq!(error(Router::new().get("/a/x", || "").nest("/a", inner())), twice(Some(Method::GET)));
    assert_eq!(error(Router::new().nest("/a", inner()).nest("/a", inner())), twice(Some(Method::GET)));
    assert_eq!(error(Router::new().any("/a/x", || "").any("/a/x", || "")), twice(None));
    assert!(Router::new().any("/a/x", || "").nest("/a", inner()).build().is_ok());
}

#[test]
fn there_is_one_fallback_per_prefix() {
    let with_fallback = || Router::new().fallback(|| "");
    let two = |prefix: &str| RouteError::TwoFallbacks { prefix: prefix.into() };
    assert_eq!(error(with_fallback().merge(with_fallback())), two(""));
    assert_eq!(error(with_fallback().fallback(|| "")), two(""));
    assert_eq!(error(Router::new().nest("/a", with_fallback()).nest("/a", with_fallback())), two("/a"));
    let either_order = [
        Router::new().nest("/a", with_fallback()).nest("/a", Router::new()),
        Router::new().nest("/a", Router::new()).nest("/a", with_fallback()),
    ];
    for router in either_order {
        assert_eq!(get_text(&TestClient::new(router), "/a/no"), "200 ");
    }
}

#[test]
fn patterns_that_are_none_are_refused() {
    for pattern in [
        "", "a", "*", "/{a}/{a}", "/{", "/{}", "/{a", "/{a}{b}", "/{*a}/b", "/{a}}", "/{a}}}", "/{a{b}",
        "/{**a}", "/{a/b}",
    ] {
        let error = error(Router::new().get(pattern, || ""));
        assert!(
            matches!(&error, RouteError::Invalid { route, .. } if route == pattern),
            "{pattern}: {error}"
        );
    }
    for prefix in ["", "a", "/{*a}"] {
        let error = error(Router::new().nest(prefix, Router::new()));
        assert!(matches!(&error, RouteError::Invalid { route, .. } if route == prefix), "{prefix}: {error}");
    }
    let many = |count: usize| (0..count).map(|n| format!("/{{p{n}}}")).collect::<String>();
    assert!(Router::new().get(&many(8), || "").build().is_ok());
    assert_eq!(error(Router::new().get(&many(9), || "")), RouteError::TooManyParams { route: many(9) });
}
