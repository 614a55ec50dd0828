//! What can go wrong, a type for each verb.

use crate::storage::AppendError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use sws_runtime::Cancelled;

/// Why a log was not opened.
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    Locked {
        /// The file that says so.
        path: PathBuf,
    },
    /// The storage failed.
    Storage {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Debug for OpenError {
    /// As `Display`: it is what a `main` that returns it prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked { path } => write!(f, "another process has the log open ({})", path.display()),
            OpenError::Storage { path, source } => write!(f, "{}: {source}", path.display()),
            OpenError::Invalid { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Storage { source, .. } => Some(source),
            OpenError::Locked { .. } | OpenError::Invalid { .. } => None,
        }
    }
}

/// Why a topic was not made, changed or deleted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is empty, too long, or has a character that names must not have.
    Name,
    /// There is a topic of this name.
    Exists,
    /// There is none.
    UnknownTopic,
    /// There are as many as there may be.
    TooMany,
    /// The settings are out of range.
    Config(&'static str),
    /// The storage failed.
    Storage(Arc<io::Error>),
    /// The log is closed.
    Closed,
    /// The fiber was cancelled.
    Cancelled,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicError::Name => {
                f.write_str("a topic's name has 1 to 200 characters (others than letters, digits, `.`, `-`, `_` count threefold) and none of `#`, `*` and control characters")
            }
            TopicError::Exists => f.write_str("there is a topic of this name"),
            TopicError::UnknownTopic => f.write_str("there is no such topic"),
            TopicError::TooMany => f.write_str("there are as many topics as there may be"),
            TopicError::Config(what) => f.write_str(what),
            TopicError::Storage(error) => write!(f, "the storage failed: {error}"),
            TopicError::Closed => f.write_str("the log is closed"),
            TopicError::Cancelled => Cancelled.fmt(f),
        }
    }
}

impl std::error::Error for TopicError {}

impl From<io::Error> for TopicError {
    fn from(error: io::Error) -> TopicError {
        TopicError::Storage(Arc::new(error))
    }
}

/// Why a record has no place in the log, or none that is known.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProduceError {
    /// There is no such topic.
    UnknownTopic,
    /// The topic has no such partition, or wants one to be named.
    UnknownPartition,
    /// The record, its key or the batch is too large, or the batch is empty.
    Size,
    /// So much waits for the disk that nothing more is taken: nothing was written. To be tried again.
    Overloaded {
        /// After this time.
        retry_after: Duration,
    },
    /// There is no space left. Nothing of the record is kept; reading goes on, and so does producing when there is space again.
    StorageFull,
    /// A file could not be opened or made. Nothing was written; it may be tried again.
    Storage {
        /// Which one, and why.
        reason: Arc<str>,
    },
    /// The number is not the next one of this producer. Nothing was written.
    OutOfSequence {
        /// The next one.
        expected: u32,
    },
    /// A record of this producer with this number was written, but it is not known any more at which offset.
    Duplicate,
    /// The partition takes nothing: a write or a sync has failed, or a file is damaged. Whether this record is kept is not known.
    /// Reading goes on.
    Poisoned {
        /// What happened, and to which file.
        reason: Arc<str>,
    },
    /// The log is closed.
    Closed,
    /// The fiber was cancelled while it waited. Whether the record is kept is not known.
    Cancelled,
}

impl fmt::Display for ProduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProduceError::UnknownTopic => f.write_str("there is no such topic"),
            ProduceError::UnknownPartition => f.write_str("the topic has no such partition"),
            ProduceError::Size => f.write_str("the record, its key or the batch is too large, or empty"),
            ProduceError::Overloaded { retry_after } => {
                write!(f, "too much waits for the disk: try again after {} ms", retry_after.as_millis())
            }
            ProduceError::StorageFull => f.write_str("there is no space left on the storage"),
            ProduceError::Storage { reason } => write!(f, "the storage failed: {reason}"),
            ProduceError::OutOfSequence { expected } => {
                write!(f, "the producer's next number is {expected}")
            }
            ProduceError::Duplicate => f.write_str("a record with this number was written before"),
            ProduceError::Poisoned { reason } => write!(f, "the partition takes nothing more: {reason}"),
            ProduceError::Closed => f.write_str("the log is closed"),
            ProduceError::Cancelled => Cancelled.fmt(f),
        }
    }
}

impl std::error::Error for ProduceError {}

/// Why records were not read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no such topic.
    UnknownTopic,
    /// The topic has no such partition.
    UnknownPartition,
    /// The offset is not, or not any more, one of the partition.
    OutOfRange {
        /// The oldest that is kept.
        low: u64,
        /// The one that the next record will have.
        high: u64,
    },
    /// What was waited for did not come in time.
    TimedOut,
    /// A file is damaged.
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where.
        position: u64,
    },
    /// The storage failed.
    Storage(Arc<io::Error>),
    /// The log is closed.
    Closed,
    /// The fiber was cancelled.
    Cancelled,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::UnknownTopic => f.write_str("there is no such topic"),
            FetchError::UnknownPartition => f.write_str("the topic has no such partition"),
            FetchError::OutOfRange { low, high } => {
                write!(f, "the offset is out of range: kept are {low} up to, and without, {high}")
            }
            FetchError::TimedOut => f.write_str("the record did not come in time"),
            FetchError::Corrupt { path, position } => {
                write!(f, "{} is damaged at byte {position}", path.display())
            }
            FetchError::Storage(error) => write!(f, "the storage failed: {error}"),
            FetchError::Closed => f.write_str("the log is closed"),
            FetchError::Cancelled => Cancelled.fmt(f),
        }
    }
}

impl std::error::Error for FetchError {}

impl From<Cancelled> for FetchError {
    fn from(_: Cancelled) -> FetchError {
        FetchError::Cancelled
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> FetchError {
        if Cancelled::is_in(&error) { FetchError::Cancelled } else { FetchError::Storage(Arc::new(error)) }
    }
}

/// Errors that a call on another worker can end with.
pub(super) trait Remote: Send + 'static {
    /// The log is closed, or its worker gone.
    fn closed() -> Self;
    /// The calling fiber was cancelled.
    fn cancelled() -> Self;
    /// The log's worker takes no more calls at the moment.
    fn overloaded() -> Self;
}

/// Why a call does not reach the log's worker.
fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "the worker that has the log is overloaded")
}

macro_rules! remote {
    ($($error:ident: $overloaded:expr),*) => {$(
        impl Remote for $error {
            fn closed() -> $error {
                $error::Closed
            }

            fn cancelled() -> $error {
                $error::Cancelled
            }

            fn overloaded() -> $error {
                $overloaded
            }
        }
    )*};
}

remote!(
    TopicError: TopicError::Storage(Arc::new(busy())),
    ProduceError: ProduceError::Overloaded { retry_after: super::partition::RETRY_AFTER },
    FetchError: FetchError::Storage(Arc::new(busy()))
);

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::NotBegun(error) => write!(f, "a write was not begun: {error}"),
            AppendError::Write(error) => write!(f, "a write failed: {error}"),
            AppendError::Sync(error) => write!(f, "a sync failed: {error}"),
        }
    }
}

impl std::error::Error for AppendError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_it_says_it_in_words() {
        let error = OpenError::Locked { path: "data/lock".into() };
        assert_eq!(format!("{error:?}"), "another process has the log open (data/lock)");
    }
}
