//! `Sec-WebSocket-Extensions` (RFC 6455, 9.1) and the negotiation of permessage-deflate (RFC 7692, 5 and 7.1).

use super::handshake::{HandshakeError, is_token_byte};
use std::borrow::Cow;
use std::fmt;

/// Smallest window that the compressor can use: zlib has no 8 for raw DEFLATE.
pub const WINDOW_BITS_MIN: u8 = 9;
/// Largest window of DEFLATE, and the one where nothing is said.
pub const WINDOW_BITS_MAX: u8 = 15;
/// Smallest window that the RFC knows.
const WINDOW_BITS_RFC_MIN: u8 = 8;

/// How a server compresses.
///
/// ```
/// use sws::websocket::codec::DeflateConfig;
///
/// let config = DeflateConfig { context_takeover: true, window_bits: 12, ..DeflateConfig::default() };
/// assert_eq!(config.level, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateConfig {
    /// Whether messages may refer to earlier ones: they get smaller, and each connection keeps a compressor and a
    /// decompressor ([`Deflater::memory_bytes`](super::Deflater::memory_bytes) and
    /// [`Inflater::MEMORY_BYTES`](super::Inflater::MEMORY_BYTES)). `false` by default: all connections share one of each.
    pub context_takeover: bool,
    /// Messages shorter than this are sent as they are; 256 by default.
    pub threshold_bytes: usize,
    /// 1, the fastest, to 9, the smallest; 3 by default.
    pub level: u8,
    /// The largest window of either side, as a power of two: 9 to 15; 15 by default.
    pub window_bits: u8,
}

impl Default for DeflateConfig {
    fn default() -> DeflateConfig {
        DeflateConfig {
            context_takeover: false,
            threshold_bytes: 256,
            level: 3,
            window_bits: WINDOW_BITS_MAX,
        }
    }
}

/// What a client and this server agreed on. Its `Display` is the answer's `Sec-WebSocket-Extensions`.
///
/// ```
/// use sws::websocket::codec::{DeflateConfig, negotiate};
///
/// let offer = &b"permessage-deflate; client_max_window_bits"[..]; // as browsers send it
/// let agreed = negotiate([offer], &DeflateConfig::default()).unwrap().unwrap();
/// assert_eq!(
///     agreed.to_string(),
///     "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The server compresses each message for itself.
    pub server_no_context_takeover: bool,
    /// The client compresses each message for itself.
    pub client_no_context_takeover: bool,
    /// The window of the server's compressor: 9 to 15.
    pub server_max_window_bits: u8,
    /// The window that is enough to decompress what the client sends: 9 to 15.
    pub client_max_window_bits: u8,
    /// Whether the answer tells the server's window.
    tells_server_window: bool,
    /// Whether the answer tells the client its window.
    tells_client_window: bool,
}

impl fmt::Display for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate")?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.tells_server_window {
            write!(f, "; server_max_window_bits={}", self.server_max_window_bits)?;
        }
        if self.tells_client_window {
            write!(f, "; client_max_window_bits={}", self.client_max_window_bits)?;
        }
        Ok(())
    }
}

/// Takes the first offer of permessage-deflate that can be taken: the client's order is its preference. Other extensions and
/// offers with parameters that are unknown, double, or of a wrong value are declined (RFC 7692, 7.1).
///
/// # Errors
///
/// Values that do not conform to the grammar: the handshake fails (RFC 6455, 9.1).
pub fn negotiate<'h>(
    values: impl IntoIterator<Item = &'h [u8]>,
    config: &DeflateConfig,
) -> Result<Option<Negotiated>, HandshakeError> {
    let mut values = values.into_iter().peekable();
    let mut named = values.peek().is_none();
    let mut agreed = None;
    for value in values {
        let mut list = List { rest: value };
        while let Some(name) = list.next_extension()? {
            named = true;
            let mut offer = Some(Offer::default()).filter(|_| name == b"permessage-deflate");
            while let Some(parameter) = list.next_parameter()? {
                offer = offer.and_then(|offer| offer.with(&parameter));
            }
            if agreed.is_none() {
                agreed = offer.and_then(|offer| offer.answer(config));
            }
        }
    }
    if named { Ok(agreed) } else { Err(HandshakeError::Extensions) }
}

