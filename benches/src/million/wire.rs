//! What goes over the wire: the upgrade, and text frames whose payload tells them apart. Pure.

/// The nonce of RFC 6455 section 1.3, whose answer is known. All connections use it: the server must not care.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Bytes of a message's text.
pub const PAYLOAD_BYTES: usize = 64;
/// Bytes of a frame to the server: head, mask, text.
pub const ASK_BYTES: usize = 2 + 4 + PAYLOAD_BYTES;
/// Bytes of a frame from the server, which is not masked.
pub const ECHO_BYTES: usize = 2 + PAYLOAD_BYTES;

/// FIN and the opcode of text (RFC 6455 section 5.2).
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;

/// The request that asks for the upgrade.
pub fn upgrade_request(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// What was read so far of the answer to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// The head has not ended.
    NeedMore,
    /// The connection is a WebSocket, and nothing came behind the head.
    Complete,
    /// It is not.
    Refused,
}

/// Judges the answer to the request.
pub fn upgrade_answer(head: &[u8]) -> Upgrade {
    let Some(end) = memchr::memmem::find(head, b"\r\n\r\n") else { return Upgrade::NeedMore };
    let is_switch = head.starts_with(b"HTTP/1.1 101 ");
    let is_last = end + 4 == head.len();
    if is_switch && is_last && has_accept(&head[..end]) { Upgrade::Complete } else { Upgrade::Refused }
}

fn has_accept(head: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(head) else { return false };
    let mut fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.any(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT)
}

/// The text of a message, another one for each message of each connection.
fn payload(connection: u32, message: u32) -> [u8; PAYLOAD_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = u64::from(connection) << 32 | u64::from(message);
    let mut text = [b'.'; PAYLOAD_BYTES];
    for (at, byte) in text.iter_mut().take(16).enumerate() {
        *byte = DIGITS[(number >> (60 - 4 * at) & 15) as usize];
    }
    text
}

/// The frame that sends a message.
pub fn encode_ask(connection: u32, message: u32) -> [u8; ASK_BYTES] {
    let mut frame = [0; ASK_BYTES];
    let mask =
        connection.wrapping_mul(0x9e37_79b9).wrapping_add(message.wrapping_mul(0x85eb_ca6b)).to_be_bytes();
    frame[..2].copy_from_slice(&[TEXT, MASKED | PAYLOAD_BYTES as u8]);
    frame[2..6].copy_from_slice(&mask);
    for (at, byte) in payload(connection, message).iter().enumerate() {
        frame[6 + at] = byte ^ mask[at % 4];
    }
    frame
}

/// Whether a frame is the echo of that message.
pub fn is_echo(frame: &[u8; ECHO_BYTES], connection: u32, message: u32) -> bool {
    frame[..2] == [TEXT, PAYLOAD_BYTES as u8] && frame[2..] == payload(connection, message)
}

const _: () = assert!(PAYLOAD_BYTES < 126, "a length of one byte");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let whole = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
        );
        assert_eq!(upgrade_answer(whole.as_bytes()), Upgrade::Complete);
        for end in 0..whole.len() {
            assert_eq!(upgrade_answer(&whole.as_bytes()[..end]), Upgrade::NeedMore, "{end} bytes");
        }
        let wrong = [
            whole.replace("101", "200"),
            whole.replace(ACCEPT, "c3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            whole.replace("sec-websocket-accept", "x"),
            format!("{whole}\u{1}"),
        ];
        for answer in wrong {
            assert_eq!(upgrade_answer(answer.as_bytes()), Upgrade::Refused, "{answer:?}");
        }
    }

    #[test]
    fn an_echo_is_of_its_message_only() {
        let ask = encode_ask(70_000, 9);
        assert_eq!(ask[..2], [0x81, 0xc0]);
        let mut echo = [0; ECHO_BYTES];
        echo[..2].copy_from_slice(&[0x81, 0x40]);
        for at in 0..PAYLOAD_BYTES {
            echo[2 + at] = ask[6 + at] ^ ask[2 + at % 4];
        }
        assert!(is_echo(&echo, 70_000, 9));
        assert!(!is_echo(&echo, 70_000, 10));
        assert!(!is_echo(&echo, 70_001, 9));
        for at in 0..ECHO_BYTES {
            let mut other = echo;
            other[at] ^= 1;
            assert!(!is_echo(&other, 70_000, 9), "byte {at}");
        }
    }
}
