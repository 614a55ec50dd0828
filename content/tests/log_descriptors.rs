//! A process that is short of descriptors for a while: nothing is written then, and nothing has to be repaired. In a process of its own.

mod log_common;

use log_common::*;
use std::fs::File;
use sws_content::log::*;

/// Takes all descriptors that there are, but so many.
fn take_all_but(left: usize, taken: &mut Vec<File>) {
    taken.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    taken.truncate(taken.len() - left);
}

#[test]
fn without_descriptors_producers_are_refused_and_go_on_later() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        // Each record begins a segment: it takes all that a segment takes.
        log.create_topic("t", TopicConfig::default().segment_bytes(4096)).expect("a topic");
        let text = "x".repeat(5000);
        let mut expected = 0;
        let produce = || log.produce("t", Entry::text(&text), Acks::Durable).map(|produced| produced.offset);
        let (mut refused, mut taken) = (0, Vec::new());
        for left in (0..8).chain(0..8) {
            take_all_but(left, &mut taken);
            for _ in 0..3 {
                match produce() {
                    Ok(offset) => {
                        assert_eq!(offset, expected, "with {left}");
                        expected += 1;
                    }
                    Err(ProduceError::Storage { .. }) => refused += 1,
                    Err(error) => panic!("with {left}: {error:?}"),
                }
            }
            taken.truncate(taken.len() - 100);
            assert_eq!(produce().expect("there are descriptors again"), expected, "after {left}");
            expected += 1;
        }
        drop(taken);
        assert!(refused > 0, "some have met the bound");
        assert_eq!(all(&log, "t", 0, 0).len() as u64, expected);
        log.close();
    });
    let (_, report) = Log::open(&folder.0).expect("a log");
    assert_eq!((report.bytes_cut(), report.damage().count()), (0, 0), "{report:?}");
}
