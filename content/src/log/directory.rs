//! The folder of a log: one for each topic, in it one for each partition.
//!
//! ```text
//! lock                         held while a process has the log open
//! <topic>/topic.json           its settings; a folder without it is no topic
//! <topic>/topic.deleted        what becomes of that file when the topic is deleted, until all else is gone
//! <topic>/<partition>/         segments, indexes, checkpoint, poisoned
//! ```
//!
//! The name of a topic's folder is its name, with bytes other than letters, digits, `.`, `-` and `_` as `%XX`; so is the first of `lock`.

use super::core::{Topic, is_name};
use super::error::{OpenError, TopicError};
use super::live;
use super::options::{LogOptions, TopicConfig};
use super::partition::{Partition, State};
use super::producers::Producers;
use super::recover::{PartitionReport, Place, Recovered, recover, recover_recent};
use crate::storage::{Lock, Storage, read_file, remove_if_there, replace_file};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use sws_runtime::Topics;

pub(super) const CONFIG: &str = "topic.json";
const DELETED: &str = "topic.deleted";
const LOCK: &str = "lock";
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// A topic as it was found.
#[derive(Debug)]
pub(super) struct FoundTopic {
    pub(super) name: String,
    dir: PathBuf,
    config: TopicConfig,
    partitions: Vec<(PathBuf, Recovered)>,
}

impl FoundTopic {
    /// Tells a domain of topics what there is.
    pub(super) fn restore(&self, topics: &Topics) {
        for (number, (_, state)) in self.partitions.iter().enumerate() {
            let name = super::live_name(&self.name, number as u32);
            live::restore(topics, &name, state.end, state.recent.as_ref());
        }
    }

    /// On the worker that will have it.
    pub(super) fn into_topic(self) -> Topic {
        let (name, config): (Arc<str>, _) = (self.name.into(), Rc::new(self.config));
        let partitions = self.partitions.into_iter().enumerate().map(|(number, (dir, recovered))| {
            let state = recovered.into_state();
            Rc::new(Partition::new(Arc::clone(&name), number as u32, dir, Rc::clone(&config), state))
        });
        Topic { partitions: partitions.collect(), name, dir: self.dir, config, turn: Cell::new(0) }
    }
}

/// A topic's name as that of a folder.
pub(super) fn encode_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (number, byte) in name.bytes().enumerate() {
        // A folder that begins with a dot is hidden, or not a folder of its own; and one name is taken.
        let plain = match byte {
            b'.' => number > 0,
            b'l' if number == 0 => name != LOCK,
            _ => byte.is_ascii_alphanumeric() || b"-_".contains(&byte),
        };
        match plain {
            true => encoded.push(char::from(byte)),
            false => write!(encoded, "%{byte:02X}").expect("a string takes all that is written"),
        }
    }
    encoded
}

/// The name of the topic whose folder this is; `None` for a folder that is none of ours.
pub(super) fn decode_name(folder: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(folder.len());
    let mut rest = folder.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    let name = String::from_utf8(bytes).ok()?;
    (is_name(&name) && encode_name(&name) == folder).then_some(name)
}

/// Makes the folder of a log and those above it, and their names durable.
pub(super) fn make(storage: &dyn Storage, dir: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Storage { path: dir.to_owned(), source };
    let is_missing = |path: &&Path| {
        let named = !path.as_os_str().is_empty();
        named && storage.list(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    storage.create_dir(dir).map_err(failed)?;
    for path in missing {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        storage.sync_dir(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    }
    Ok(())
}

/// Keeps other processes out of a log's folder.
pub(super) fn lock(storage: &dyn Storage, dir: &Path) -> Result<Lock, OpenError> {
    let path = dir.join(LOCK);
    storage.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { path },
        _ => OpenError::Storage { path, source },
    })
}

/// Finds all topics and opens their partitions. Deletions that broke off are ended.
pub(super) fn open_all(
    dir: &Path,
    options: &LogOptions,
) -> Result<(Vec<FoundTopic>, Vec<PartitionReport>), OpenError> {
    let storage = &*options.storage;
    let failed = |path: &Path, source| OpenError::Storage { path: path.to_owned(), source };
    let (mut topics, mut reports) = (Vec::new(), Vec::new());
    let mut recent_bytes = options.recent_bytes_total_max;
    let mut entries = storage.list(dir).map_err(|error| failed(dir, error))?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    storage.sync_dir(dir).map_err(|error| failed(dir, error))?;
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        let Some(name) = decode_name(&entry.name) else { continue };
        let topic_dir = dir.join(&entry.name);
        let names = storage.list(&topic_dir).map_err(|error| failed(&topic_dir, error))?;
        if names.iter().any(|name| name.name == DELETED) {
            delete(storage, &topic_dir).map_err(|error| failed(&topic_dir, error))?;
            continue;
        }
        if !names.iter().any(|name| name.name == CONFIG) {
            // A creation that broke off. The folder is used when the topic is made.
            continue;
        }
        let config = match read_config(storage, &topic_dir) {
            Err(OpenError::Invalid { path, reason }) => {
                // The others are none the worse for it.
                let what = format!("{}: {reason}; restore it, or move the folder away", path.display());
                reports.push(PartitionReport {
                    topic: name,
                    damage: vec![what],
                    ..PartitionReport::default()
                });
                continue;
            }
            result => result?,
        };
        // What a process that was killed had named may not be on the disk yet, and is about to be seen.
        storage.sync_dir(&topic_dir).map_err(|error| failed(&topic_dir, error))?;
        let mut partitions = Vec::new();
        for partition in 0..config.partitions {
            let dir = topic_dir.join(partition.to_string());
            let place = Place { storage, dir: &dir, topic: &name, partition };
            let (mut recovered, report) = recover(&place, options)?;
            recover_recent(&place, &mut recovered, &mut recent_bytes);
            partitions.push((dir, recovered));
            reports.push(report);
        }
        topics.push(FoundTopic { name, dir: topic_dir, config, partitions });
    }
    Ok((topics, reports))
}

