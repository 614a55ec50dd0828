//! A log's folder as it lies there (see `docs/segment-format.md`), read beside whoever has it open. Nothing is changed.

use super::Failure;
use percent_encoding::percent_decode_str;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use sws_content::log::TopicConfig;
use sws_content::segment::{FOOTER_BYTES, Footer};
use sws_content::storage::{StdStorage, Storage, StorageFile, read_file, read_full_at};

const CONFIG: &str = "topic.json";
const POISONED: &str = "poisoned";
const LOCK: &str = "lock";
/// Bytes of the small files of a topic, at most.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// A topic's folder.
#[derive(Debug)]
pub(super) struct TopicDir {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) config: TopicConfig,
}

impl TopicDir {
    pub(super) fn partition(&self, number: u32) -> PathBuf {
        self.path.join(number.to_string())
    }
}

/// A partition, as far as the footers of its sealed segments and the records of its last one say.
#[derive(Debug, Default)]
pub(super) struct PartitionView {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) records: u64,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    /// Why nothing can be produced, as it was noted when it happened.
    pub(super) poisoned: Option<String>,
    /// Where something is not as it should be, as far as that was seen: a batch may just be on its way to the disk.
    pub(super) bad: Option<String>,
}

/// Fails if there is no such folder.
pub(super) fn require(data: &Path) -> Result<(), Failure> {
    match data.is_dir() {
        true => Ok(()),
        false => {
            Err(Failure::Said(format!("there is no log in {} (--data says where it is)", data.display())))
        }
    }
}

/// All topics, by name.
pub(super) fn topics(data: &Path) -> Result<Vec<TopicDir>, Failure> {
    require(data)?;
    let mut topics = Vec::new();
    for entry in StdStorage.list(data).map_err(Failure::of_file(data))? {
        let Ok(name) = percent_decode_str(&entry.name).decode_utf8() else { continue };
        let path = data.join(&entry.name);
        let config_path = path.join(CONFIG);
        let config = match read_file(&StdStorage, &config_path, SMALL_BYTES_MAX) {
            // No topic, or one that is just made or deleted.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            result => result.map_err(Failure::of_file(&config_path))?,
        };
        let config =
            serde_json::from_slice(&config).map_err(|error| Failure::at(config_path.display(), error))?;
        topics.push(TopicDir { name: name.into_owned(), path, config });
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// One topic.
pub(super) fn topic(data: &Path, name: &str) -> Result<TopicDir, Failure> {
    let found = topics(data)?.into_iter().find(|topic| topic.name == name);
    found.ok_or_else(|| Failure::Said(format!("there is no topic {name} in {}", data.display())))
}

/// The numbers of the partitions that are meant: the one that is named, or all.
pub(super) fn partitions(topic: &TopicDir, named: Option<u32>) -> Result<Vec<u32>, Failure> {
    match named {
        Some(number) if number >= topic.config.partitions => Err(Failure::Said(format!(
            "{} has no partition {number}: they are 0 to {}",
            topic.name,
            topic.config.partitions.saturating_sub(1)
        ))),
        Some(number) => Ok(vec![number]),
        None => Ok((0..topic.config.partitions).collect()),
    }
}

/// Where a segment lies.
pub(super) fn segment_path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.seg"))
}

/// The first offset of a segment, by its name.
pub(super) fn base_of(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    (stem.len() == 20).then(|| stem.parse().ok()).flatten()
}

/// The first offsets of a partition's segments, rising.
pub(super) fn bases(dir: &Path) -> Result<Vec<u64>, Failure> {
    let entries = match StdStorage.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(Failure::of_file(dir))?,
    };
    let paths = entries.iter().map(|entry| Path::new(&entry.name));
    let segments = paths.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    let mut bases: Vec<u64> = segments.filter_map(base_of).collect();
    bases.sort_unstable();
    Ok(bases)
}

/// Looks at a partition.
pub(super) fn view(dir: &Path) -> Result<PartitionView, Failure> {
    let poisoned = match fs::read(dir.join(POISONED)) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(error.to_string()),
        Ok(reason) => Some(String::from_utf8_lossy(&reason).into_owned()),
    };
    let mut view = PartitionView { poisoned, ..PartitionView::default() };
    for base in bases(dir)? {
        let path = segment_path(dir, base);
        match look(&path, base, &mut view) {
            // Retention has taken it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result.map_err(Failure::of_file(&path))?,
        }
    }
    Ok(view)
}

fn look(path: &Path, base: u64, view: &mut PartitionView) -> io::Result<()> {
    let file = File::open(path)?;
    let (count, bytes, next) = match footer(&file)? {
        Some(footer) => (footer.count, footer.records_bytes + FOOTER_BYTES as u64, footer.next_offset),
        None => {
            let end = sws_content::log::dump(&StdStorage, path, base, |_, _| {})?;
            if let Some(bad) = end.bad {
                view.bad = Some(format!("{}: byte {}: {}", path.display(), bad.position, bad.error));
            }
            (end.whole.count, end.whole.records_bytes, end.whole.next_offset)
        }
    };
    if view.segments == 0 {
        view.low = base;
    }
    view.segments += 1;
    view.records += count;
    view.bytes += bytes;
    view.high = next;
    Ok(())
}

/// The footer of a sealed segment.
fn footer(file: &File) -> io::Result<Option<Footer>> {
    let Some(at) = file.size()?.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; FOOTER_BYTES];
    let filled = read_full_at(file, &mut bytes, at)?;
    Ok(Footer::find(&bytes[..filled]).ok().filter(|footer| footer.records_bytes == at))
}

/// Whether another process has the log open.
pub(super) fn is_open(data: &Path) -> bool {
    let path = data.join(LOCK);
    // A lock is a file that is made where there is none, and looking changes nothing.
    path.exists() && StdStorage.lock(&path).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}