/// The parameters of one offer.
#[derive(Clone, Copy, Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: there without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    /// The offer with one more parameter, or `None` if it must be declined for it.
    fn with(mut self, parameter: &Parameter<'_>) -> Option<Offer> {
        match (parameter.name, parameter.value.as_deref()) {
            (b"server_no_context_takeover", None) if !self.server_no_context_takeover => {
                self.server_no_context_takeover = true;
            }
            (b"client_no_context_takeover", None) if !self.client_no_context_takeover => {
                self.client_no_context_takeover = true;
            }
            (b"server_max_window_bits", Some(bits)) if self.server_max_window_bits.is_none() => {
                self.server_max_window_bits = Some(window_bits(bits)?);
            }
            (b"client_max_window_bits", None) if self.client_max_window_bits.is_none() => {
                self.client_max_window_bits = Some(None);
            }
            (b"client_max_window_bits", Some(bits)) if self.client_max_window_bits.is_none() => {
                self.client_max_window_bits = Some(Some(window_bits(bits)?));
            }
            _ => return None,
        }
        Some(self)
    }

    fn answer(self, config: &DeflateConfig) -> Option<Negotiated> {
        let ours = config.window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        // A window of 256 bytes is more than can be kept to: the offer is declined.
        let server_max_window_bits = match self.server_max_window_bits {
            Some(bits) if bits < WINDOW_BITS_MIN => return None,
            Some(bits) => bits.min(ours),
            None => ours,
        };
        // RFC 7692, 7.1.2.2: without the client's parameter the answer must not have one, and the client may use 15. Its value is
        // a hint: where the answer has none, the window to decompress is 15 (7.2.2), also for a client that says 8.
        let (client_max_window_bits, tells_client_window) = match self.client_max_window_bits {
            None => (WINDOW_BITS_MAX, false),
            Some(None) => (ours, ours < WINDOW_BITS_MAX),
            Some(Some(bits)) if bits < WINDOW_BITS_MIN => (WINDOW_BITS_MAX, false),
            Some(Some(bits)) => (bits.min(ours), bits.min(ours) < WINDOW_BITS_MAX),
        };
        Some(Negotiated {
            server_no_context_takeover: self.server_no_context_takeover || !config.context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || !config.context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            tells_server_window: self.server_max_window_bits.is_some() || ours < WINDOW_BITS_MAX,
            tells_client_window,
        })
    }
}

/// A decimal from 8 to 15 without leading zeros (RFC 7692, 7.1.2).
fn window_bits(text: &[u8]) -> Option<u8> {
    let bits = match *text {
        [digit @ b'1'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'9'] => 10 + digit - b'0',
        _ => return None,
    };
    (WINDOW_BITS_RFC_MIN..=WINDOW_BITS_MAX).contains(&bits).then_some(bits)
}

struct Parameter<'h> {
    name: &'h [u8],
    /// Without quotes and backslashes.
    value: Option<Cow<'h, [u8]>>,
}

/// What is left of one header value.
///
/// ```text
/// list      = extension *( "," extension )      with empty elements, as all lists of HTTP have them
/// extension = token *( ";" token [ "=" ( token / quoted-string ) ] )
/// ```
struct List<'h> {
    rest: &'h [u8],
}

impl<'h> List<'h> {
    /// The name of the next extension; its parameters must have been read.
    fn next_extension(&mut self) -> Result<Option<&'h [u8]>, HandshakeError> {
        loop {
            self.skip_whitespace();
            match self.rest {
                [] => return Ok(None),
                [b',', rest @ ..] => self.rest = rest,
                _ => return self.token().map(Some),
            }
        }
    }

    /// The next parameter of the extension, `None` at its end.
    fn next_parameter(&mut self) -> Result<Option<Parameter<'h>>, HandshakeError> {
        self.skip_whitespace();
        match self.rest {
            [b';', rest @ ..] => self.rest = rest,
            [] => return Ok(None),
            [b',', rest @ ..] => {
                self.rest = rest;
                return Ok(None);
            }
            _ => return Err(HandshakeError::Extensions),
        }
        self.skip_whitespace();
        let name = self.token()?;
        self.skip_whitespace();
        let [b'=', rest @ ..] = self.rest else { return Ok(Some(Parameter { name, value: None })) };
        self.rest = rest;
        self.skip_whitespace();
        let value = match self.rest {
            [b'"', rest @ ..] => {
                self.rest = rest;
                Cow::Owned(self.quoted()?)
            }
            _ => Cow::Borrowed(self.token()?),
        };
        Ok(Some(Parameter { name, value: Some(value) }))
    }

    /// The rest of a quoted string. What it quotes must be a token (RFC 6455, 9.1).
    fn quoted(&mut self) -> Result<Vec<u8>, HandshakeError> {
        let mut value = Vec::new();
        loop {
            let byte = match self.rest {
                [b'"', rest @ ..] if !value.is_empty() => {
                    self.rest = rest;
                    return Ok(value);
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                    self.rest = rest;
                    *byte
                }
                [] => return Err(HandshakeError::Extensions),
            };
            if !is_token_byte(byte) {
                return Err(HandshakeError::Extensions);
            }
            value.push(byte);
        }
    }

    fn token(&mut self) -> Result<&'h [u8], HandshakeError> {
        let len = self.rest.iter().take_while(|&&byte| is_token_byte(byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        if token.is_empty() { Err(HandshakeError::Extensions) } else { Ok(token) }
    }

    fn skip_whitespace(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

#[cfg(test)]
#[path = "extensions_tests.rs"]
mod tests;
