//! The faulty storage on its own: what it keeps, loses and counts.

use super::*;
use crate::storage::{read_file, replace_file, write_all_at};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(name)
}

fn with_file(name: &str, content: &[u8]) -> (FaultyStorage, SharedFile) {
    let storage = FaultyStorage::new();
    let file = storage.create(&path(name)).expect("created");
    write_all_at(&*file, content, 0).expect("written");
    file.sync().expect("synced");
    storage.sync_dir(&path("/")).expect("synced");
    (storage, file)
}

fn content(storage: &FaultyStorage, name: &str) -> Option<Vec<u8>> {
    match read_file(storage, &path(name), u64::MAX) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            None
        }
    }
}

fn names_in(storage: &FaultyStorage, folder: &str) -> Vec<String> {
    storage.list(&path(folder)).expect("listed").into_iter().map(|entry| entry.name).collect()
}

fn survivors<T: Ord>(storage: &FaultyStorage, look: impl Fn(&FaultyStorage) -> T) -> BTreeSet<T> {
    (0..400).map(|seed| look(&storage.after_power_cut(Survival::Random(seed)))).collect()
}

#[test]
fn what_is_synced_survives_and_what_is_not_may() {
    let (storage, file) = with_file("a", &[1; 600]);
    file.write_at(&[2; 600], 600).expect("written");
    assert_eq!(content(&storage, "a"), Some([[1; 600], [2; 600]].concat()));
    assert_eq!(content(&storage.after_power_cut(Survival::Nothing), "a"), Some(vec![1; 600]));
    let everything = storage.after_power_cut(Survival::Everything);
    assert_eq!(content(&everything, "a"), content(&storage, "a"));
    assert_eq!(content(&storage.after_crash(), "a"), content(&storage, "a"));
    file.sync().expect("synced");
    let synced = [[1; 600], [2; 600]].concat();
    assert_eq!(survivors(&storage, |left| content(left, "a")), BTreeSet::from([Some(synced)]));
}

#[test]
fn each_sector_survives_for_itself_and_whole() {
    let (storage, file) = with_file("a", &[0; 3 * 512]);
    file.write_at(&[1; 3 * 512], 0).expect("written");
    file.write_at(&[2; 512], 512).expect("written");
    let seen = survivors(&storage, |left| {
        let bytes = content(left, "a").expect("there");
        bytes
            .chunks(512)
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a torn sector");
                sector[0]
            })
            .collect::<Vec<u8>>()
    });
    let all: BTreeSet<Vec<u8>> = (0..12u8).map(|n| vec![n % 2, n / 2 % 3, n / 6]).collect();
    assert_eq!(seen, all);
}

#[test]
fn sizes_survive_apart_from_content() {
    let (storage, file) = with_file("a", &[1; 512]);
    file.write_at(&[2; 512], 512).expect("written");
    file.set_size(256).expect("cut");
    file.set_size(2048).expect("extended");
    let mut expected = vec![1; 256];
    expected.resize(2048, 0);
    assert_eq!(content(&storage, "a"), Some(expected.clone()));
    let sizes = survivors(&storage, |left| content(left, "a").expect("there").len());
    assert_eq!(sizes, BTreeSet::from([256, 512, 1024, 2048]));
    assert!(survivors(&storage, |left| content(left, "a")).len() > 10);
    assert_eq!(content(&storage.after_power_cut(Survival::Everything), "a"), Some(expected));
}

#[test]
fn the_names_of_a_folder_survive_in_their_order() {
    let (storage, _file) = with_file("a", b"a");
    storage.rename(&path("a"), &path("b")).expect("renamed");
    storage.create(&path("a")).expect("created");
    storage.create_dir(&path("c")).expect("made");
    let seen = survivors(&storage, |left| names_in(left, "/"));
    let expected: BTreeSet<Vec<String>> = [&["a"][..], &["b"], &["a", "b"], &["a", "b", "c"]]
        .iter()
        .map(|names| names.iter().map(|n| n.to_string()).collect())
        .collect();
    assert_eq!(seen, expected);
    storage.sync_dir(&path("/")).expect("synced");
    assert_eq!(names_in(&storage.after_power_cut(Survival::Nothing), "/"), ["a", "b", "c"]);
}

