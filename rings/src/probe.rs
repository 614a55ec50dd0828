//! What the kernel can do, found by asking it and by trying.

use crate::config::RingConfig;
use crate::op::{Descriptor, Op};
use crate::token::{OpKind, Owner, Token};
use crate::{Ring, SetupError, Wait};
#[cfg(not(sws_sim))]
use io_uring::{IoUring, Probe, opcode};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What the kernel can do of that which sws uses where it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// DEFER_TASKRUN and SINGLE_ISSUER.
    pub deferred_task_work: bool,
    /// A minimum time to wait for more completions (6.12).
    pub min_wait: bool,
    /// Buffers that are filled in pieces (6.12).
    pub incremental_buffers: bool,
    /// A table of direct descriptors was registered.
    pub direct_descriptors: bool,
    /// A multishot receive stays armed after a completion: tried by [`probe`].
    pub multishot_receive: bool,
    /// Socket options on direct descriptors (6.7).
    pub socket_options: bool,
    /// A direct descriptor can be made an ordinary one (6.8).
    pub install: bool,
}

#[cfg(not(sws_sim))]
pub(crate) fn of(uring: &IoUring, incremental: bool, direct: bool) -> Features {
    let mut ops = Probe::new();
    let known = uring.submitter().register_probe(&mut ops).is_ok();
    Features {
        deferred_task_work: uring.params().is_setup_single_issuer(),
        min_wait: uring.params().is_feature_min_timeout(),
        incremental_buffers: incremental,
        direct_descriptors: direct,
        multishot_receive: false,
        socket_options: known && ops.is_supported(opcode::SetSockOpt::CODE),
        install: known && ops.is_supported(opcode::FixedFdInstall::CODE),
    }
}

/// Makes a small ring and tries on it what cannot be asked.
///
/// # Errors
/// When there is no ring at all.
pub fn probe() -> Result<Features, SetupError> {
    let config = RingConfig {
        submission_entries: 64,
        completion_entries: 128,
        direct_descriptors: 8,
        ..RingConfig::default()
    };
    let mut ring = Ring::new(&config)?;
    let mut features = ring.features();
    features.multishot_receive = try_multishot(&mut ring);
    Ok(features)
}

fn try_multishot(ring: &mut Ring) -> bool {
    let Ok((ours, mut theirs)) = UnixStream::pair() else { return false };
    let token = Token::new(Owner::Loop, OpKind::Recv, 0, 0);
    // SAFETY: the operation names no memory, and the socket outlives the ring's use of it: both end in this function,
    // and the ring holds its own reference to the file.
    unsafe { ring.push(&Op::RecvMulti { descriptor: Descriptor::Raw(ours.as_raw_fd()) }, token) };
    if theirs.write_all(b"x").is_err() {
        return false;
    }
    ring.submit_and_wait(Wait::one(Some(Duration::from_secs(1))));
    let mut completions = Vec::new();
    ring.drain(|_| true, &mut completions);
    completions.first().is_some_and(|first| first.result == Ok(1) && first.more)
}
