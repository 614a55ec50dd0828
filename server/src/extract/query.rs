//! [`Query`].

use serde::de::DeserializeOwned;

use super::{FromRequest, Rejection};
use crate::context::Context;

/// The query string as a `T`; 400 where it is not one. No query is an empty one.
///
/// ```
/// use serde::Deserialize;
/// use sws::{Query, Router, TestClient};
///
/// #[derive(Deserialize)]
/// struct Page { #[serde(default)] number: u32 }
///
/// let client = TestClient::new(Router::new().get("/", |Query(page): Query<Page>| page.number.to_string()));
/// assert_eq!(client.get("/?number=3").send().text(), "3");
/// assert_eq!(client.get("/").send().text(), "0");
/// assert_eq!(client.get("/?number=x").send().status(), 400);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        ctx.query().map(Query)
    }
}

pub(crate) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Rejection> {
    serde_urlencoded::from_str(query)
        .map_err(|error| Rejection::BadRequest(format!("the query does not fit: {error}").into()))
}
