//! A ring of the client and its table of direct descriptors: a set of connections.
//!
//! `RLIMIT_NOFILE` bounds a table, not all tables of a process, so one thread with some fifty rings holds a million
//! connections where the limit is 20,000.

use std::io;
use std::time::Duration;

use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

/// Submissions that fit at once.
const SQ_ENTRIES: u32 = 1024;
const CQ_ENTRIES: u32 = 8192;
/// The kernel's own bound of a table.
const SLOTS_MAX: u64 = 1 << 20;

/// What an operation was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Socket,
    Linger,
    Connect,
    Request,
    Answer,
    Idle,
    Ask,
    Echo,
}

const KINDS: [Kind; 8] = [
    Kind::Socket,
    Kind::Linger,
    Kind::Connect,
    Kind::Request,
    Kind::Answer,
    Kind::Idle,
    Kind::Ask,
    Kind::Echo,
];

/// Names an operation: `kind` in 8 bits, `lane` (of an [`Opener`](super::open::Opener)) in 24, the slot in 32.
pub(super) fn name(kind: Kind, lane: u32, slot: u32) -> u64 {
    debug_assert!(lane < 1 << 24, "a lane has 24 bits");
    (kind as u64) << 56 | u64::from(lane) << 32 | u64::from(slot)
}

/// What a completion says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub kind: Kind,
    pub lane: u32,
    pub slot: u32,
    pub result: i32,
}

impl Event {
    fn decode(user_data: u64, result: i32) -> Event {
        let kind = KINDS[(user_data >> 56) as usize];
        Event { kind, lane: (user_data >> 32) as u32 & 0xff_ffff, slot: user_data as u32, result }
    }
}

/// Connections that did what an idle one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disturbed {
    /// The server has ended them.
    pub closed: u64,
    /// The server has sent something that nobody asked for.
    pub unasked: u64,
}

/// A ring with a table of direct descriptors. Dropped, it closes all of them.
pub struct ClientRing {
    ring: IoUring,
    slots: u32,
    opened: u32,
    disturbed: Disturbed,
}

/// Slots that one table may have where a process may have `nofile` descriptors.
pub fn slots_max(nofile: u64) -> u32 {
    nofile.min(SLOTS_MAX) as u32
}

impl ClientRing {
    /// A ring with room for `slots` connections, for this thread only.
    pub fn new(slots: u32) -> io::Result<Self> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .build(SQ_ENTRIES)?;
        ring.submitter().register_files_sparse(slots)?;
        Ok(ClientRing { ring, slots, opened: 0, disturbed: Disturbed::default() })
    }

    /// Connections that have a slot.
    pub fn len(&self) -> u32 {
        self.opened
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.opened == 0
    }

    /// Slots without a connection.
    pub fn room(&self) -> u32 {
        self.slots - self.opened
    }

    pub(super) fn take_slot(&mut self) -> u32 {
        assert!(self.room() > 0, "the table has a free slot");
        self.opened += 1;
        self.opened - 1
    }

    /// Queues operations that belong together: they go to the kernel with one call.
    ///
    /// # Safety
    /// The memory that the entries name stays until their operations have completed, and nobody else touches it meanwhile.
    pub(super) unsafe fn push(&mut self, entries: &[squeue::Entry]) -> io::Result<()> {
        loop {
            // SAFETY: what the caller owes.
            if unsafe { self.ring.submission().push_multiple(entries) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }

    /// Submits what is queued, waits for a completion or the time, and appends what came to `events`.
    pub(super) fn turn(&mut self, timeout: Duration, events: &mut Vec<Event>) -> io::Result<()> {
        let span = Timespec::from(timeout);
        let args = SubmitArgs::new().timespec(&span);
        match self.ring.submitter().submit_with_args(1, &args) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::ETIME)) => {}
            result => drop(result?),
        }
        let completions = self.ring.completion();
        events.extend(completions.map(|entry| Event::decode(entry.user_data(), entry.result())));
        Ok(())
    }

    /// Arms what tells of a connection that is not idle any more. A poll costs the kernel a third of a receive.
    pub(super) fn arm_idle(&mut self, slot: u32) -> io::Result<()> {
        let poll = opcode::PollAdd::new(Fixed(slot), (libc::POLLIN | libc::POLLRDHUP) as u32)
            .build()
            .user_data(name(Kind::Idle, 0, slot));
        // SAFETY: a poll names no memory.
        unsafe { self.push(&[poll]) }
    }

    /// Counts a connection that was not idle.
    pub(super) fn note_disturbed(&mut self, poll: i32) {
        let ended = i32::from(libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR);
        if poll < 0 || poll & ended != 0 {
            self.disturbed.closed += 1;
        } else {
            self.disturbed.unasked += 1;
        }
    }

    /// Connections of this ring that were not idle since they were opened, each counted once.
    pub fn disturbed(&mut self) -> io::Result<Disturbed> {
        let mut events = Vec::new();
        loop {
            self.turn(Duration::ZERO, &mut events)?;
            if events.is_empty() {
                return Ok(self.disturbed);
            }
            for event in events.drain(..).filter(|event| event.kind == Kind::Idle) {
                self.note_disturbed(event.result);
            }
        }
    }
}

impl Drop for ClientRing {
    fn drop(&mut self) {
        // Closes the connections here and not some time after the ring; without a table there is nothing to close.
        let _ = self.ring.submitter().unregister_files();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (n, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, n);
            let event = Event::decode(name(kind, 0xabcdef, u32::MAX - 1), -5);
            assert_eq!(
                (event.kind, event.lane, event.slot, event.result),
                (kind, 0xabcdef, u32::MAX - 1, -5)
            );
        }
    }
}
