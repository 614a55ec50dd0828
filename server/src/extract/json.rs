//! [`Json`].

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{FromRequest, Rejection, has_content_type};
use crate::context::Context;

/// JSON, as an argument and as a result.
///
/// As an argument the request must say `application/json` or `application/*+json` (415 otherwise), its body must be
/// JSON (400) and describe a `T` (422). As a result a value that cannot be serialised is a 500.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sws::{Json, Router, TestClient};
///
/// #[derive(Serialize, Deserialize)]
/// struct Point { x: i32, y: i32 }
///
/// fn mirror(Json(point): Json<Point>) -> Json<Point> {
///     Json(Point { x: point.y, y: point.x })
/// }
///
/// let client = TestClient::new(Router::new().post("/mirror", mirror));
/// assert_eq!(client.post("/mirror").json(&Point { x: 1, y: 2 }).send().text(), r#"{"x":2,"y":1}"#);
/// assert_eq!(client.post("/mirror").body("{}").send().status(), 415);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Json<T> {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        if !has_content_type(ctx, is_json) {
            return Err(Rejection::UnsupportedMediaType { expected: "application/json" });
        }
        let body = ctx.body_bytes()?;
        serde_json::from_slice(&body).map(Json).map_err(|error| match error.classify() {
            Category::Data => {
                Rejection::UnprocessableContent(format!("the JSON does not fit: {error}").into())
            }
            Category::Syntax | Category::Eof | Category::Io => {
                Rejection::BadRequest(format!("the request body is not JSON: {error}").into())
            }
        })
    }
}

/// `application/json`, or a type with the `+json` suffix of RFC 6839.
fn is_json(media_type: &str) -> bool {
    let Some((group, subtype)) = media_type.split_once('/') else { return false };
    let suffix = subtype.rsplit_once('+').map_or(subtype, |(_, suffix)| suffix);
    group.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}
