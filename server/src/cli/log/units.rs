//! Sizes, times and bytes as people write and read them.

use bytesize::ByteSize;
use jiff::{SpanRelativeTo, Timestamp};
use std::fmt::Write;
use std::time::Duration;

/// `4096`, `64MiB`, `1G`: without an `i` by thousands, with it by 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wanted = || "a size is wanted, such as 4096, 64MiB or 1G".to_owned();
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| wanted())
}

/// `90s`, `12h`, `7d`, `1w 2d`; days have 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<jiff::Span>().ok();
    let whole = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    match whole.and_then(|duration| Duration::try_from(duration).ok()) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        Some(_) | None => Err("a time over 0 is wanted, such as 90s, 12h or 7d".to_owned()),
    }
}

/// A point in time in UTC, by ISO 8601; what is none stays a number.
pub(super) fn time(milliseconds: u64) -> String {
    let timestamp = i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match timestamp {
        Some(timestamp) => timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        None => format!("{milliseconds}ms"),
    }
}

/// Bytes as text on one line that does nothing to a terminal.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character.is_control() {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes all that is written");
        }
    }
    text
}

/// Rows as lines with columns of one width: the first `left` of them begin, the others end together; what is last is free.
pub(super) fn table(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            let gap = if at == 0 { "" } else { "  " };
            let written = match at {
                at if at < left => write!(line, "{gap}{cell:<width$}"),
                at if at + 1 == columns => write!(line, "{gap}{cell}"),
                _ => write!(line, "{gap}{cell:>width$}"),
            };
            written.expect("a string takes all that is written");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes as in the document of the format: place, sixteen bytes, and what of them is ASCII.
pub(super) fn hexdump(position: u64, bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        let ascii: String = chunk.iter().map(printable).collect();
        let at = position + 16 * line as u64;
        writeln!(text, "  {at:08x}  {:<47}  {ascii}", hex.join(" "))
            .expect("a string takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1G"), Ok(1_000_000_000));
        assert!(size("").is_err() && size("many").is_err() && size("-1").is_err());
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(duration("1w 2d 3h"), Ok(Duration::from_secs(9 * 86_400 + 3 * 3600)));
        for bad in ["", "7", "0s", "-1s", "soon", "1 month"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_iso_in_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_767_225_600_042), "2026-01-01T00:00:00.042Z");
        assert_eq!(time(u64::MAX), "18446744073709551615ms");
    }

    #[test]
    fn text_stays_on_its_line_and_out_of_the_terminal() {
        assert_eq!(escaped("tea, ça va".as_bytes()), "tea, ça va");
        assert_eq!(escaped(b"a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(escaped(&[b'a', 0xff, b'b']), "a\\xffb");
    }

    #[test]
    fn tables_and_dumps_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["topic", "high", "state"]), row(&["a", "1000", "ok"])];
        assert_eq!(table(&rows, 1), "topic  high  state\na      1000  ok\n");
        let dump = hexdump(64, b"0123456789abcdef\n");
        assert_eq!(dump.lines().count(), 2);
        assert!(dump.starts_with("  00000040  30 31 32") && dump.ends_with("  .\n"), "{dump}");
    }
}
