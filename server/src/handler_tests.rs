//! The shapes of functions that are handlers.

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderMap, Method, StatusCode};

use super::*;
use crate::extract::{Path, State};
use crate::router::Router;
use crate::test_client::TestClient;

fn text<M>(handler: impl Handler<M>) -> String {
    TestClient::new(Router::new().any("/{x}", handler)).get("/7").send().text().to_owned()
}

#[test]
fn functions_of_the_context() {
    fn concrete(ctx: &mut Context) -> Response {
        ctx.text("concrete")
    }
    fn opaque(ctx: &mut Context) -> impl IntoResponse {
        format!("opaque {}", ctx.param("x").unwrap())
    }
    fn result(ctx: &mut Context) -> Result<impl IntoResponse, StatusCode> {
        ctx.param("y").map(str::to_owned).ok_or(StatusCode::GONE)
    }
    assert_eq!(text(concrete), "concrete");
    assert_eq!(text(opaque), "opaque 7");
    assert_eq!(text(|ctx: &mut Context| ctx.text("closure")), "closure");
    assert_eq!(TestClient::new(Router::new().get("/", result)).get("/").send().status(), 410);
}

#[test]
fn functions_of_extractors_up_to_eight() {
    type M = Method;
    #[allow(clippy::too_many_arguments, reason = "eight is the bound")]
    fn eight(a: M, b: M, c: M, d: M, e: M, f: M, g: M, Path(x): Path<u8>) -> String {
        format!("{} {x}", [a, b, c, d, e, f, g].iter().all(|method| method == M::GET))
    }
    assert_eq!(text(|| "none"), "none");
    assert_eq!(text(|Path(x): Path<u8>| (x + 1).to_string()), "8");
    assert_eq!(text(|method: M, headers: HeaderMap| format!("{method} {}", headers.len())), "GET 1");
    assert_eq!(text(eight), "true 7");
}

#[test]
fn handlers_may_hold_what_is_not_send() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let client =
        TestClient::new(Router::new().get("/{x}", move |Path(x): Path<String>| log.borrow_mut().push(x)));
    client.get("/a").send();
    client.get("/b").send();
    assert_eq!(*seen.borrow(), ["a", "b"]);
}

#[test]
fn the_first_extractor_that_refuses_answers() {
    fn handler(_: Path<u8>, State(_): State<u64>, _: String) -> &'static str {
        unreachable!("an extractor refuses")
    }
    let client = TestClient::new(Router::new().get("/{x}", handler));
    assert_eq!(client.get("/x").send().status(), 400);
    assert_eq!(client.get("/1").send().status(), 500);
}
