//! Which call fails, and how.

use super::survival::Survival;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// What a call to a storage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// [`Storage::create`](crate::storage::Storage::create)
    Create,
    /// [`Storage::open`](crate::storage::Storage::open)
    Open,
    /// [`Storage::rename`](crate::storage::Storage::rename)
    Rename,
    /// [`Storage::remove`](crate::storage::Storage::remove)
    Remove,
    /// [`Storage::create_dir`](crate::storage::Storage::create_dir)
    CreateDir,
    /// [`Storage::remove_dir`](crate::storage::Storage::remove_dir)
    RemoveDir,
    /// [`Storage::list`](crate::storage::Storage::list)
    List,
    /// [`Storage::sync_dir`](crate::storage::Storage::sync_dir)
    SyncDir,
    /// [`StorageFile::read_at`](crate::storage::StorageFile::read_at)
    Read,
    /// [`StorageFile::write_at`](crate::storage::StorageFile::write_at), and the write of
    /// [`append`](crate::storage::StorageFile::append)
    Write,
    /// [`StorageFile::sync`](crate::storage::StorageFile::sync), and that of [`append`](crate::storage::StorageFile::append)
    Sync,
    /// [`StorageFile::size`](crate::storage::StorageFile::size)
    Size,
    /// [`StorageFile::set_size`](crate::storage::StorageFile::set_size)
    SetSize,
    /// [`StorageFile::allocate`](crate::storage::StorageFile::allocate), and
    /// [`prepare`](crate::storage::StorageFile::prepare)
    Allocate,
}

impl Op {
    /// Whether it only looks. A power cut there leaves the same as one at the next call that does not.
    #[must_use]
    pub fn only_looks(self) -> bool {
        match self {
            Op::Open | Op::List | Op::Read | Op::Size => true,
            Op::Create
            | Op::Rename
            | Op::Remove
            | Op::CreateDir
            | Op::RemoveDir
            | Op::SyncDir
            | Op::Write
            | Op::Sync
            | Op::SetSize
            | Op::Allocate => false,
        }
    }
}

/// One call to a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub op: Op,
    /// What it does it to: of a file the name by which it was opened, of a rename the old one.
    pub path: PathBuf,
}

/// How a call fails. The call does nothing then, but for what is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// EIO. After a sync that fails so, nothing of what it was to make durable ever gets to the disk, though it can still be read and
    /// a later sync says that all is well.
    Io,
    /// EIO from a sync that got a part to the disk; from other calls as [`Fault::Io`].
    IoAfter(Survival),
    /// ENOSPC; a sync as with [`Fault::Io`].
    NoSpace,
    /// EINTR.
    Interrupted,
    /// A read or a write that does at most that many bytes; other calls do as ever.
    Short(usize),
}

impl Fault {
    /// What a sync that fails has done.
    pub(super) fn survival(self) -> Survival {
        match self {
            Fault::IoAfter(survival) => survival,
            Fault::Io | Fault::NoSpace | Fault::Interrupted | Fault::Short(_) => Survival::Nothing,
        }
    }

    /// The error, unless it is none.
    pub(super) fn error(self) -> Option<io::Error> {
        match self {
            Fault::Io | Fault::IoAfter(_) => Some(Errno::IO.into()),
            Fault::NoSpace => Some(Errno::NOSPC.into()),
            Fault::Interrupted => Some(Errno::INTR.into()),
            Fault::Short(_) => None,
        }
    }
}

/// What is to happen to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    /// It does something of what it should, and then the power is off.
    Cut,
    Fault(Fault),
}

/// What happened and what is to happen.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    counts: BTreeMap<Op, usize>,
    cut_at: Option<usize>,
    off: bool,
    faults: Vec<Planned>,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    op: Op,
    first: usize,
    always: bool,
    fault: Fault,
}

impl Plan {
    pub(super) fn cut_at(&mut self, step: usize) {
        self.cut_at = Some(step);
    }

    pub(super) fn cut(&mut self) {
        self.off = true;
    }

    pub(super) fn push(&mut self, op: Op, first: usize, always: bool, fault: Fault) {
        self.faults.push(Planned { op, first, always, fault });
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    pub(super) fn count(&self, op: Op) -> usize {
        self.counts.get(&op).copied().unwrap_or(0)
    }

    /// Numbers a call and says what is to happen to it.
    pub(super) fn step(&mut self, step: Step) -> io::Result<Verdict> {
        if self.off {
            return Err(power_is_off());
        }
        let nth = self.count(step.op);
        let planned = self
            .faults
            .iter()
            .find(|fault| fault.op == step.op && (fault.first == nth || fault.always && fault.first < nth))
            .map(|planned| planned.fault);
        *self.counts.entry(step.op).or_default() += 1;
        let number = self.steps.len();
        self.steps.push(step);
        if self.cut_at.is_some_and(|cut| cut <= number) {
            self.off = true;
            return Ok(Verdict::Cut);
        }
        Ok(planned.map_or(Verdict::Proceed, Verdict::Fault))
    }
}

pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}
