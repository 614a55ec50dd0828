//! [`Path`].

use serde::de::DeserializeOwned;

use super::path_de::{ParamsDeserializer, PathError};
use super::{FromRequest, Rejection};
use crate::context::Context;

/// The parameters of the route, percent-decoded: one value, a tuple in the order of the pattern, or a struct or map
/// by name.
///
/// A value that is not a `T` is answered with 400. A `T` that wants other parameters than the route has is a mistake
/// of the program, answered with 500.
///
/// ```
/// use serde::Deserialize;
/// use sws::{Path, Router, TestClient};
///
/// #[derive(Deserialize)]
/// struct Version { name: String, major: u32 }
///
/// let client = TestClient::new(
///     Router::new()
///         .get("/users/{id}", |Path(id): Path<u64>| format!("user {id}"))
///         .get("/move/{x}/{y}", |Path((x, y)): Path<(i8, i8)>| format!("{x}, {y}"))
///         .get("/{name}/v{major}", |Path(v): Path<Version>| format!("{} {}", v.name, v.major))
///         .get("/files/{*rest}", |Path(rest): Path<String>| rest),
/// );
/// assert_eq!(client.get("/users/7").send().text(), "user 7");
/// assert_eq!(client.get("/move/-1/2").send().text(), "-1, 2");
/// assert_eq!(client.get("/caf%C3%A9/v2").send().text(), "café 2");
/// assert_eq!(client.get("/files/a/b.txt").send().text(), "a/b.txt");
/// assert_eq!(client.get("/users/seven").send().status(), 400);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Path<T> {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        let request = ctx.request();
        let params = ParamsDeserializer::new(request.params(), request.path());
        T::deserialize(params).map(Path).map_err(|error| match error {
            PathError::Value(reason) => Rejection::BadRequest(reason.into()),
            PathError::Shape(reason) => Rejection::WrongParams(reason.into()),
        })
    }
}