/// The settings of a topic.
pub(super) fn read_config(storage: &dyn Storage, topic_dir: &Path) -> Result<TopicConfig, OpenError> {
    let path = topic_dir.join(CONFIG);
    let invalid = |reason: String| OpenError::Invalid { path: path.clone(), reason };
    let bytes = read_file(storage, &path, CONFIG_BYTES_MAX).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => {
            invalid(source.to_string())
        }
        _ => OpenError::Storage { path: path.clone(), source },
    })?;
    let config: TopicConfig = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    config.check().map_err(|what| invalid(what.to_owned()))?;
    Ok(config)
}

/// Makes the folders of a topic, and last its settings.
pub(super) fn create(
    storage: &dyn Storage,
    dir: &Path,
    name: &Arc<str>,
    config: TopicConfig,
    options: &LogOptions,
) -> Result<Topic, TopicError> {
    let topic_dir = dir.join(encode_name(name));
    // What a creation or deletion that broke off has left; never what may be somebody's records.
    if holds_records(storage, &topic_dir)? {
        let what =
            format!("{} holds records and no settings: restore them, or move it away", topic_dir.display());
        return Err(TopicError::Storage(Arc::new(io::Error::other(what))));
    }
    clear(storage, &topic_dir)?;
    let mut partitions = Vec::new();
    let shared = Rc::new(config);
    for number in 0..shared.partitions {
        let partition_dir = topic_dir.join(number.to_string());
        storage.create_dir(&partition_dir)?;
        let state = State {
            sealed: VecDeque::new(),
            active: None,
            end: 0,
            durable: 0,
            producers: Producers::new(options.producers_max),
            poison: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
        };
        let partition = Partition::new(Arc::clone(name), number, partition_dir, Rc::clone(&shared), state);
        partitions.push(Rc::new(partition));
    }
    storage.sync_dir(&topic_dir)?;
    storage.sync_dir(dir)?;
    let json = serde_json::to_vec_pretty(&*shared).map_err(io::Error::from)?;
    replace_file(storage, &topic_dir.join(CONFIG), &json)?;
    Ok(Topic {
        name: Arc::clone(name),
        dir: topic_dir,
        config: shared,
        partitions: partitions.into(),
        turn: Cell::new(0),
    })
}

/// Takes a topic's settings away: it is no topic any more from here on, also for who opens the log next.
pub(super) fn mark_deleted(storage: &dyn Storage, topic_dir: &Path) -> io::Result<()> {
    match storage.rename(&topic_dir.join(CONFIG), &topic_dir.join(DELETED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Deletes the folder of a topic that is none any more.
pub(super) fn delete(storage: &dyn Storage, topic_dir: &Path) -> io::Result<()> {
    storage.sync_dir(topic_dir)?;
    clear(storage, topic_dir)?;
    storage.remove_dir(topic_dir)
}

/// Whether there are segments, or settings that could not be read, in a folder that is no topic and was not deleted.
fn holds_records(storage: &dyn Storage, topic_dir: &Path) -> io::Result<bool> {
    let entries = match storage.list(topic_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result?,
    };
    if entries.iter().any(|entry| entry.name == DELETED) {
        return Ok(false);
    }
    for entry in &entries {
        if entry.is_dir {
            let files = storage.list(&topic_dir.join(&entry.name))?;
            if files.iter().any(|file| file.name.ends_with(".seg")) {
                return Ok(true);
            }
        }
    }
    Ok(entries.iter().any(|entry| entry.name == CONFIG))
}

/// Takes away what a topic's folder holds, the mark of its deletion last.
fn clear(storage: &dyn Storage, topic_dir: &Path) -> io::Result<()> {
    let entries = match storage.list(topic_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    for entry in entries.iter().filter(|entry| entry.is_dir && entry.name.parse::<u32>().is_ok()) {
        let partition = topic_dir.join(&entry.name);
        for file in storage.list(&partition)? {
            remove_if_there(storage, &partition.join(file.name))?;
        }
        storage.remove_dir(&partition)?;
    }
    for entry in entries.iter().filter(|entry| !entry.is_dir && entry.name.starts_with("topic.")) {
        storage.remove(&topic_dir.join(&entry.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_their_topics() {
        for name in ["orders", "room/1", "a b", "é", "..", ".hidden", "50%", "A-b_c.d", "lock", "locks"] {
            let folder = encode_name(name);
            assert!(!folder.contains('/') && !folder.starts_with('.') && folder != LOCK, "{folder}");
            assert_eq!(decode_name(&folder).as_deref(), Some(name), "{folder}");
        }
        for folder in ["lock", "room%2f1", "a b", "%4", "%ZZ", "%23", "", "%41"] {
            assert_eq!(decode_name(folder), None, "{folder}");
        }
    }
}
