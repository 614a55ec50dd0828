//! Reads answers off a stream of bytes: status line, Content-Length, body. Pure: any chunking of
//! the input gives the same count.

use std::fmt;

/// Why bytes are not the answers that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The status line is not one of HTTP/1.
    StatusLine,
    /// A status other than 200.
    Status(u16),
    /// No Content-Length, or one that is not a number.
    ContentLength,
    /// A head longer than [`HEAD_BYTES_MAX`].
    HeadTooLong,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::StatusLine => f.write_str("malformed status line"),
            Malformed::Status(status) => write!(f, "status {status}"),
            Malformed::ContentLength => f.write_str("missing or malformed Content-Length"),
            Malformed::HeadTooLong => f.write_str("head too long"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The longest head that is read.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Counts whole answers with status 200.
///
/// A head that equals the one before byte for byte means the same, so it is compared and not
/// read again: the client must cost less than the server.
///
/// ```
/// let mut reader = benches::load::AnswerReader::default();
/// assert_eq!(reader.read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"), Ok(0));
/// assert_eq!(reader.read(b"iHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(2));
/// ```
#[derive(Default)]
pub struct AnswerReader {
    /// The head read last, to its blank line, and the body it announced.
    known: Vec<u8>,
    known_body: usize,
    /// The beginning of a head whose end has not come.
    partial: Vec<u8>,
    /// Bytes of the current body still to come; `None` between answers and in a head.
    body_left: Option<usize>,
}

impl AnswerReader {
    /// Takes the next bytes; how many answers ended in them.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<u32, Malformed> {
        let mut answers = 0;
        loop {
            if let Some(left) = self.body_left {
                let taken = left.min(bytes.len());
                bytes = &bytes[taken..];
                self.body_left = Some(left - taken);
                if taken < left {
                    return Ok(answers);
                }
                self.body_left = None;
                answers += 1;
            }
            if bytes.is_empty() {
                return Ok(answers);
            }
            bytes = self.read_head(bytes)?;
        }
    }

    /// Takes what belongs to the head and returns the rest.
    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
        if self.partial.is_empty() && !self.known.is_empty() && bytes.starts_with(&self.known) {
            self.body_left = Some(self.known_body);
            return Ok(&bytes[self.known.len()..]);
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let from = before.saturating_sub(3);
        let Some(at) = memchr::memmem::find(&self.partial[from..], b"\r\n\r\n") else {
            let too_long = self.partial.len() > HEAD_BYTES_MAX;
            return if too_long { Err(Malformed::HeadTooLong) } else { Ok(&[]) };
        };
        let end = from + at + 4;
        self.partial.truncate(end);
        self.known_body = content_length(&self.partial)?;
        self.known.clear();
        self.known.append(&mut self.partial);
        self.body_left = Some(self.known_body);
        Ok(&bytes[end - before..])
    }
}

fn content_length(head: &[u8]) -> Result<usize, Malformed> {
    let head = std::str::from_utf8(head).map_err(|_| Malformed::StatusLine)?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = match status_line.split_once(' ') {
        Some(("HTTP/1.1" | "HTTP/1.0", rest)) => rest.get(..3).and_then(|digits| digits.parse::<u16>().ok()),
        _ => None,
    };
    match status {
        Some(200) => {}
        Some(other) => return Err(Malformed::Status(other)),
        None => return Err(Malformed::StatusLine),
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or(Malformed::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length:0\r\n\r\n";

    #[test]
    fn any_chunks_give_the_same_count() {
        let stream = [ONE, ONE, TWO, TWO, ONE].concat();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut reader = AnswerReader::default();
                let parts = [&stream[..first], &stream[first..second], &stream[second..]];
                let sum: u32 = parts.iter().map(|part| reader.read(part).unwrap()).sum();
                assert_eq!(sum, 5, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn an_answer_counts_when_it_is_whole() {
        let mut reader = AnswerReader::default();
        assert_eq!(reader.read(&ONE[..ONE.len() - 1]), Ok(0));
        assert_eq!(reader.read(&ONE[ONE.len() - 1..]), Ok(1));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let table: [(&[u8], Malformed); 5] = [
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Malformed::Status(503)),
            (b"HTTP/1.1 200 OK\r\n\r\n", Malformed::ContentLength),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Malformed::ContentLength),
            (b"ICY 200 OK\r\n\r\n", Malformed::StatusLine),
            (&[b'x'; HEAD_BYTES_MAX + 1], Malformed::HeadTooLong),
        ];
        for (bytes, expected) in table {
            assert_eq!(AnswerReader::default().read(bytes), Err(expected));
        }
    }
}
