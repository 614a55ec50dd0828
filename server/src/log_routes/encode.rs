//! Answers as JSON, written by hand where they are many.

use data_encoding::BASE64;
use sws_content::log::{Produced, Record};

/// Where records are that were produced to one partition.
pub(super) fn receipt(out: &mut Vec<u8>, topic: &str, produced: &Produced, count: usize) {
    out.extend_from_slice(b"{\"topic\":");
    text(out, topic);
    out.extend_from_slice(b",\"partition\":");
    number(out, u64::from(produced.partition));
    out.extend_from_slice(b",\"offset\":");
    number(out, produced.offset);
    out.extend_from_slice(b",\"count\":");
    number(out, count as u64);
    let duplicate: &[u8] = if produced.duplicate { b"true" } else { b"false" };
    out.extend_from_slice(b",\"duplicate\":");
    out.extend_from_slice(duplicate);
    out.push(b'}');
}

/// A record that was read.
pub(crate) fn record(out: &mut Vec<u8>, record: &Record) {
    out.push(b'{');
    record_members(out, record);
}

/// The members of a record that was read, and the brace that ends them.
pub(crate) fn record_members(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(b"\"offset\":");
    number(out, record.offset);
    out.extend_from_slice(b",\"timestamp\":");
    number(out, record.timestamp_ms);
    out.extend_from_slice(b",\"key\":");
    match record.key.as_deref().map(|key| (std::str::from_utf8(key), key)) {
        None => out.extend_from_slice(b"null"),
        Some((Ok(key), _)) => text(out, key),
        Some((Err(_), key)) => {
            out.extend_from_slice(b"{\"base64\":");
            base64(out, key);
            out.push(b'}');
        }
    }
    match std::str::from_utf8(&record.payload) {
        Ok(payload) if record.text => {
            out.extend_from_slice(b",\"text\":");
            text(out, payload);
        }
        _ => {
            out.extend_from_slice(b",\"base64\":");
            base64(out, &record.payload);
        }
    }
    if record.tombstone {
        out.extend_from_slice(b",\"tombstone\":true");
    }
    out.push(b'}');
}

/// A number in decimal.
pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A string of JSON.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.len() <= 32 && text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    serde_json::to_writer(out, text).expect("a string has a form, and memory takes all that is written");
}

/// Bytes as base64, in a string of JSON.
fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let begin = out.len();
    out.resize(begin + BASE64.encode_len(bytes.len()), 0);
    BASE64.encode_mut(bytes, &mut out[begin..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_those_of_json() {
        for value in [0, 7, 10, 99, 4_294_967_296, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
        let long = "a long text with a \" in it ".repeat(3);
        for value in ["", "plain", "\"", "\\", "\u{1}", "\n", "é\u{2028}", "</script>", &long] {
            let mut out = Vec::new();
            text(&mut out, value);
            assert_eq!(serde_json::from_slice::<String>(&out).expect("a string"), value);
        }
    }
}
