//! The stacks on which jobs run.
//!
//! Owned by one worker thread and used by one coroutine at a time. The lowest page is a guard: a job that overflows its stack
//! faults there and ends the process, and writes over nothing.
//!
//! ```text
//! limit                                    base
//!   | guard (1 page) |      usable bytes     |
//!                      <-- grows downwards --
//! ```

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr;

use corosensei::stack::{Stack, StackPointer};

/// The smallest stack that a job can be given.
pub(super) const STACK_BYTES_MIN: usize = 16 * 1024;
/// Stacks that a thread keeps for its next jobs; further ones are unmapped as their jobs end.
const STACKS_SPARE_MAX: usize = 4;

/// One mapped stack with its guard page.
pub(super) struct JobStack {
    limit: NonZeroUsize,
    base: NonZeroUsize,
}

impl JobStack {
    fn map(usable_bytes: usize) -> io::Result<Self> {
        let page = page_bytes();
        let bytes = usable_bytes.next_multiple_of(page) + page;
        // SAFETY: a new anonymous mapping, placed by the kernel, touches no memory in use.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let limit = NonZeroUsize::new(address as usize).expect("the kernel maps nothing at zero");
        let base = limit.checked_add(bytes).expect("a mapping does not wrap");
        // From here on the mapping is given back by Drop.
        let stack = Self { limit, base };
        // SAFETY: the first page of the mapping just made, to which there is no reference.
        if unsafe { libc::mprotect(address, page, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// The addresses of the stack, its guard page included.
    pub(super) fn range(&self) -> Range<usize> {
        self.limit.get()..self.base.get()
    }
}

impl Drop for JobStack {
    fn drop(&mut self) {
        let bytes = self.base.get() - self.limit.get();
        // SAFETY: the mapping is this value's own, and the coroutine that stood on it has ended: it owned the stack until then.
        let result = unsafe { libc::munmap(self.limit.get() as *mut libc::c_void, bytes) };
        debug_assert_eq!(result, 0);
    }
}

// SAFETY: base and limit are page-aligned bounds of a mapping that lives as long as the value; it has a guard page at its
// lower end and at least STACK_BYTES_MIN usable bytes.
unsafe impl Stack for JobStack {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

/// One thread's stacks; the one given back last, whose memory is hot, goes out first.
pub(super) struct Stacks {
    spare: Vec<JobStack>,
    stack_bytes: usize,
}

impl Stacks {
    pub(super) fn new(stack_bytes: usize) -> Self {
        Self { spare: Vec::with_capacity(STACKS_SPARE_MAX), stack_bytes }
    }

    /// A stack for the next job: a spare one, or a new one.
    pub(super) fn acquire(&mut self) -> io::Result<JobStack> {
        match self.spare.pop() {
            Some(stack) => Ok(stack),
            None => JobStack::map(self.stack_bytes),
        }
    }

    /// Takes back the stack of a job that has ended.
    pub(super) fn release(&mut self, stack: JobStack) {
        if self.spare.len() < STACKS_SPARE_MAX {
            self.spare.push(stack);
        }
    }
}

fn page_bytes() -> usize {
    // SAFETY: sysconf takes no pointers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("the page size is known")
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Asks the kernel whether the byte at `address` can be read.
    fn readable(address: usize) -> bool {
        let (end, _other) = UnixStream::pair().unwrap();
        // SAFETY: the kernel checks the address and answers EFAULT if it cannot be read.
        unsafe { libc::write(end.as_raw_fd(), address as *const libc::c_void, 1) == 1 }
    }

    #[test]
    fn the_lowest_page_is_a_guard_and_the_rest_is_usable() {
        let page = page_bytes();
        let stack = JobStack::map(STACK_BYTES_MIN + 1).unwrap();
        let Range { start, end } = stack.range();
        assert_eq!((start % page, end - start), (0, STACK_BYTES_MIN + 2 * page));
        assert!(!readable(start) && !readable(start + page - 1));
        assert!(readable(start + page) && readable(end - 1));
    }

    #[test]
    fn the_hot_stack_goes_out_first_and_few_are_kept() {
        let mut stacks = Stacks::new(STACK_BYTES_MIN);
        let held: Vec<_> = (0..STACKS_SPARE_MAX + 2).map(|_| stacks.acquire().unwrap()).collect();
        let hot = held[STACKS_SPARE_MAX - 1].range();
        held.into_iter().for_each(|stack| stacks.release(stack));
        assert_eq!(stacks.spare.len(), STACKS_SPARE_MAX);
        assert_eq!(stacks.acquire().unwrap().range(), hot);
    }
}
