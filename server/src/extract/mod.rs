//! Extractors: typed arguments of handlers, each made from the request.

mod form;
mod json;
mod path;
mod path_de;
mod query;
mod rejection;

use std::any::type_name;
use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};

pub use self::form::Form;
pub use self::json::Json;
pub use self::path::Path;
pub use self::query::Query;
pub(crate) use self::query::parse_query;
pub use self::rejection::Rejection;
use crate::context::Context;
use crate::into_response::IntoResponse;

/// A value that a handler may take as an argument.
///
/// Those that read the body (`Json`, `Form`, `Bytes`, `String`) take it whole, so one of them is enough. `Option<T>`
/// is `None` where `T` is refused, and `Result<T, T::Rejection>` hands the refusal to the handler.
///
/// ```
/// use sws::{Context, FromRequest, Rejection, Router, TestClient};
///
/// struct Token(String);
///
/// impl FromRequest for Token {
///     type Rejection = Rejection;
///
///     fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
///         match ctx.header("x-token") {
///             Some(token) => Ok(Token(token.to_owned())),
///             None => Err(Rejection::BadRequest("X-Token is missing".into())),
///         }
///     }
/// }
///
/// let client = TestClient::new(Router::new().get("/", |Token(token): Token| token));
/// assert_eq!(client.get("/").header("X-Token", "t1").send().text(), "t1");
/// assert_eq!(client.get("/").send().status(), 400);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    label = "does not implement `FromRequest`"
)]
pub trait FromRequest: Sized {
    /// What answers a request from which this value cannot be made.
    type Rejection: IntoResponse;

    /// Makes the value.
    ///
    /// # Errors
    /// The response to a request that has no such value.
    fn from_request(ctx: &mut Context) -> Result<Self, Self::Rejection>;
}

impl<T: FromRequest> FromRequest for Option<T> {
    type Rejection = Infallible;

    fn from_request(ctx: &mut Context) -> Result<Self, Infallible> {
        Ok(T::from_request(ctx).ok())
    }
}

impl<T: FromRequest> FromRequest for Result<T, T::Rejection> {
    type Rejection = Infallible;

    fn from_request(ctx: &mut Context) -> Result<Self, Infallible> {
        Ok(T::from_request(ctx))
    }
}

impl FromRequest for HeaderMap {
    type Rejection = Infallible;

    fn from_request(ctx: &mut Context) -> Result<Self, Infallible> {
        Ok(ctx.request().headers())
    }
}

impl FromRequest for Method {
    type Rejection = Infallible;

    fn from_request(ctx: &mut Context) -> Result<Self, Infallible> {
        Ok(ctx.request().method().clone())
    }
}

impl FromRequest for Version {
    type Rejection = Infallible;

    fn from_request(ctx: &mut Context) -> Result<Self, Infallible> {
        Ok(ctx.request().version())
    }
}

impl FromRequest for Uri {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        ctx.request().uri().map_err(|error| Rejection::BadRequest(error.to_string().into()))
    }
}

impl FromRequest for Bytes {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        Ok(ctx.body_bytes()?)
    }
}

impl FromRequest for String {
    type Rejection = Rejection;

    /// The body, which must be UTF-8 (400 otherwise).
    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        let bytes = Vec::from(ctx.body_bytes()?);
        String::from_utf8(bytes).map_err(|_| Rejection::BadRequest("the request body is not UTF-8".into()))
    }
}

/// A clone of a state of the router; see [`Router::with_state`](crate::Router::with_state).
///
/// A state that no router has is a mistake of the program, answered as a 500.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use sws::{Router, State, TestClient};
///
/// fn count(State(visits): State<Rc<Cell<u32>>>) -> String {
///     visits.set(visits.get() + 1);
///     visits.get().to_string()
/// }
///
/// let client = TestClient::new(Router::new().get("/", count).with_state(Rc::new(Cell::new(0u32))));
/// client.get("/").send();
/// assert_eq!(client.get("/").send().text(), "2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T: Clone + 'static> FromRequest for State<T> {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        match ctx.try_state::<T>() {
            Some(state) => Ok(State(state.clone())),
            None => Err(Rejection::NoState { type_name: type_name::<T>() }),
        }
    }
}

/// The address of the peer.
///
/// ```
/// use sws::{RemoteAddr, Router, TestClient};
///
/// let client = TestClient::new(Router::new().get("/", |RemoteAddr(addr): RemoteAddr| addr.ip().to_string()));
/// assert_eq!(client.get("/").remote_addr(([192, 0, 2, 7], 4000)).send().text(), "192.0.2.7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

impl FromRequest for RemoteAddr {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        ctx.remote_addr().map(RemoteAddr).ok_or(Rejection::NoRemoteAddr)
    }
}

/// Whether the `Content-Type` of the request is one that `accepts` takes, given its type and subtype without parameters.
fn has_content_type(ctx: &Context, accepts: impl Fn(&str) -> bool) -> bool {
    let media_type = ctx.header("content-type").and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| accepts(media_type.trim_matches([' ', '\t'])))
}

#[cfg(test)]
#[path = "../extract_tests.rs"]
mod tests;
