//! [`Form`].

use serde::de::DeserializeOwned;

use super::{FromRequest, Rejection, has_content_type};
use crate::context::Context;

const FORM: &str = "application/x-www-form-urlencoded";

/// The fields of a form in the request body.
///
/// The request must say `application/x-www-form-urlencoded` (415 otherwise) and its fields must describe a `T` (422).
///
/// ```
/// use serde::Deserialize;
/// use sws::{Form, Router, TestClient};
///
/// #[derive(Deserialize)]
/// struct Login { name: String, remember: Option<bool> }
///
/// fn login(Form(login): Form<Login>) -> String {
///     format!("{}, {:?}", login.name, login.remember)
/// }
///
/// let client = TestClient::new(Router::new().post("/login", login));
/// let response = client.post("/login").form(&[("name", "Ada L"), ("remember", "true")]).send();
/// assert_eq!(response.text(), "Ada L, Some(true)");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Form<T> {
    type Rejection = Rejection;

    fn from_request(ctx: &mut Context) -> Result<Self, Rejection> {
        if !has_content_type(ctx, |media_type| media_type.eq_ignore_ascii_case(FORM)) {
            return Err(Rejection::UnsupportedMediaType { expected: FORM });
        }
        let body = ctx.body_bytes()?;
        let fields = serde_urlencoded::from_bytes(&body);
        fields.map(Form).map_err(|error| {
            Rejection::UnprocessableContent(format!("the form does not fit: {error}").into())
        })
    }
}
