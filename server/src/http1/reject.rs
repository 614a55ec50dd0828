//! The one table from a peer's error to the exact bytes of its answer.

use super::encode::DateCache;
use http::StatusCode;

/// Longest response of the table.
const RESPONSE_BYTES_MAX: usize = 256;

/// A response built at compile time.
struct Bytes {
    buffer: [u8; RESPONSE_BYTES_MAX],
    len: usize,
}

impl Bytes {
    const fn push(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut index = 0;
        while index < text.len() {
            self.buffer[self.len] = text[index];
            self.len += 1;
            index += 1;
        }
        self
    }

    const fn push_decimal(mut self, value: usize) -> Self {
        assert!(value < 1000, "a status code or the length of a short text");
        let mut divisor = 100;
        let mut started = false;
        while divisor > 0 {
            let digit = value / divisor % 10;
            started |= digit > 0 || divisor == 1;
            if started {
                self.buffer[self.len] = b'0' + digit as u8;
                self.len += 1;
            }
            divisor /= 10;
        }
        self
    }

    /// Every answer of the table ends the connection: after a framing error nothing that follows can be trusted.
    const fn response(status: u16, phrase: &str, fields: &str, text: &str) -> Self {
        Bytes { buffer: [0; RESPONSE_BYTES_MAX], len: 0 }
            .push("HTTP/1.1 ")
            .push_decimal(status as usize)
            .push(" ")
            .push(phrase)
            .push("\r\nConnection: close\r\n")
            .push(fields)
            .push("Content-Type: text/plain; charset=utf-8\r\nContent-Length: ")
            .push_decimal(text.len() + 1)
            .push("\r\n\r\n")
            .push(text)
            .push("\n")
    }

    const fn as_slice(&self) -> &[u8] {
        self.buffer.split_at(self.len).0
    }
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $status:literal $phrase:literal $fields:literal, $text:literal;)*) => {
        /// Why a request is answered with an error and its connection closed.
        ///
        /// ```
        /// use sws::http1::Reject;
        ///
        /// assert_eq!(Reject::HostMissing.status(), 400);
        /// assert!(Reject::HostMissing.response().starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reject {
            $($(#[$doc])* $name,)*
        }

        impl Reject {
            /// All of the table, in its order.
            pub const ALL: &'static [Reject] = &[$(Reject::$name),*];

            /// The status code of the answer.
            pub const fn status(self) -> StatusCode {
                let code = match self {
                    $(Reject::$name => $status,)*
                };
                match StatusCode::from_u16(code) {
                    Ok(status) => status,
                    Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
                }
            }

            /// What was wrong, in a few words; also the body of the answer.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Reject::$name => $text,)*
                }
            }

            /// The whole answer: status line, `Connection: close`, `Content-Length` and a line of text. It has no
            /// `Date`; [`Reject::encode`] adds one.
            pub fn response(self) -> &'static [u8] {
                match self {
                    $(Reject::$name => {
                        static RESPONSE: Bytes = Bytes::response($status, $phrase, $fields, $text);
                        RESPONSE.as_slice()
                    })*
                }
            }
        }
    };
}

