//! Single Worker Server: HTTP/1.1 for very many connections on one io_uring thread, with [WebSockets](websocket),
//! [Server-Sent Events](sse), [topics](Topics), a durable [log](Log) with [routes](log_routes), and live [sites](site).
//!
//! Handlers are ordinary functions that run as fibers: they read top to bottom and never say `async`.
//!
//! ```
//! use sws::{Path, Router, TestClient};
//!
//! let router = Router::new()
//!     .get("/", || "Hello, World!")
//!     .get("/hello/{name}", |Path(name): Path<String>| format!("Hello, {name}!"));
//!
//! assert_eq!(TestClient::new(router).get("/hello/Ada").send().text(), "Hello, Ada!");
//! ```

#![forbid(unsafe_code)]

pub mod http1;
pub mod log_routes;
pub mod site;
pub mod sse;
pub mod static_files;
pub mod websocket;

mod admin;
mod bearer;
mod body;
mod conn;
mod context;
mod extract;
mod follow;
mod gate;
mod handler;
mod into_response;
mod limits;
mod metrics;
mod middleware;
mod panic;
mod report;
mod request;
mod response;
mod router;
mod server;
mod test_client;

pub use bearer::bearer_token;
pub use body::{BODY_BYTES_MAX, Body, BodyError, BodyWriter, FileBody, RequestBody, StreamFn};
pub use bytes::Bytes;
pub use conn::defer::{Deferred, Gone};
pub use context::{Context, Extensions};
pub use extract::{Form, FromRequest, Json, Path, Query, Rejection, RemoteAddr, State};
pub use follow::FollowError;
pub use handler::{ByContext, ByExtractors, ContextFn, Handler};
pub use http;
pub use into_response::{Html, IntoResponse, Redirect};
pub use limits::HttpLimits;
pub use middleware::Next;
pub use request::{PARAMS_MAX, Request};
pub use response::{Response, ResponseParts};
pub use router::{
    App, MethodRouter, RouteError, Router, any, delete, get, head, on, options, patch, post, put,
};
pub use server::{Running, ServeError, Server};
pub use static_files::ServeDir;
pub use sws_content as content;
pub use sws_content::log::Log;
pub use sws_runtime as runtime;
pub use sws_runtime::{Overflow, Publication, PublishError, SubscribeError, TopicOptions, Topics, topics};
pub use test_client::{TestClient, TestRequest, TestResponse};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
