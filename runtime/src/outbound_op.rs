//! A second ring of the worker, for connections that the program itself makes.
//!
//! It shares the kernel's worker threads with the main ring and has queues of its own, so that a burst of answers from other
//! services and one of requests do not crowd each other out. The loop harvests it at the end of a turn; its eventfd wakes
//! the main ring.

use crate::core::{self, Core};
use crate::runtime::Runtime;
use crate::turn::LoopOp;
use sws_rings::{OutboundRing, RingConfig, SetupError};

/// Entries of the outbound ring's queues.
const SUBMISSION_ENTRIES: u32 = 256;
const COMPLETION_ENTRIES: u32 = 4096;

impl Runtime {
    /// Makes the worker's outbound ring, attached to the main one; nothing if there is one already. Sockets use it when they are
    /// made for [`Lane::Outbound`](crate::Lane::Outbound).
    ///
    /// # Errors
    /// [`SetupError`] names what forbids it.
    ///
    /// ```
    /// use sws_runtime::net::TcpStream;
    /// use sws_runtime::{Config, Lane, Runtime};
    ///
    /// let runtime = Runtime::new(Config::default())?;
    /// runtime.attach_outbound()?;
    /// let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let address = service.local_addr().unwrap();
    /// let peer = runtime.block_on_fiber(move || {
    ///     TcpStream::connect_on(Lane::Outbound, address).and_then(|stream| stream.peer_addr())
    /// });
    /// assert_eq!(peer.unwrap(), address);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach_outbound(&self) -> Result<(), SetupError> {
        self.enter(|| core::with(attach))
    }
}

fn attach(core: &Core) -> Result<(), SetupError> {
    if core.outbound.borrow().is_some() {
        return Ok(());
    }
    let config = RingConfig {
        submission_entries: SUBMISSION_ENTRIES,
        completion_entries: COMPLETION_ENTRIES,
        direct_descriptors: 0,
        buffers: None,
        attach: None,
    };
    let ring = OutboundRing::attached_to(&core.ring.borrow(), config)?;
    *core.outbound.borrow_mut() = Some(ring);
    core.loop_ops.arm(core, LoopOp::Outbound);
    Ok(())
}
