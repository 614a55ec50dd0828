//! What a handler reads from its context and leaves in it.

use serde::Deserialize;

use super::*;
use crate::middleware::Next;
use crate::router::Router;
use crate::test_client::TestClient;

#[test]
fn query_values_are_decoded() {
    fn handler(ctx: &mut Context) -> String {
        let names = ["a", "b c", "d", "e", "", "é"];
        names.map(|name| format!("{:?}", ctx.query_value(name).as_deref())).join(" ")
    }
    let client = TestClient::new(Router::new().get("/", handler));
    let text = |target: &str| client.get(target).send().text().to_owned();
    assert_eq!(text("/"), "None None None None None None");
    assert_eq!(
        text("/?a=1&a=2&b+c=x+y%2B&d&e=%ff&&%C3%A9=%3D"),
        r#"Some("1") Some("x y+") Some("") Some("�") None Some("=")"#
    );
}

#[test]
fn a_query_is_typed() {
    #[derive(Deserialize)]
    struct Page {
        number: u32,
        tag: Option<String>,
    }
    fn handler(ctx: &mut Context) -> Result<String, Rejection> {
        let page: Page = ctx.query()?;
        Ok(format!("{} {:?}", page.number, page.tag))
    }
    let client = TestClient::new(Router::new().get("/", handler));
    assert_eq!(client.get("/?number=3&tag=a%26b").send().text(), r#"3 Some("a&b")"#);
    for bad in ["/", "/?number=x", "/?number=-1", "/?number=1&number=2"] {
        assert_eq!(client.get(bad).send().status(), 400, "{bad}");
    }
}

#[test]
fn params_are_parsed_or_refused() {
    fn handler(ctx: &mut Context) -> Result<String, Rejection> {
        Ok(format!("{} {:?}", ctx.parse_param::<u8>("n")?, ctx.param("n")))
    }
    fn other(ctx: &mut Context) -> Result<String, Rejection> {
        ctx.parse_param("missing")
    }
    let client = TestClient::new(Router::new().get("/{n}", handler).get("/other/{n}", other));
    assert_eq!(client.get("/%37").send().text(), r#"7 Some("7")"#);
    assert_eq!(client.get("/256").send().status(), 400);
    assert_eq!(client.get("/%FF").send().status(), 400);
    let response = client.get("/other/1").send();
    assert_eq!((response.status().as_u16(), response.text()), (500, "Internal Server Error"));
}

#[test]
fn headers_of_the_context_win_and_accumulate() {
    fn layer(ctx: &mut Context, next: Next<'_>) -> Response {
        ctx.set_header("x-layer", "before");
        let response = next.run(ctx);
        assert_eq!(response.header("x-handler"), Some("set"), "merged before the layer sees the response");
        ctx.append_header("set-cookie", "b=2");
        response
    }
    fn handler(ctx: &mut Context) -> Response {
        ctx.set_header("X-Handler", "set");
        ctx.append_header("set-cookie", "a=1");
        ctx.set_header("content-type", "application/xml");
        ctx.text("<a/>").with_header("x-handler", "overwritten")
    }
    let response = TestClient::new(Router::new().get("/", handler).layer(layer)).get("/").send();
    assert_eq!(response.header("content-type"), Some("application/xml"));
    assert_eq!(response.headers().get_all("content-type").iter().count(), 1);
    assert_eq!(response.header("x-layer"), Some("before"));
    assert_eq!(response.headers().get_all("x-handler").iter().collect::<Vec<_>>(), ["set"]);
    assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[test]
fn a_header_of_the_context_that_cannot_be_sent_is_a_500() {
    fn handler(ctx: &mut Context) -> &'static str {
        let name = ctx.query_value("name").unwrap_or_default().into_owned();
        ctx.set_header("x-name", &name);
        "fine"
    }
    let client = TestClient::new(Router::new().get("/", handler));
    assert_eq!(client.get("/?name=ada").send().header("x-name"), Some("ada"));
    let split = client.get("/?name=a%0D%0Ab:c").send();
    assert_eq!(
        (split.status().as_u16(), split.header("b"), split.text()),
        (500, None, "Internal Server Error")
    );
}

#[test]
fn the_body_limit_is_the_contexts() {
    fn layer(ctx: &mut Context, next: Next<'_>) -> Response {
        assert_eq!(ctx.body_bytes_max(), BODY_BYTES_MAX);
        ctx.set_body_bytes_max(4);
        next.run(ctx)
    }
    fn handler(ctx: &mut Context) -> Result<Bytes, BodyError> {
        ctx.body_bytes()
    }
    let client = TestClient::new(Router::new().post("/", handler).layer(layer));
    assert_eq!(client.post("/").body("1234").send().text(), "1234");
    assert_eq!(client.post("/").body("12345").send().status(), 413);
    assert_eq!(client.post("/").body_stream(&b"1234"[..]).send().text(), "1234");
    assert_eq!(client.post("/").body_stream(&b"12345"[..]).send().status(), 413);
}

#[test]
fn a_layer_can_read_the_body_and_put_it_back() {
    fn layer(ctx: &mut Context, next: Next<'_>) -> Response {
        let body = ctx.body_bytes().unwrap();
        let count = body.len();
        *ctx.body() = RequestBody::from(body);
        next.run(ctx).with_header("x-count", count)
    }
    let router = Router::new().post("/", |body: String| body).layer(layer);
    let response = TestClient::new(router).post("/").body("abc").send();
    assert_eq!((response.text(), response.header("x-count")), ("abc", Some("3")));
}

#[test]
fn the_context_names_its_route_and_handler() {
    fn named(ctx: &mut Context) -> String {
        format!("{:?} {}", ctx.route(), ctx.handler_name())
    }
    let client = TestClient::new(Router::new().nest("/a", Router::new().get("/{x}", named)).fallback(named));
    assert!(client.get("/a/1").send().text().starts_with(r#"Some("/a/{x}") sws::context::tests::"#));
    let missed = client.get("/b").send();
    assert!(
        missed.text().starts_with("None sws::") && missed.text().ends_with("::named"),
        "{}",
        missed.text()
    );
}

#[test]
fn a_state_that_is_not_there() {
    fn handler(ctx: &mut Context) -> String {
        format!("{:?} {:?} {}", ctx.try_state::<u8>(), ctx.try_state::<u16>(), ctx.state::<u8>())
    }
    let client = TestClient::new(Router::new().get("/", handler).with_state(1u8).with_state(2u8));
    assert_eq!(client.get("/").send().text(), "Some(2) None 2");
}

#[test]
#[should_panic(expected = "no router has a state of type u8")]
fn a_missing_state_is_named() {
    fn handler(ctx: &mut Context) -> String {
        ctx.state::<u8>().to_string()
    }
    TestClient::new(Router::new().get("/", handler)).get("/").send();
}