table! {
    /// RFC 9112, 3: method = token, then a single SP.
    BadMethod = 400 "Bad Request" "", "bad method";
    /// RFC 9112, 3: a method longer than any the server implements SHOULD be answered 501.
    MethodTooLong = 501 "Not Implemented" "", "method too long";
    /// RFC 9110, 9.3.6: an origin server does not open tunnels; a 2xx to CONNECT would turn the connection into one.
    ConnectUnsupported = 501 "Not Implemented" "", "CONNECT is not supported";
    /// RFC 9112, 3.2: origin-form, absolute-form with http or https, asterisk-form for OPTIONS, authority-form for
    /// CONNECT; no whitespace, no fragment.
    BadTarget = 400 "Bad Request" "", "bad request target";
    /// RFC 9112, 3: a target longer than the server wishes to parse MUST be answered 414.
    TargetTooLong = 414 "URI Too Long" "", "request target too long";
    /// RFC 9112, 2.3: HTTP-version = HTTP-name "/" DIGIT "." DIGIT, case-sensitive, and then CRLF.
    BadVersion = 400 "Bad Request" "", "bad HTTP version";
    /// RFC 9110, 15.6.6: the major version is not supported.
    VersionUnsupported = 505 "HTTP Version Not Supported" "", "HTTP version not supported";
    /// RFC 9112, 2.2: lines end with CRLF; a bare CR is invalid, and a bare LF is not accepted in its place.
    BadLineEnd = 400 "Bad Request" "", "bad line end";
    /// RFC 9112, 5 and 5.1: field-name = token, no whitespace before the colon, none before the first field; 5.2:
    /// obs-fold is refused.
    BadHeaderName = 400 "Bad Request" "", "bad header name";
    /// RFC 9110, 5.5: CR, LF, NUL and the other control characters are invalid within a field value.
    BadHeaderValue = 400 "Bad Request" "", "bad header value";
    /// RFC 6585, 5: the header section as a whole is too large.
    HeadTooLarge = 431 "Request Header Fields Too Large" "", "header section too large";
    /// RFC 6585, 5: too many fields.
    TooManyHeaders = 431 "Request Header Fields Too Large" "", "too many header fields";
    /// RFC 9112, 3.2: an HTTP/1.1 request that lacks Host MUST be answered 400.
    HostMissing = 400 "Bad Request" "", "Host is missing";
    /// RFC 9112, 3.2: more than one Host field line MUST be answered 400.
    HostRepeated = 400 "Bad Request" "", "more than one Host";
    /// RFC 9112, 3.2: a Host with an invalid value MUST be answered 400; RFC 9110, 4.2.1: an http URI has a host.
    BadHost = 400 "Bad Request" "", "bad Host";
    /// RFC 9112, 6.3: an invalid Content-Length is an unrecoverable error. Leading zeros are refused as well: some
    /// recipients read them as octal.
    BadContentLength = 400 "Bad Request" "", "bad Content-Length";
    /// RFC 9110, 8.6: a second Content-Length, or a list, may be refused even if the values are the same.
    ContentLengthRepeated = 400 "Bad Request" "", "more than one Content-Length";
    /// RFC 9112, 6.1: both Transfer-Encoding and Content-Length: an attempt at smuggling, ought to be an error.
    LengthAndEncoding = 400 "Bad Request" "", "both Content-Length and Transfer-Encoding";
    /// RFC 9112, 6.1 and 6.3: chunked is the last coding and applied once; an empty or malformed list is refused.
    BadTransferEncoding = 400 "Bad Request" "", "bad Transfer-Encoding";
    /// RFC 9112, 6.1: Transfer-Encoding in an HTTP/1.0 message means that its framing is faulty.
    EncodingInOldVersion = 400 "Bad Request" "", "Transfer-Encoding in HTTP/1.0";
    /// RFC 9112, 6.1: a transfer coding that is not understood SHOULD be answered 501.
    UnknownTransferEncoding = 501 "Not Implemented" "", "unknown Transfer-Encoding";
    /// RFC 9110, 10.1.1: an expectation other than 100-continue.
    ExpectationFailed = 417 "Expectation Failed" "", "unknown expectation";
    /// RFC 9112, 7.1: chunk-size = 1*HEXDIG; an overflow MUST be prevented.
    BadChunkSize = 400 "Bad Request" "", "bad chunk size";
    /// RFC 9112, 7.1.1: chunk-ext = *( ";" name [ "=" value ] ).
    BadChunkExtension = 400 "Bad Request" "", "bad chunk extension";
    /// RFC 9112, 7.1.1: the total length of chunk extensions ought to be limited.
    ChunkExtensionTooLarge = 400 "Bad Request" "", "chunk extensions too large";
    /// RFC 9112, 7.1: a chunk's size line and its data each end with CRLF.
    BadChunkEnd = 400 "Bad Request" "", "bad chunk end";
    /// RFC 9112, 7.1.2: the trailer section consists of well-formed field lines.
    BadTrailer = 400 "Bad Request" "", "bad trailer";
    /// RFC 6585, 5, applied to the trailer section.
    TrailerTooLarge = 431 "Request Header Fields Too Large" "", "trailer section too large";
    /// RFC 9110, 15.5.9: the request was not complete in time.
    RequestTimeout = 408 "Request Timeout" "", "request timeout";
    /// RFC 9110, 15.5.14: the content is larger than the server is willing to take.
    BodyTooLarge = 413 "Content Too Large" "", "content too large";
    /// RFC 9110, 15.6.1: the server's own fault.
    InternalError = 500 "Internal Server Error" "", "internal server error";
    /// RFC 9110, 15.6.4: the handler did not answer in time.
    HandlerTimeout = 503 "Service Unavailable" "Retry-After: 1\r\n", "the answer took too long, try again";
    /// RFC 9110, 15.6.4: no room now.
    Overloaded = 503 "Service Unavailable" "Retry-After: 1\r\n", "overloaded, try again";
}

impl Reject {
    /// Appends the whole answer with a `Date`, which RFC 9110, 6.6.1 asks for in every 4xx of a server with a clock.
    pub fn encode(self, out: &mut Vec<u8>, date: &DateCache) {
        let response = self.response();
        let status_line_end = memchr::memchr(b'\n', response).map_or(0, |at| at + 1);
        out.extend_from_slice(&response[..status_line_end]);
        out.extend_from_slice(date.line());
        out.extend_from_slice(&response[status_line_end..]);
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status().as_str(), self.reason())
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_response_is_whole_and_says_its_status() {
        for &reject in Reject::ALL {
            let response = std::str::from_utf8(reject.response()).unwrap();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            let mut lines = head.split("\r\n");
            let status_line = lines.next().unwrap();
            let phrase = reject.status().canonical_reason().unwrap();
            // `http` keeps the phrase of RFC 7231 for 413.
            let phrase = phrase.replace("Payload", "Content");
            assert_eq!(status_line, format!("HTTP/1.1 {} {phrase}", reject.status().as_u16()), "{reject:?}");
            let lines: Vec<&str> = lines.collect();
            assert!(lines.contains(&"Connection: close"), "{reject:?}");
            assert!(lines.contains(&format!("Content-Length: {}", body.len()).as_str()), "{reject:?}");
            assert_eq!(body.trim_end(), reject.reason());
        }
    }

    #[test]
    fn a_shortage_says_when_to_come_back() {
        assert!(memchr::memmem::find(Reject::Overloaded.response(), b"\r\nRetry-After: 1\r\n").is_some());
    }

    #[test]
    fn encode_puts_the_date_behind_the_status_line() {
        let mut out = Vec::new();
        Reject::BadHost.encode(&mut out, &DateCache::new(0));
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(
            "HTTP/1.1 400 Bad Request\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n"
        ));
    }
}
