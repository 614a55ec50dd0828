//! [`bearer_token`]: a layer that lets in who knows a token.

use crate::context::Context;
use crate::log_routes::{Code, Problem};
use crate::middleware::Next;
use crate::response::Response;
use data_encoding::BASE64;
use std::hint::black_box;

/// A layer that answers 401 to all requests without this bearer token (RFC 6750): `Authorization: Bearer <token>`.
///
/// The comparison takes the same time wherever the token given differs. A browser cannot send the header with a WebSocket or an
/// `EventSource`; put what it uses beside the layer, or behind one that looks at a cookie.
///
/// ```
/// use sws::{Router, TestClient, bearer_token};
///
/// let client = TestClient::new(Router::new().get("/", || "in").layer(bearer_token("s3cret")));
/// let answer = client.get("/").send();
/// assert_eq!((answer.status().as_u16(), answer.header("www-authenticate")), (401, Some("Bearer")));
/// assert_eq!(client.get("/").header("Authorization", "Bearer s3cret").send().text(), "in");
/// ```
pub fn bearer_token(
    token: impl Into<String>,
) -> impl Fn(&mut Context, Next<'_>) -> Response + Clone + 'static {
    let token = token.into();
    move |ctx, next| match ctx.request().header_bytes("authorization").and_then(credentials) {
        Some(given) if is_equal(given, token.as_bytes()) => next.run(ctx),
        given => {
            let detail = match given {
                Some(_) => "the bearer token is not the one that is asked for",
                None => "a bearer token is asked for: `Authorization: Bearer <token>`",
            };
            let response = Response::from(Problem::new(Code::Unauthorized, detail));
            match given {
                Some(_) => response.with_header("www-authenticate", "Bearer error=\"invalid_token\""),
                None => response,
            }
        }
    }
}

/// Whether a request has this bearer token, or, as browsers ask people for it, has it for a password (RFC 7617).
pub(crate) fn knows_token(ctx: &Context, token: &str) -> bool {
    let Some(value) = ctx.request().header_bytes("authorization") else { return false };
    if let Some(given) = credentials(value) {
        return is_equal(given, token.as_bytes());
    }
    let basic = value.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
    let decoded = basic.and_then(|(_, rest)| BASE64.decode(rest.trim_ascii()).ok()).unwrap_or_default();
    let colon = decoded.iter().position(|&byte| byte == b':');
    colon.is_some_and(|colon| is_equal(&decoded[colon + 1..], token.as_bytes()))
}

/// What follows the name of the scheme, which is compared without regard to case (RFC 9110, 11.1).
fn credentials(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

/// Looks at each byte, whatever the others were. An empty token is nobody's.
fn is_equal(given: &[u8], token: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != token.len() || token.is_empty());
    for (at, &byte) in token.iter().enumerate() {
        differs |= black_box(byte ^ given.get(at).copied().unwrap_or_default());
    }
    black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_equal() {
        assert!(is_equal(b"s3cret", b"s3cret"));
        for given in [&b""[..], b"s3cre", b"s3crets", b"S3cret", b"s3cret\0"] {
            assert!(!is_equal(given, b"s3cret"), "{given:?}");
        }
        assert!(!is_equal(b"", b""));
    }

    #[test]
    fn the_scheme_has_any_case() {
        assert_eq!(credentials(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(credentials(b"bEARER  abc "), Some(&b"abc"[..]));
        assert_eq!(credentials(b"Bearerabc"), None);
        assert_eq!(credentials(b"Basic abcdef"), None);
        assert_eq!(credentials(b"Bea"), None);
    }
}
