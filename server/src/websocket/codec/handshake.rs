//! The opening handshake as far as it is words and keys (RFC 6455, 4.2): each rule a function over header values.

use sha1::{Digest, Sha1};
use std::fmt;

/// What is behind the key when it is hashed (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of the answer to a key, in base64.
pub const ACCEPT_BYTES: usize = 28;
/// Bytes of a key before base64.
const KEY_BYTES: usize = 16;
/// Bytes of a key in base64.
const KEY_TEXT_BYTES: usize = 24;
/// The only version of RFC 6455, 4.2.1.
pub const VERSION: &str = "13";

/// Why a request cannot open a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    /// `Upgrade` has no `websocket`, or `Connection` no `Upgrade`.
    NotAnUpgrade,
    /// `Sec-WebSocket-Version` is not 13. The answer names that version (RFC 6455, 4.4).
    Version,
    /// `Sec-WebSocket-Key` is missing, comes twice, or is not base64 of 16 bytes.
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of tokens.
    Subprotocols,
    /// `Sec-WebSocket-Extensions` does not conform to its grammar.
    Extensions,
    /// `Origin` comes twice, or is not printable ASCII.
    Origin,
}

impl HandshakeError {
    /// The status code of the answer: 426 for what another request could get, else 400.
    pub const fn status(self) -> u16 {
        match self {
            HandshakeError::NotAnUpgrade | HandshakeError::Version => 426,
            HandshakeError::Key
            | HandshakeError::Subprotocols
            | HandshakeError::Extensions
            | HandshakeError::Origin => 400,
        }
    }

    /// What was wrong, in a few words.
    pub const fn reason(self) -> &'static str {
        match self {
            HandshakeError::NotAnUpgrade => "not an upgrade to websocket",
            HandshakeError::Version => "websocket version is not 13",
            HandshakeError::Key => "bad websocket key",
            HandshakeError::Subprotocols => "bad list of subprotocols",
            HandshakeError::Extensions => "bad list of extensions",
            HandshakeError::Origin => "bad origin",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for HandshakeError {}

/// The value of `Sec-WebSocket-Accept` for a key as it came (RFC 6455, 4.2.2).
///
/// ```
/// use sws::websocket::codec::handshake::accept_key;
///
/// assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_BYTES];
    data_encoding::BASE64.encode_mut(&hash, &mut accept);
    accept
}

/// Checks the values of `Sec-WebSocket-Key` and gives the one (RFC 6455, 4.2.1: base64 that decodes to 16 bytes).
///
/// # Errors
///
/// None or several values, or one that is no base64 of 16 bytes.
pub fn check_key<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Result<&'h [u8], HandshakeError> {
    let key = only(values).ok_or(HandshakeError::Key)?;
    let mut decoded = [0; KEY_TEXT_BYTES / 4 * 3];
    if key.len() != KEY_TEXT_BYTES {
        return Err(HandshakeError::Key);
    }
    match data_encoding::BASE64.decode_mut(key, &mut decoded) {
        Ok(KEY_BYTES) => Ok(key),
        Ok(_) | Err(_) => Err(HandshakeError::Key),
    }
}

/// Checks the values of `Sec-WebSocket-Version` (RFC 6455, 4.2.1 and 4.4).
///
/// # Errors
///
/// Anything but a single 13.
pub fn check_version<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Result<(), HandshakeError> {
    match only(values) {
        Some(version) if version == VERSION.as_bytes() => Ok(()),
        Some(_) | None => Err(HandshakeError::Version),
    }
}

/// Checks that `Upgrade` has `websocket` and `Connection` has `Upgrade`, whatever their case (RFC 6455, 4.2.1).
///
/// # Errors
///
/// One of them is missing.
pub fn check_upgrade<'h>(
    upgrade: impl IntoIterator<Item = &'h [u8]>,
    connection: impl IntoIterator<Item = &'h [u8]>,
) -> Result<(), HandshakeError> {
    match list_has(upgrade, "websocket") && list_has(connection, "upgrade") {
        true => Ok(()),
        false => Err(HandshakeError::NotAnUpgrade),
    }
}

