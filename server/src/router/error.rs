//! [`RouteError`]: why a router cannot be built.

use std::error::Error;
use std::fmt;

use http::Method;

use crate::request::PARAMS_MAX;

/// Why a [`Router`](crate::Router) cannot be built: a mistake of the program, found at its start.
///
/// ```
/// use sws::Router;
///
/// let error = Router::new().get("/a", || "one").get("/a", || "two").build().unwrap_err();
/// assert_eq!(error.to_string(), "the route /a has two handlers for GET");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// Two patterns match the same paths and neither is the more special one.
    Conflict {
        /// The pattern that was added later.
        route: String,
        /// The pattern that was there.
        with: String,
    },
    /// One pattern has two handlers for one method (`None` for `any`).
    Duplicate {
        /// The pattern.
        route: String,
        /// The method that is answered twice.
        method: Option<Method>,
    },
    /// A pattern or prefix that is none.
    Invalid {
        /// The pattern or prefix.
        route: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pattern has more than [`PARAMS_MAX`] parameters.
    TooManyParams {
        /// The pattern.
        route: String,
    },
    /// There are two fallbacks for the same prefix, perhaps by a merge.
    TwoFallbacks {
        /// The prefix, empty at the root.
        prefix: String,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { route, with } => write!(f, "the route {route} conflicts with the route {with}"),
            Self::Duplicate { route, method: Some(method) } => {
                write!(f, "the route {route} has two handlers for {method}")
            }
            Self::Duplicate { route, method: None } => {
                write!(f, "the route {route} has two handlers for any method")
            }
            Self::Invalid { route, reason } => write!(f, "the route {route:?} is invalid: {reason}"),
            Self::TooManyParams { route } => {
                write!(f, "the route {route} has more than {PARAMS_MAX} parameters")
            }
            Self::TwoFallbacks { prefix } => write!(f, "there are two fallbacks under the prefix {prefix:?}"),
        }
    }
}

impl Error for RouteError {}
