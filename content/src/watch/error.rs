//! What can go wrong, in words for the operator.

use std::fmt;
use std::io;
use std::path::PathBuf;
use sws_runtime::Cancelled;

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitKind {
    /// `fs.inotify.max_user_watches`: one for each folder, over all programs of the user.
    Watches,
    /// `fs.inotify.max_user_instances`: one for each watcher, over all programs of the user; or the process's open files.
    Instances,
    /// [`WatchOptions::entries_max`](super::WatchOptions::entries_max).
    Entries,
}

/// A bound that leaves folders unwatched. Its text says which, what it is and how it is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchLimit {
    /// Which bound.
    pub kind: LimitKind,
    /// Its value, where it could be read.
    pub current: Option<u64>,
    /// The kernel's setting that holds it; none for a bound of our own.
    pub sysctl: Option<&'static str>,
    /// The first folder that is not watched.
    pub path: PathBuf,
}

impl fmt::Display for WatchLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let what = match self.kind {
            LimitKind::Watches => "inotify watches",
            LimitKind::Instances => "inotify instances",
            LimitKind::Entries => "folders that may be watched",
        };
        write!(f, "cannot watch {path}: all {what} are used up")?;
        let Some(sysctl) = self.sysctl else {
            let most = self.current.unwrap_or_default();
            return write!(f, " (entries_max is {most}); raise it in the watcher's options");
        };
        let enough = if self.kind == LimitKind::Watches { 524_288 } else { 1024 };
        let raised = self.current.map_or(enough, |current| current.saturating_mul(2).max(enough));
        match self.current {
            Some(current) => write!(f, " ({sysctl} is {current})")?,
            None => write!(f, " ({sysctl})")?,
        }
        write!(f, "; raise it with: sudo sysctl {sysctl}={raised}")?;
        if self.kind == LimitKind::Instances {
            f.write_str(" (or, if the process has too many open files, with: ulimit -n)")?;
        }
        Ok(())
    }
}

impl std::error::Error for WatchLimit {}

/// Why there is no watcher, or no batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchError {
    /// No watch could be placed at all. The watcher is not made.
    Limit(WatchLimit),
    /// The root is gone: deleted, moved or unmounted. The watcher goes on: the next call waits until it is there again, and then
    /// says `rescan`.
    RootGone {
        /// The root as it was given.
        root: PathBuf,
    },
    /// The fiber was cancelled. Nothing is lost: a later call goes on.
    Cancelled,
    /// The kernel failed us.
    Io {
        /// What it was about.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchError::Limit(limit) => limit.fmt(f),
            WatchError::RootGone { root } => {
                write!(f, "the watched folder {} is gone; waiting for it to come back", root.display())
            }
            WatchError::Cancelled => Cancelled.fmt(f),
            WatchError::Io { path, source } => write!(f, "cannot watch {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for WatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WatchError::Limit(limit) => Some(limit),
            WatchError::Io { source, .. } => Some(source),
            WatchError::RootGone { .. } | WatchError::Cancelled => None,
        }
    }
}

impl From<Cancelled> for WatchError {
    fn from(_: Cancelled) -> WatchError {
        WatchError::Cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_says_which_what_and_how() {
        let (watches, instances) =
            (Some("fs.inotify.max_user_watches"), Some("fs.inotify.max_user_instances"));
        let table = [
            (
                LimitKind::Watches,
                watches,
                Some(8192),
                "(fs.inotify.max_user_watches is 8192)",
                "sudo sysctl fs.inotify.max_user_watches=524288",
            ),
            (
                LimitKind::Watches,
                watches,
                Some(500_000),
                "max_user_watches is 500000",
                "sudo sysctl fs.inotify.max_user_watches=1000000",
            ),
            (
                LimitKind::Watches,
                watches,
                None,
                "(fs.inotify.max_user_watches);",
                "sudo sysctl fs.inotify.max_user_watches=524288",
            ),
            (
                LimitKind::Instances,
                instances,
                Some(128),
                "max_user_instances is 128",
                "sudo sysctl fs.inotify.max_user_instances=1024",
            ),
            (LimitKind::Instances, instances, Some(128), "inotify instances", "ulimit -n"),
            (LimitKind::Entries, None, Some(10), "entries_max is 10", "options"),
        ];
        for (kind, sysctl, current, value, command) in table {
            let text =
                WatchError::Limit(WatchLimit { kind, current, sysctl, path: "site/blog".into() }).to_string();
            assert!(text.contains("site/blog") && text.contains(value) && text.contains(command), "{text}");
        }
    }
}
