//! What is said of damage, in the same words by who opens a log and by who looks at it from outside.

use crate::segment::Evidence;
use std::path::Path;

/// Records are missing before a segment.
pub(super) fn gap(path: &Path, from: u64, to: u64) -> String {
    format!("{}: records {from} to {to} are missing before it", path.display())
}

/// The last segment ends before what was on the disk.
pub(super) fn missing_behind(path: &Path, from: u64, durable: u64) -> String {
    format!("{}: records {from} to {durable} are missing behind it", path.display())
}

/// A partition that had records has no segment.
pub(super) fn no_segment(dir: &Path, durable: u64) -> String {
    format!("{}: records up to {durable} were on the disk, and there is no segment", dir.display())
}

/// The last segment has a bad place that is no torn tail.
pub(super) fn corrupt(path: &Path, position: u64, offset: u64, evidence: &Evidence) -> String {
    format!("{}: damaged at byte {position} (offset {offset}): {evidence}", path.display())
}
