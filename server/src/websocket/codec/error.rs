//! The one table from a peer's error to the code of the close frame that answers it.

use std::fmt;

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $text:literal;)*) => {
        /// Why a session is failed ("_Fail the WebSocket Connection_", RFC 6455, 7.1.7).
        ///
        /// ```
        /// use sws::websocket::codec::ProtocolError;
        ///
        /// assert_eq!(ProtocolError::InvalidUtf8.close_code(), 1007);
        /// assert_eq!(ProtocolError::MaskMissing.reason(), "frame is not masked");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum ProtocolError {
            $($(#[$doc])* $name,)*
        }

        impl ProtocolError {
            /// All of the table, in its order.
            pub const ALL: &'static [ProtocolError] = &[$(ProtocolError::$name),*];

            /// The code that the close frame of the answer carries: 1002, 1007 or 1009.
            pub const fn close_code(self) -> u16 {
                match self {
                    $(ProtocolError::$name => super::close::$code,)*
                }
            }

            /// What was wrong, in a few words that fit a close frame.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(ProtocolError::$name => $text,)*
                }
            }
        }
    };
}

table! {
    /// RFC 6455, 5.2: a reserved bit is set without an extension that gives it a meaning.
    ReservedBits = PROTOCOL_ERROR, "reserved bit is set";
    /// RFC 6455, 5.2: opcodes 3 to 7 and 11 to 15 are reserved.
    ReservedOpcode = PROTOCOL_ERROR, "reserved opcode";
    /// RFC 6455, 5.5: control frames have a payload of 125 bytes or less.
    ControlTooLong = PROTOCOL_ERROR, "control frame is too long";
    /// RFC 6455, 5.5: control frames are not fragmented.
    ControlFragmented = PROTOCOL_ERROR, "control frame is fragmented";
    /// RFC 6455, 5.2: the minimal number of bytes must be used to encode the length.
    LengthNotMinimal = PROTOCOL_ERROR, "length is not minimal";
    /// RFC 6455, 5.2: the most significant bit of a 64-bit length must be 0.
    LengthOverflow = PROTOCOL_ERROR, "length has its highest bit set";
    /// RFC 6455, 5.1: a client must mask all frames.
    MaskMissing = PROTOCOL_ERROR, "frame is not masked";
    /// RFC 6455, 5.1: a server must not mask any frame.
    MaskUnexpected = PROTOCOL_ERROR, "frame is masked";
    /// RFC 6455, 5.4: a continuation frame with no message to continue.
    ContinuationUnexpected = PROTOCOL_ERROR, "nothing to continue";
    /// RFC 6455, 5.4: a new message before the fragments of the last one are complete.
    ContinuationExpected = PROTOCOL_ERROR, "message is not complete";
    /// RFC 6455, 5.5.1: the body of a close frame is empty or begins with a code of two bytes.
    CloseTruncated = PROTOCOL_ERROR, "close frame of one byte";
    /// RFC 6455, 7.4: a code that is reserved or must not be sent.
    CloseCodeInvalid = PROTOCOL_ERROR, "close code is invalid";
    /// RFC 6455, 8.1: text and reasons are UTF-8.
    InvalidUtf8 = INVALID_PAYLOAD, "text is not UTF-8";
    /// RFC 7692, 7.2.2: the payload of a compressed message is no DEFLATE data.
    InvalidDeflate = INVALID_PAYLOAD, "compressed data is invalid";
    /// A frame declares a payload longer than `frame_bytes_max`.
    FrameTooBig = MESSAGE_TOO_BIG, "frame is too big";
    /// A message is, or inflates to, more than `message_bytes_max`.
    MessageTooBig = MESSAGE_TOO_BIG, "message is too big";
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_7_4_1_codes_and_reasons_fit_a_close_frame() {
        for &error in ProtocolError::ALL {
            assert!(matches!(error.close_code(), 1002 | 1007 | 1009), "{error:?}");
            assert!(super::super::close::is_sendable(error.close_code()));
            assert!(!error.reason().is_empty() && error.reason().len() <= 123, "{error:?}");
        }
    }
}
