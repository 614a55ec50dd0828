//! The example of `docs/segment-format.md` is the one that the code writes.

use std::fmt::Write;

use super::*;

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/segment-format.md"));

/// The example: a header, two records of one atomic batch, a footer.
fn example() -> (Vec<u8>, Vec<usize>) {
    let header = SegmentHeader {
        base_offset: 41,
        created_ms: 1_767_225_600_000,
        partition: 2,
        topic_crc: topic_crc("orders"),
        compacted: false,
    };
    let record = NewRecord {
        timestamp_ms: 1_767_225_600_500,
        durable: 41,
        producer_id: 9,
        text: true,
        ..NewRecord::default()
    };
    let (key, payload) = (Some(&b"blue"[..]), &b"two chairs"[..]);
    let first = NewRecord { offset: 41, sequence: 6, key, payload, more: true, ..record };
    let second = NewRecord { offset: 42, sequence: 7, payload: "no table, ça va".as_bytes(), ..record };
    let (mut file, mut batch) = (header.encode().to_vec(), Vec::new());
    let mut tally = Tally::new(&header);
    let mut starts = vec![0, file.len()];
    encode_record(&mut batch, &first).expect("small");
    starts.push(file.len() + batch.len());
    encode_record(&mut batch, &second).expect("small");
    tally.push(&batch, 2, 43, record.timestamp_ms);
    file.extend_from_slice(&batch);
    starts.push(file.len());
    file.extend_from_slice(&tally.footer().encode());
    (file, starts)
}

/// Sixteen bytes a line, each part beginning a new one.
fn dump(file: &[u8], starts: &[usize]) -> String {
    let mut text = String::new();
    for (part, start) in starts.iter().enumerate() {
        let end = starts.get(part + 1).copied().unwrap_or(file.len());
        for (line, bytes) in file[*start..end].chunks(16).enumerate() {
            write!(text, "{:04x} ", start + 16 * line).expect("a string");
            for at in 0..16 {
                match bytes.get(at) {
                    Some(byte) => write!(text, " {byte:02x}").expect("a string"),
                    None => text.push_str("   "),
                }
            }
            let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
            writeln!(text, "  {}", bytes.iter().map(shown).collect::<String>()).expect("a string");
        }
        if part + 1 < starts.len() {
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_dump_in_the_document_is_what_the_code_writes() {
    let (file, starts) = example();
    let dump = dump(&file, &starts);
    let block = DOCUMENT.split("```").find(|block| block.starts_with("hexdump\n")).unwrap_or_default();
    assert_eq!(block.trim_start_matches("hexdump\n"), dump, "docs/segment-format.md should show:\n{dump}");
}

#[test]
fn the_example_is_a_good_segment() {
    let (file, _) = example();
    let mut scanner = Scanner::new(41);
    let mut input = &file[..];
    while let Step::Record { .. } = scanner.step(&mut input) {}
    let end = scanner.finish();
    assert_eq!(end.sealed().map(|footer| (footer.count, footer.next_offset)), Ok((2, 43)));
}

/// Each table's rows follow each other without a gap: `| at | bytes | field | ...`.
#[test]
fn the_tables_in_the_document_are_whole() {
    let mut lengths = Vec::new();
    let mut next = 0;
    for line in DOCUMENT.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let row = cells
            .get(1)
            .zip(cells.get(2))
            .and_then(|(at, len)| Some((at.parse::<usize>().ok()?, len.parse::<usize>().ok()?)));
        match row {
            Some((at, len)) => {
                assert_eq!(at, next, "{line}");
                next += len;
            }
            None if next != 0 => lengths.push(std::mem::take(&mut next)),
            None => {}
        }
    }
    assert_eq!(lengths, [HEADER_BYTES, RECORD_HEADER_BYTES, FOOTER_BYTES, 48, 24, 32]);
}
