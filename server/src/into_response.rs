//! [`IntoResponse`]: what a handler may return.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use serde::Serialize;
use sws_content::log::{FetchError, ProduceError, TopicError};
use sws_runtime::{Cancelled, JoinError, PublishError, SubmitError, TimedOut};

use crate::body::{Body, BodyError};
use crate::extract::Json;
use crate::log_routes::Problem;
use crate::response::Response;

/// A value that a handler may return.
///
/// | value | response |
/// |---|---|
/// | `&'static str`, `String`, `Cow<'static, str>` | 200, plain text |
/// | `&'static [u8]`, `Vec<u8>`, `Bytes` | 200, `application/octet-stream` |
/// | [`Html`], [`Json`], [`Redirect`] | what they say |
/// | `()` | 200, empty |
/// | `StatusCode` | this status, empty |
/// | `(StatusCode, R)` | `R` with this status |
/// | `([(name, value); N], R)` | `R` with these headers |
/// | `(StatusCode, [(name, value); N], R)` | both |
/// | `Option<R>` | `None` is 404 |
/// | `Result<R, E>` | either side, both `IntoResponse` |
/// | [`Response`], `http::Response<impl Into<Body>>` | itself |
/// | `io::Error` | 500 without details |
/// | [`ProduceError`], [`FetchError`], [`TopicError`] | what the log's routes answer: 404, 429 with Retry-After, .. |
///
/// A `Result` whose error is a `String` answers 200 with it, as every text does: give it a status, as `(StatusCode, String)`.
///
/// ```
/// use sws::{Html, IntoResponse, Response, Router, TestClient, http::StatusCode};
///
/// enum ShopError { SoldOut }
///
/// impl IntoResponse for ShopError {
///     fn into_response(self) -> Response {
///         (StatusCode::CONFLICT, "sold out").into_response()
///     }
/// }
///
/// fn buy() -> Result<Html<&'static str>, ShopError> {
///     Err(ShopError::SoldOut)
/// }
///
/// let response = TestClient::new(Router::new().post("/buy", buy)).post("/buy").send();
/// assert_eq!(response.status(), 409);
/// assert_eq!(response.text(), "sold out");
/// ```
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        self.into()
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::default()
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl IntoResponse for Cancelled {
    /// 503: the client is gone, or the server ends.
    fn into_response(self) -> Response {
        Response::reason(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl IntoResponse for TimedOut {
    /// 504: what the handler waited for did not come in time.
    fn into_response(self) -> Response {
        Response::reason(StatusCode::GATEWAY_TIMEOUT)
    }
}

impl IntoResponse for SubmitError {
    /// 503 with Retry-After: the worker pool's queue is full.
    fn into_response(self) -> Response {
        Response::reason(StatusCode::SERVICE_UNAVAILABLE).with_header(RETRY_AFTER, "1")
    }
}

impl IntoResponse for PublishError {
    /// 400 for a name that is none, 503 with Retry-After where nobody could be told.
    fn into_response(self) -> Response {
        match self {
            PublishError::Name => Response::text(self.to_string()).with_status(StatusCode::BAD_REQUEST),
            _ => Response::reason(StatusCode::SERVICE_UNAVAILABLE).with_header(RETRY_AFTER, "1"),
        }
    }
}

impl IntoResponse for JoinError {
    /// 500 for a panic, whose text is not for the peer; 503 where there was no value for want of time or room.
    fn into_response(self) -> Response {
        match self {
            JoinError::Cancelled | JoinError::Lost => Response::reason(StatusCode::SERVICE_UNAVAILABLE),
            _ => Response::internal_error(),
        }
    }
}

macro_rules! as_routes_do {
    ($($error:ty),+) => {$(
        impl IntoResponse for $error {
            /// As the log's routes: problem details, with Retry-After where it may be tried again.
            fn into_response(self) -> Response {
                Problem::from(self).response()
            }
        }
    )+};
}

as_routes_do!(ProduceError, FetchError, TopicError);

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::default().with_body(self)
    }
}

macro_rules! via {
    ($($make:path: $($type:ty),+;)+) => {$($(
        impl IntoResponse for $type {
            fn into_response(self) -> Response {
                $make(self)
            }
        }
    )+)+};
}

via! {
    Response::text: &'static str, String, Cow<'static, str>;
    Response::bytes: &'static [u8], Vec<u8>, Bytes;
}

impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0)
    }
}

/// HTML (UTF-8).
///
/// ```
/// use sws::{Html, Router, TestClient};
///
/// let client = TestClient::new(Router::new().get("/", || Html("<p>Hello</p>")));
/// assert_eq!(client.get("/").send().header("content-type"), Some("text/html; charset=utf-8"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}

/// A redirection to another URI.
///
/// A location with bytes that a header must not carry is a 500.
///
/// ```
/// use sws::{Redirect, Router, TestClient};
///
/// let client = TestClient::new(Router::new().get("/old", || Redirect::permanent("/new")));
/// let response = client.get("/old").send();
/// assert_eq!((response.status().as_u16(), response.header("location")), (308, Some("/new")));
/// ```
#[derive(Clone, Debug)]
pub struct Redirect {
    status: StatusCode,
    location: Cow<'static, str>,
}

impl Redirect {
    /// 303 See Other: the client goes on with GET, as after a form.
    pub fn to(location: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::SEE_OTHER, location: location.into() }
    }

    /// 307 Temporary Redirect: the client repeats the request as it was.
    pub fn temporary(location: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::TEMPORARY_REDIRECT, location: location.into() }
    }

    /// 308 Permanent Redirect: as temporary, and remembered.
    pub fn permanent(location: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::PERMANENT_REDIRECT, location: location.into() }
    }
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        Response::new(self.status).with_header(LOCATION, self.location.as_ref())
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<K, V, R, const N: usize> IntoResponse for ([(K, V); N], R)
where
    K: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
    R: IntoResponse,
{
    fn into_response(self) -> Response {
        self.0
            .into_iter()
            .fold(self.1.into_response(), |response, (name, value)| response.with_header(name, value))
    }
}

impl<K, V, R, const N: usize> IntoResponse for (StatusCode, [(K, V); N], R)
where
    K: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
    R: IntoResponse,
{
    fn into_response(self) -> Response {
        (self.1, self.2).into_response().with_status(self.0)
    }
}

impl<R: IntoResponse> IntoResponse for Option<R> {
    fn into_response(self) -> Response {
        match self {
            Some(value) => value.into_response(),
            None => Response::reason(StatusCode::NOT_FOUND),
        }
    }
}

impl<R: IntoResponse, E: IntoResponse> IntoResponse for Result<R, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        Response::text(self.to_string()).with_status(self.status())
    }
}

impl IntoResponse for io::Error {
    /// 500 without details; an error that stands for a [`BodyError`] is answered as that one.
    fn into_response(self) -> Response {
        match self.get_ref().and_then(|inner| inner.downcast_ref::<BodyError>()) {
            Some(error) => error.into_response(),
            None => Response::internal_error(),
        }
    }
}

#[cfg(test)]
#[path = "into_response_tests.rs"]
mod tests;