#[test]
fn a_name_in_a_new_folder_needs_a_sync_of_both() {
    let storage = FaultyStorage::new();
    storage.create_dir(&path("one/two")).expect("made");
    let file = storage.create(&path("one/two/file")).expect("created");
    file.sync().expect("synced");
    storage.sync_dir(&path("one/two")).expect("synced");
    storage.sync_dir(&path("one")).expect("synced");
    assert!(names_in(&storage.after_power_cut(Survival::Nothing), "/").is_empty());
    storage.sync_dir(&path("/")).expect("synced");
    assert_eq!(names_in(&storage.after_power_cut(Survival::Nothing), "one/two"), ["file"]);
}

#[test]
fn a_rename_between_folders_is_there_whole_or_not_at_all() {
    for synced in [None, Some("from"), Some("to")] {
        let storage = FaultyStorage::new();
        for folder in ["from", "to"] {
            storage.create_dir(&path(folder)).expect("made");
        }
        storage.create(&path("from/x")).expect("created");
        for folder in ["from", "/"] {
            storage.sync_dir(&path(folder)).expect("synced");
        }
        storage.create(&path("to/before")).expect("created");
        storage.rename(&path("from/x"), &path("to/x")).expect("renamed");
        storage.create(&path("from/after")).expect("created");
        if let Some(folder) = synced {
            storage.sync_dir(&path(folder)).expect("synced");
        }
        let seen =
            survivors(&storage, |left| (names_in(left, "from").join(" "), names_in(left, "to").join(" ")));
        let all = [("x", ""), ("x", "before"), ("", "before x"), ("after", "before x")];
        let possible = match synced {
            None => &all[..],
            Some("to") => &all[2..],
            Some(_) => &all[3..],
        };
        let possible: BTreeSet<_> =
            possible.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect();
        assert_eq!(seen, possible, "{synced:?}");
    }
}

#[test]
fn a_removed_file_is_used_on_by_who_has_it_open() {
    let (storage, file) = with_file("a", &[1; 100]);
    storage.remove(&path("a")).expect("removed");
    assert_eq!(storage.open(&path("a"), false).expect_err("gone").kind(), ErrorKind::NotFound);
    let mut buffer = [0; 200];
    assert_eq!(file.read_at(&mut buffer, 0).expect("read"), 100);
    assert_eq!(storage.used(), 100);
    drop(file);
    assert_eq!(storage.used(), 0);
    assert_eq!(content(&storage.after_power_cut(Survival::Nothing), "a"), Some(vec![1; 100]));
}

#[test]
fn the_power_goes_in_the_middle_of_a_write() {
    let (storage, file) = with_file("a", &[0; 8 * 512]);
    storage.power_cut_at(storage.steps().len() + 1);
    file.write_at(&[1; 8 * 512], 0).expect("written");
    assert!(file.write_at(&[2; 8 * 512], 0).is_err());
    let count = storage.steps().len();
    for result in
        [file.sync(), storage.sync_dir(&path("/")), storage.remove(&path("a")), file.size().map(drop)]
    {
        assert_eq!(result.expect_err("off").to_string(), "the power is off");
    }
    assert_eq!(storage.steps().len(), count);
    let left = content(&storage.after_power_cut(Survival::Everything), "a").expect("there");
    assert!(left.contains(&1) && left.contains(&2), "{left:?}");
}

#[test]
fn the_power_goes_in_the_middle_of_creating() {
    let storage = FaultyStorage::new();
    storage.power_cut_at(0);
    assert!(storage.create(&path("a")).is_err());
    assert_eq!(survivors(&storage, |left| content(left, "a")), BTreeSet::from([None, Some(vec![])]));
}

