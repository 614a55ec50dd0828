//! [`Rejection`]: why an extractor refuses a request.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::body::BodyError;
use crate::into_response::IntoResponse;
use crate::report;
use crate::response::Response;

/// Why an extractor refuses a request; as a response, its status with the reason as plain text.
///
/// ```
/// use sws::{Path, Rejection, Router, TestClient};
///
/// fn show(id: Result<Path<u32>, Rejection>) -> String {
///     match id {
///         Ok(Path(id)) => format!("item {id}"),
///         Err(rejection) => format!("{}: no such item", rejection.status().as_u16()),
///     }
/// }
///
/// let client = TestClient::new(Router::new().get("/items/{id}", show));
/// assert_eq!(client.get("/items/seven").send().text(), "400: no such item");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The target, a header or the syntax of the body is not what the handler takes: 400.
    BadRequest(Cow<'static, str>),
    /// The body could not be read: 413, 400 or 408.
    Body(BodyError),
    /// The body is of another media type: 415.
    UnsupportedMediaType {
        /// The media type that the handler takes.
        expected: &'static str,
    },
    /// The body is well-formed and yet not what the handler takes: 422.
    UnprocessableContent(Cow<'static, str>),
    /// No router around the handler has such a state: 500.
    NoState {
        /// The type of the state.
        type_name: &'static str,
    },
    /// The handler asks for other parameters than its route has: 500.
    WrongParams(Cow<'static, str>),
    /// The connection has no remote address, or is gone: 500.
    NoRemoteAddr,
}

impl Rejection {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Body(error) => error.status(),
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnprocessableContent(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoState { .. } | Self::WrongParams(_) | Self::NoRemoteAddr => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    pub(crate) fn bad_param(name: &str) -> Self {
        Self::BadRequest(format!("the path parameter {name} has a value that is not allowed here").into())
    }

    pub(crate) fn no_param(name: &str) -> Self {
        Self::WrongParams(format!("the route has no parameter {name}").into())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(reason) | Self::UnprocessableContent(reason) | Self::WrongParams(reason) => {
                f.write_str(reason)
            }
            Self::Body(error) => error.fmt(f),
            Self::UnsupportedMediaType { expected } => write!(f, "the request body must be {expected}"),
            Self::NoState { type_name } => write!(f, "no router has a state of type {type_name}"),
            Self::NoRemoteAddr => f.write_str("the connection has no remote address"),
        }
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Body(error) => Some(error),
            Self::BadRequest(_)
            | Self::UnsupportedMediaType { .. }
            | Self::UnprocessableContent(_)
            | Self::NoState { .. }
            | Self::WrongParams(_)
            | Self::NoRemoteAddr => None,
        }
    }
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl IntoResponse for Rejection {
    /// The reason of a 500 is not for the peer, which gets the status alone, but for the operator: the program is wrong.
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            report::now_and_then("sws: a handler was not called", &self);
            return Response::reason(status);
        }
        let response = Response::text(self.to_string()).with_status(status);
        match self {
            Self::Body(BodyError::NoMemory) => response.with_header(RETRY_AFTER, "1"),
            _ => response,
        }
    }
}