/// Checks the values of `Sec-WebSocket-Protocol`: none, or a list of at least one token (RFC 6455, 4.2.1 and 11.3.4).
///
/// # Errors
///
/// Values that are no such list.
pub fn check_subprotocols<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Result<(), HandshakeError> {
    let mut values = values.into_iter().peekable();
    let mut named = values.peek().is_none();
    for offered in values.flat_map(elements) {
        if !is_token(offered) {
            return Err(HandshakeError::Subprotocols);
        }
        named = true;
    }
    if named { Ok(()) } else { Err(HandshakeError::Subprotocols) }
}

/// Checks the values of `Origin` and gives the one, if there is one (RFC 6455, 4.2.1; RFC 6454, 7.1).
///
/// # Errors
///
/// Several values, or one that is not printable ASCII: what cannot be compared must not pass for a client without a page.
pub fn check_origin<'h>(
    values: impl IntoIterator<Item = &'h [u8]>,
) -> Result<Option<&'h str>, HandshakeError> {
    let mut values = values.into_iter();
    let Some(origin) = values.next() else { return Ok(None) };
    let printable = origin.iter().all(|byte| matches!(byte, b' '..=b'~'));
    match std::str::from_utf8(origin) {
        Ok(origin) if printable && values.next().is_none() => Ok(Some(origin)),
        Ok(_) | Err(_) => Err(HandshakeError::Origin),
    }
}

/// The first of `supported`, the server's order of preference, that the client offers in its `Sec-WebSocket-Protocol`
/// values. Names are compared as they are, case included.
///
/// ```
/// use sws::websocket::codec::handshake::select_subprotocol;
///
/// let offered = [&b"chat, superchat"[..], b"mqtt"];
/// assert_eq!(select_subprotocol(&["mqtt", "chat"], offered), Ok(Some("mqtt")));
/// assert_eq!(select_subprotocol(&["graphql"], offered), Ok(None));
/// ```
///
/// # Errors
///
/// A value that is not a list of tokens.
pub fn select_subprotocol<'h, S: AsRef<str>>(
    supported: &[S],
    values: impl IntoIterator<Item = &'h [u8]>,
) -> Result<Option<&str>, HandshakeError> {
    let mut best = supported.len();
    for offered in values.into_iter().flat_map(elements) {
        if !is_token(offered) {
            return Err(HandshakeError::Subprotocols);
        }
        let found = supported[..best].iter().position(|name| name.as_ref().as_bytes() == offered);
        best = found.unwrap_or(best);
    }
    Ok(supported.get(best).map(AsRef::as_ref))
}

/// Whether a page of `origin` comes from the host that it asks: the scheme may be any, the port is that of the scheme where
/// none is said. An opaque origin (`null`) is never the same.
///
/// ```
/// use sws::websocket::codec::handshake::is_same_origin;
///
/// assert!(is_same_origin("https://chat.example", "Chat.Example:443"));
/// assert!(!is_same_origin("https://evil.example", "chat.example"));
/// ```
pub fn is_same_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else if scheme.eq_ignore_ascii_case("http") {
        ":80"
    } else {
        ""
    };
    let bare =
        |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

/// Whether `origin` is one of a list; scheme and host are the same in any ASCII case.
pub fn is_listed_origin<S: AsRef<str>>(origin: &str, list: &[S]) -> bool {
    list.iter().any(|listed| listed.as_ref().eq_ignore_ascii_case(origin))
}

fn only<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Option<&'h [u8]> {
    let mut values = values.into_iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.trim_ascii())
}

fn list_has<'h>(values: impl IntoIterator<Item = &'h [u8]>, token: &str) -> bool {
    values.into_iter().flat_map(elements).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// The elements of a list without quoted strings; empty ones count for nothing (RFC 9110, 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// tchar of RFC 9110, 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
