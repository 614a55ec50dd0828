//! Looking at a log from outside, and mending it: for a person, while no server has it open.

use super::checkpoint;
use super::commit::POISONED;
use super::damage;
use super::directory::{self, decode_name};
use super::error::OpenError;
use super::options::TopicConfig;
use super::recover::{Place, check_header, foreign, judge, list_segments, scan};
use super::segment_file::segment_path;
use crate::segment::{RecordRef, ScanEnd, TailVerdict};
use crate::storage::{Storage, StorageFile, read_file, read_range, remove_if_there, write_all_at};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A partition, all of whose bytes were read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Its topic.
    pub topic: String,
    /// The topic's settings.
    pub config: TopicConfig,
    /// Its number.
    pub partition: u32,
    /// Its segments, the oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Why nothing can be produced: as it was noted when it happened, or because all segments are gone, or the topic's settings cannot be read,
    /// which are not the ones here then.
    pub poisoned: Option<String>,
}

/// A segment, all of whose bytes were read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its file.
    pub path: PathBuf,
    /// The offset with which it begins.
    pub base: u64,
    /// The offset behind its last.
    pub next: u64,
    /// Good records.
    pub records: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether it is sealed.
    pub is_sealed: bool,
    /// Whether it was compacted.
    pub is_compacted: bool,
    /// Bytes of a torn tail, which opening the log cuts.
    pub torn_bytes: u64,
    /// What is damaged.
    pub damage: Option<String>,
}

impl Inspection {
    /// All that is wrong with it.
    pub fn damage(&self) -> impl Iterator<Item = String> + '_ {
        let segments = self.segments.iter().filter_map(|segment| segment.damage.clone());
        let gaps = self.segments.windows(2).filter(|pair| pair[0].next != pair[1].base);
        let gaps = gaps.map(|pair| damage::gap(&pair[1].path, pair[0].next, pair[1].base));
        segments.chain(gaps).chain(self.poisoned.clone())
    }
}

/// Reads all of a log and changes nothing. A log that a server has open is read as it is at the moment: its last batch may be torn.
///
/// # Errors
/// [`OpenError`]: a folder or file cannot be read at all.
pub fn inspect(storage: &dyn Storage, dir: &Path) -> Result<Vec<Inspection>, OpenError> {
    let failed = |path: &Path, source| OpenError::Storage { path: path.to_owned(), source };
    let mut entries = storage.list(dir).map_err(|error| failed(dir, error))?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        let topic_dir = dir.join(&entry.name);
        let Some(topic) = decode_name(&entry.name) else { continue };
        let is_topic = storage.list(&topic_dir).map_err(|error| failed(&topic_dir, error))?;
        if !is_topic.iter().any(|file| file.name == directory::CONFIG) {
            continue;
        }
        let config = match directory::read_config(storage, &topic_dir) {
            // The others are none the worse for it.
            Err(OpenError::Invalid { path, reason }) => {
                found.push(Inspection {
                    topic,
                    config: TopicConfig::default(),
                    partition: 0,
                    segments: Vec::new(),
                    poisoned: Some(format!("{}: {reason}", path.display())),
                });
                continue;
            }
            config => config?,
        };
        for partition in 0..config.partitions {
            let dir = topic_dir.join(partition.to_string());
            let place = Place { storage, dir: &dir, topic: &topic, partition };
            found.push(inspect_partition(&place, config.clone())?);
        }
    }
    Ok(found)
}

fn inspect_partition(place: &Place<'_>, config: TopicConfig) -> Result<Inspection, OpenError> {
    let poisoned = read_file(place.storage, &place.dir.join(POISONED), 64 * 1024).ok();
    let known_durable =
        checkpoint::read(place.storage, place.dir).map_err(|error| place.failed(place.dir, error))?;
    let bases = list_segments(place, false)?;
    let mut segments = Vec::new();
    for (number, &base) in bases.iter().enumerate() {
        let is_last = number + 1 == bases.len();
        let path = segment_path(place.dir, base);
        let info = inspect_segment(place, &path, base, is_last, known_durable);
        segments.push(info.map_err(|source| OpenError::Storage { path, source })?);
    }
    let poisoned = poisoned.map(|reason| String::from_utf8_lossy(&reason).into_owned());
    let all_gone =
        (bases.is_empty() && known_durable > 0).then(|| damage::no_segment(place.dir, known_durable));
    Ok(Inspection {
        topic: place.topic.to_owned(),
        config,
        partition: place.partition,
        segments,
        poisoned: poisoned.or(all_gone),
    })
}

fn inspect_segment(
    place: &Place<'_>,
    path: &Path,
    base: u64,
    is_last: bool,
    known_durable: u64,
) -> io::Result<SegmentInfo> {
    let file = place.storage.open(path, false)?;
    let bytes = file.size()?;
    let mut info = SegmentInfo {
        path: path.to_owned(),
        base,
        next: base,
        records: 0,
        bytes,
        is_sealed: false,
        is_compacted: false,
        torn_bytes: 0,
        damage: None,
    };
    if is_last && let Some(what) = foreign(place, &*file, base, bytes)? {
        info.damage = Some(format!("{}: {what}", path.display()));
        return Ok(info);
    }
    let end = scan(&*file, base, |_, _| {})?;
    info.next = end.footer.map_or(end.next_offset, |footer| footer.next_offset);
    info.records = end.whole.count;
    info.is_sealed = end.footer.is_some();
    info.is_compacted = end.header.is_some_and(|header| header.compacted);
    if let Some(bad) = end.bad.filter(|_| !is_last) {
        info.damage = Some(format!("{}: damaged at byte {}: {}", path.display(), bad.position, bad.error));
    } else if is_last {
        match judge(&*file, &end, bytes, known_durable)? {
            TailVerdict::Clean { .. } => {}
            TailVerdict::Torn { bytes_cut, next_offset, .. } => {
                info.torn_bytes = bytes_cut;
                info.next = next_offset;
            }
            TailVerdict::Corrupt { position, offset, evidence } => {
                info.damage = Some(damage::corrupt(path, position, offset, &evidence));
            }
        }
    } else if end.footer.is_none() {
        info.damage = Some(format!("{}: it has no footer, and another segment follows", path.display()));
    }
    if info.damage.is_none() {
        let foreign = end.header.and_then(|header| check_header(place, &header, base).err());
        info.damage = match (foreign, end.footer) {
            (Some(what), _) => Some(format!("{}: {what}", path.display())),
            (None, Some(footer)) if is_last && known_durable > footer.next_offset => {
                Some(damage::missing_behind(path, footer.next_offset, known_durable))
            }
            (None, _) => None,
        };
    }
    Ok(info)
}

