//! [`MethodRouter`]: the handlers of one path by method.

use std::fmt;

use http::Method;

use super::Named;
use crate::handler::Handler;

/// The handlers of one path, each for a method; made by [`get`], [`post`] and their like, added by
/// [`Router::route`](crate::Router::route).
///
/// ```
/// use sws::{Router, TestClient, get};
///
/// let client = TestClient::new(Router::new().route("/note", get(|| "read").put(|| "written").any(|| "what?")));
/// assert_eq!(client.get("/note").send().text(), "read");
/// assert_eq!(client.put("/note").send().text(), "written");
/// assert_eq!(client.patch("/note").send().text(), "what?");
/// ```
#[derive(Default)]
pub struct MethodRouter {
    /// In the order of the calls; `None` is any method.
    pub(super) handlers: Vec<(Option<Method>, Named)>,
}

macro_rules! methods {
    ($($name:ident $method:ident;)*) => {
        impl MethodRouter {
            $(
                #[doc = concat!("Also answers ", stringify!($method), " requests.")]
                #[must_use]
                pub fn $name<M>(self, handler: impl Handler<M>) -> Self {
                    self.on(Method::$method, handler)
                }
            )*
        }
        $(
            #[doc = concat!("Answers ", stringify!($method), " requests; see [`MethodRouter`].")]
            pub fn $name<M>(handler: impl Handler<M>) -> MethodRouter {
                MethodRouter::default().$name(handler)
            }
        )*
    };
}

methods! {
    get GET;
    post POST;
    put PUT;
    delete DELETE;
    patch PATCH;
    head HEAD;
    options OPTIONS;
}

impl MethodRouter {
    /// Also answers requests with this method, which may be one that HTTP does not define.
    #[must_use]
    pub fn on<M>(mut self, method: Method, handler: impl Handler<M>) -> Self {
        self.handlers.push((Some(method), Named::new(handler)));
        self
    }

    /// Also answers every method that has no handler of its own.
    #[must_use]
    pub fn any<M>(mut self, handler: impl Handler<M>) -> Self {
        self.handlers.push((None, Named::new(handler)));
        self
    }
}

/// Answers requests with this method; see [`MethodRouter`].
pub fn on<M>(method: Method, handler: impl Handler<M>) -> MethodRouter {
    MethodRouter::default().on(method, handler)
}

/// Answers every method; see [`MethodRouter`].
pub fn any<M>(handler: impl Handler<M>) -> MethodRouter {
    MethodRouter::default().any(handler)
}

impl fmt::Debug for MethodRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.handlers.iter().map(|(method, _)| method.as_ref().map_or("any", Method::as_str));
        f.debug_list().entries(methods).finish()
    }
}
