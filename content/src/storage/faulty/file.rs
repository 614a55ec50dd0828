//! An open file of a [`FaultyStorage`].

use super::plan::Op;
use super::{FaultyStorage, State, Turn};
use crate::storage::{AppendError, StorageFile, write_all_at};
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;

/// What an append writes up to, with zeros: any backend may.
const BLOCK: usize = 4096;

#[derive(Debug)]
pub(super) struct FaultyFile {
    pub(super) storage: FaultyStorage,
    pub(super) node: usize,
    pub(super) writable: bool,
    pub(super) path: PathBuf,
}

impl FaultyFile {
    fn step<T>(&self, op: Op, call: impl FnOnce(&mut State, Turn) -> io::Result<T>) -> io::Result<T> {
        self.storage.step(op, &self.path, call)
    }

    fn check_writable(&self, errno: Errno) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(errno.into()) }
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        self.storage.lock().tree.release(self.node);
    }
}

impl StorageFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.step(Op::Read, |state, turn| {
            let len = match turn {
                Turn::Whole { bytes_max } => buffer.len().min(bytes_max),
                Turn::Torn(_) | Turn::Lost(_) => buffer.len(),
            };
            Ok(state.tree.content(self.node).read(&mut buffer[..len], offset))
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        self.step(Op::Write, |state, turn| {
            self.check_writable(Errno::BADF)?;
            let offset = usize::try_from(offset).map_err(|_| Errno::FBIG)?;
            let fitting = state.room_for(self.node).saturating_sub(offset);
            if fitting == 0 && !data.is_empty() {
                return Err(Errno::NOSPC.into());
            }
            let bytes_max = if let Turn::Whole { bytes_max } = turn { bytes_max } else { usize::MAX };
            let data = &data[..data.len().min(bytes_max).min(fitting)];
            let content = state.tree.content_mut(self.node);
            match turn {
                Turn::Whole { .. } => content.write(data, offset),
                Turn::Torn(mut dice) => content.write_torn(data, offset, || dice.below(2) == 0),
                Turn::Lost(_) => unreachable!("only a sync loses what it was to do"),
            }
            Ok(data.len())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.step(Op::Sync, |state, turn| {
            let content = state.tree.content_mut(self.node);
            match turn {
                Turn::Lost(mut fate) => content.lose(&mut fate),
                Turn::Whole { .. } | Turn::Torn(_) => content.sync(),
            }
            Ok(())
        })?;
        // It is done; who asked for it hears of it later, as from a disk.
        let _ = self.storage.suspend();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        self.step(Op::Size, |state, _| Ok(state.tree.content(self.node).len() as u64))
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.step(Op::SetSize, |state, _| {
            self.check_writable(Errno::INVAL)?;
            let bytes = usize::try_from(bytes).map_err(|_| Errno::FBIG)?;
            if bytes > state.room_for(self.node) {
                return Err(Errno::NOSPC.into());
            }
            state.tree.content_mut(self.node).set_len(bytes);
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.step(Op::Allocate, |state, _| {
            if bytes == 0 {
                return Err(Errno::INVAL.into());
            }
            self.check_writable(Errno::BADF)?;
            let bytes = usize::try_from(bytes).map_err(|_| Errno::FBIG)?;
            if bytes > state.room_for(self.node) {
                return Err(Errno::NOSPC.into());
            }
            let content = state.tree.content_mut(self.node);
            content.set_len(content.len().max(bytes));
            Ok(())
        })
    }

    fn append(&self, data: &[u8], offset: u64, written: &mut dyn FnMut()) -> Result<(), AppendError> {
        let end = offset as usize + data.len();
        let mut padded = data.to_vec();
        padded.resize(data.len() + end.next_multiple_of(BLOCK) - end, 0);
        write_all_at(self, &padded, offset).map_err(AppendError::Write)?;
        written();
        self.sync().map_err(AppendError::Sync)
    }
}

impl State {
    /// The size that a file can have at most.
    fn room_for(&self, node: usize) -> usize {
        let size = self.tree.content(node).len();
        let free = usize::try_from(self.capacity.saturating_sub(self.tree.used())).unwrap_or(usize::MAX);
        size.saturating_add(free)
    }
}