/// Calls `each` for every record of a segment's file with its place, and says how the file ends.
///
/// # Errors
/// As reading and opening files.
pub fn dump(
    storage: &dyn Storage,
    path: &Path,
    base: u64,
    each: impl FnMut(u64, &RecordRef<'_>),
) -> io::Result<ScanEnd> {
    scan(&*storage.open(path, false)?, base, each)
}

/// Why a partition was not repaired.
#[derive(Debug)]
#[non_exhaustive]
pub enum RepairError {
    /// The log cannot be opened: a server may have it.
    Open(OpenError),
    /// The storage failed.
    Storage(io::Error),
    /// There is no such partition.
    Unknown,
    /// Its last file is not its last segment, for this reason: nothing is cut of it.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepairError::Open(error) => error.fmt(f),
            RepairError::Storage(error) => write!(f, "the storage failed: {error}"),
            RepairError::Unknown => f.write_str("there is no such partition"),
            RepairError::Foreign { path, what } => {
                write!(f, "{}: {what}; put the right file in its place, or move it away", path.display())
            }
        }
    }
}

impl std::error::Error for RepairError {}

impl From<io::Error> for RepairError {
    fn from(error: io::Error) -> RepairError {
        RepairError::Storage(error)
    }
}

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The offset with which the partition goes on.
    pub next: u64,
    /// Bytes that were cut from the end of its last segment.
    pub bytes_cut: u64,
    /// Where the cut bytes are now, if there were any.
    pub kept_in: Option<PathBuf>,
}

/// Lets a partition that takes nothing more be written to again: its last segment ends with its last good record. What stood behind it is
/// kept in a file beside it, `<base>.cut`. It is for a person who has looked, because records may be lost by it.
///
/// # Errors
/// [`RepairError`].
pub fn repair(storage: &dyn Storage, dir: &Path, topic: &str, partition: u32) -> Result<Repair, RepairError> {
    let _lock = directory::lock(storage, dir).map_err(RepairError::Open)?;
    let topic_dir = dir.join(directory::encode_name(topic));
    let config = directory::read_config(storage, &topic_dir).map_err(RepairError::Open)?;
    if partition >= config.partitions {
        return Err(RepairError::Unknown);
    }
    let dir = topic_dir.join(partition.to_string());
    let place = Place { storage, dir: &dir, topic, partition };
    let mut repair = Repair::default();
    if let Some(&base) = list_segments(&place, true).map_err(RepairError::Open)?.last() {
        let path = segment_path(&dir, base);
        let file = storage.open(&path, true)?;
        if let Some(what) = foreign(&place, &*file, base, file.size()?)? {
            return Err(RepairError::Foreign { path, what });
        }
        let end = scan(&*file, base, |_, _| {})?;
        repair.next = end.footer.map_or(end.whole.next_offset, |footer| footer.next_offset);
        if end.footer.is_none() {
            let position = if end.header.is_some() { end.whole.records_bytes } else { 0 };
            repair.bytes_cut = file.size()?.saturating_sub(position);
            repair.kept_in = set_aside(storage, &*file, &path, position)?;
            storage.sync_dir(&dir)?;
            rewrite(storage, &*file, &path, position)?;
        } else {
            rewrite(storage, &*file, &path, file.size()?)?;
        }
    }
    checkpoint::remove(storage, &dir)?;
    remove_if_there(storage, &dir.join(POISONED))?;
    match storage.sync_dir(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(repair),
    }
}

/// Puts a copy in the place of a file: after a failed sync nothing else is sure to be on the disk, whatever a later sync says.
fn rewrite(storage: &dyn Storage, file: &dyn StorageFile, path: &Path, bytes: u64) -> io::Result<()> {
    let good = read_range(file, 0, bytes as usize)?;
    crate::storage::replace_file(storage, path, &good)
}

/// Copies what lies behind a position to a file of its own, if it is more than zeros.
fn set_aside(
    storage: &dyn Storage,
    file: &dyn StorageFile,
    path: &Path,
    position: u64,
) -> io::Result<Option<PathBuf>> {
    let rest = read_range(file, position, file.size()?.saturating_sub(position) as usize)?;
    let Some(last) = rest.iter().rposition(|&byte| byte != 0) else { return Ok(None) };
    let mut number = 0;
    loop {
        let kept_in =
            path.with_extension(if number == 0 { "cut".to_owned() } else { format!("cut{number}") });
        match storage.create(&kept_in) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
            Ok(kept) => {
                write_all_at(&*kept, &rest[..=last], 0)?;
                kept.sync()?;
                return Ok(Some(kept_in));
            }
        }
    }
}