#[test]
fn a_sync_that_failed_loses_what_a_later_one_says_is_safe() {
    assert_eq!(lost_by(Fault::Io), vec![1; 4096]);
    assert_eq!(lost_by(Fault::NoSpace), vec![1; 4096]);
    assert_eq!(lost_by(Fault::IoAfter(Survival::Everything)), vec![2; 4096]);
    let parts: BTreeSet<_> = (0..20).map(|seed| lost_by(Fault::IoAfter(Survival::Random(seed)))).collect();
    assert!(parts.len() > 5);
}

/// What is on the disk when a sync of twos over ones failed.
fn lost_by(fault: Fault) -> Vec<u8> {
    let (storage, file) = with_file("a", &[1; 4096]);
    file.write_at(&[2; 4096], 0).expect("written");
    storage.fail(Op::Sync, storage.count(Op::Sync), fault);
    assert_eq!(file.sync().expect_err("planned").kind(), fault.error().expect("one").kind());
    file.sync().expect("it says so");
    assert_eq!(content(&storage, "a"), Some(vec![2; 4096]));
    let left = content(&storage.after_power_cut(Survival::Everything), "a").expect("there");
    storage.drop_caches();
    assert_eq!(content(&storage, "a").as_ref(), Some(&left));
    file.write_at(&[3; 4096], 0).expect("written");
    file.sync().expect("synced");
    assert_eq!(content(&storage.after_power_cut(Survival::Nothing), "a"), Some(vec![3; 4096]));
    left
}

#[test]
fn a_sync_of_names_that_failed_loses_them() {
    assert!(names_left_by(Fault::Io).is_empty());
    let names = names_left_by(Fault::IoAfter(Survival::Everything));
    let parts: BTreeSet<_> =
        (0..50).map(|seed| names_left_by(Fault::IoAfter(Survival::Random(seed)))).collect();
    let prefixes: BTreeSet<_> = (0..=names.len()).map(|len| names[..len].to_vec()).collect();
    assert_eq!(parts, prefixes);
}

/// What is on the disk when a sync of new names failed.
fn names_left_by(fault: Fault) -> Vec<String> {
    let storage = FaultyStorage::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        storage.create(&path(name)).expect("created");
    }
    storage.fail(Op::SyncDir, 0, fault);
    assert!(storage.sync_dir(&path("/")).is_err());
    storage.sync_dir(&path("/")).expect("it says so");
    assert_eq!(names_in(&storage, "/"), names);
    let left = names_in(&storage.after_power_cut(Survival::Everything), "/");
    storage.drop_caches();
    assert_eq!(names_in(&storage, "/"), left);
    left
}

#[test]
fn faults_come_when_planned() {
    let storage = FaultyStorage::new();
    storage.fail(Op::Write, 1, Fault::Short(3));
    storage.fail(Op::Write, 2, Fault::Interrupted);
    storage.fail(Op::Read, 0, Fault::Short(2));
    storage.fail_from(Op::Write, 4, Fault::Io);
    let file = storage.create(&path("a")).expect("created");
    file.write_at(b"..........", 0).expect("written");
    write_all_at(&*file, b"abcdef", 0).expect("written in two, with an interruption");
    let mut buffer = [0; 6];
    assert_eq!(file.read_at(&mut buffer, 0).expect("read"), 2);
    assert_eq!(file.read_at(&mut buffer, 0).expect("read"), 6);
    assert_eq!(&buffer, b"abcdef");
    for _ in 0..3 {
        assert_eq!(
            file.write_at(b"x", 0).expect_err("planned").raw_os_error(),
            Some(Errno::IO.raw_os_error())
        );
    }
    storage.heal();
    file.write_at(b"x", 0).expect("written");
    let writes: Vec<Step> = storage.steps().into_iter().filter(|step| step.op == Op::Write).collect();
    assert_eq!(writes, vec![Step { op: Op::Write, path: path("a") }; 8]);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let storage = FaultyStorage::new();
    let file = storage.create(&path("a")).expect("created");
    storage.set_capacity(10);
    assert_eq!(file.write_at(&[1; 8], 0).expect("written"), 8);
    assert_eq!(file.write_at(&[2; 8], 8).expect("written"), 2);
    for result in [file.write_at(b"x", 10).map(drop), file.allocate(11), file.set_size(11)] {
        assert_eq!(result.expect_err("full").kind(), ErrorKind::StorageFull);
    }
    file.write_at(&[3; 10], 0).expect("no more than there was");
    let other = storage.create(&path("b")).expect("created");
    assert!(other.write_at(b"x", 0).is_err());
    file.set_size(9).expect("cut");
    other.write_at(b"x", 0).expect("there is room");
    storage.remove(&path("b")).expect("removed");
    drop(other);
    assert_eq!(storage.used(), 9);
}

