//! Operations on files: real system calls, made when their virtual delay has passed, so that memory which is freed
//! too early is written after it was freed.

use super::kernel::Target;
use super::real;
use super::script::Fault;
use super::world::{Effect, Event, OpId, World};
use crate::op::{Op, Span};
use std::os::fd::RawFd;

impl World {
    pub(super) fn start_file(&mut self, id: OpId) {
        if let Some(op) = self.ops.get_mut(&id) {
            op.is_running = true;
        }
        let delay = self.random.duration(self.options.slow_max);
        self.schedule(self.now + delay, Event::RunFile(id));
    }

    pub(super) fn run_file(&mut self, id: OpId) {
        let Some(op) = self.ops.get(&id) else { return };
        let (op, target) = (op.op, op.target);
        match (op, target) {
            (Op::OpenAt { directory, path, how }, _) => {
                // SAFETY: the caller of `push` keeps the path and the OpenHow, and their types are said by `Op`.
                let opened = real::call(unsafe {
                    libc::syscall(
                        libc::SYS_openat2,
                        directory,
                        path.address(),
                        how.address(),
                        size_of::<libc::open_how>(),
                    )
                });
                if let Ok(fd) = opened {
                    self.note_opened(fd as RawFd);
                }
                self.complete(id, opened, None, false, Effect::Raw);
            }
            (Op::Statx { directory, path, flags, mask, out }, _) => {
                let path = path.address() as *const libc::c_char;
                let out = out.address() as *mut libc::statx;
                // SAFETY: the caller of `push` keeps the path and the statx.
                let result = real::call(unsafe { libc::statx(directory, path, flags, mask, out) }.into());
                self.finish(id, result);
            }
            (Op::Read { buffer, offset, .. }, Target::Real(fd)) => {
                let len = self.shorten(buffer, Fault::ShortRead);
                self.finish(id, read(fd, buffer, len, offset));
            }
            (Op::Write { data, offset, .. }, Target::Real(fd)) => {
                let len = self.shorten(data, Fault::ShortWrite);
                self.finish(id, write(fd, data, len, offset));
            }
            (Op::Fsync { data_only, .. }, Target::Real(fd)) => {
                let sync = if data_only { libc::fdatasync } else { libc::fsync };
                // SAFETY: neither takes pointers.
                self.finish(id, real::call(unsafe { sync(fd) }.into()));
            }
            _ => self.finish(id, Err(libc::EINVAL)),
        }
    }

    /// How many bytes of the span are tried.
    fn shorten(&mut self, span: Span, fault: Fault) -> usize {
        let len = span.len() as usize;
        match len > 1 && self.draw(fault) {
            true => self.random.part(len),
            false => len,
        }
    }
}

/// `u64::MAX` is the descriptor's own position.
fn read(fd: RawFd, buffer: Span, len: usize, offset: u64) -> Result<u32, i32> {
    let to = buffer.address() as *mut libc::c_void;
    // SAFETY: the caller of `push` keeps the buffer, and `len` is within it.
    real::call(unsafe {
        match offset {
            u64::MAX => libc::read(fd, to, len),
            offset => libc::pread(fd, to, len, offset as i64),
        }
    } as i64)
}

fn write(fd: RawFd, data: Span, len: usize, offset: u64) -> Result<u32, i32> {
    let from = data.address() as *const libc::c_void;
    // SAFETY: the caller of `push` keeps the data, and `len` is within it.
    real::call(unsafe {
        match offset {
            u64::MAX => libc::write(fd, from, len),
            offset => libc::pwrite(fd, from, len, offset as i64),
        }
    } as i64)
}