#[test]
fn a_damaged_byte_is_damaged_everywhere() {
    let (storage, file) = with_file("a", &[0; 1000]);
    file.write_at(&[0; 10], 990).expect("written");
    for offset in [0, 995] {
        storage.corrupt(&path("a"), offset, 0x80).expect("damaged");
    }
    for left in [storage.after_crash(), storage.after_power_cut(Survival::Random(1)), storage.clone()] {
        let bytes = content(&left, "a").expect("there");
        let damaged: Vec<usize> = (0..1000).filter(|&at| bytes[at] == 0x80).collect();
        assert_eq!(damaged, [0, 995]);
    }
    assert_eq!(
        storage.corrupt(&path("a"), 1000, 1).expect_err("behind the end").kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(storage.corrupt(&path("b"), 0, 1).expect_err("none").kind(), ErrorKind::NotFound);
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let workload = |storage: &FaultyStorage| {
        replace_file(storage, &path("x"), &[1; 700])?;
        storage.sync_dir(&path("/"))?;
        replace_file(storage, &path("x"), &[2; 900])
    };
    let whole = FaultyStorage::new();
    workload(&whole).expect("no fault");
    let mut seen = BTreeSet::new();
    for step in 0..whole.steps().len() {
        let storage = FaultyStorage::new();
        storage.power_cut_at(step);
        assert!(workload(&storage).is_err());
        seen.extend(survivors(&storage, |left| content(left, "x")));
    }
    assert_eq!(seen, BTreeSet::from([None, Some(vec![1; 700]), Some(vec![2; 900])]));
}

#[test]
fn an_append_may_write_zeros_to_the_end_of_its_block() {
    let (storage, file) = with_file("a", b"abc");
    let mut told = 0;
    file.append(b"def", 3, &mut || told += 1).expect("appended");
    let bytes = content(&storage.after_power_cut(Survival::Nothing), "a").expect("there");
    assert_eq!((&bytes[..6], bytes.len(), told), (&b"abcdef"[..], 4096, 1));
    assert!(bytes[6..].iter().all(|byte| *byte == 0));
    storage.fail(Op::Sync, storage.count(Op::Sync), Fault::Io);
    let result = file.append(b"ghi", 6, &mut || told += 1);
    assert!(matches!(result, Err(crate::storage::AppendError::Sync(_))) && told == 2);
    storage.fail(Op::Write, storage.count(Op::Write), Fault::Io);
    let result = file.append(b"ghi", 6, &mut || told += 1);
    assert!(matches!(result, Err(crate::storage::AppendError::Write(_))) && told == 2);
}

#[test]
fn the_same_seed_leaves_the_same() {
    let (storage, file) = with_file("a", &[0; 4096]);
    file.write_at(&[1; 4096], 100).expect("written");
    for seed in 0..20 {
        let look = || content(&storage.after_power_cut(Survival::Random(seed)), "a");
        assert_eq!(look(), look());
    }
}
