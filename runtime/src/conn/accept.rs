//! Listeners: accepting, and when to pause.
//!
//! A full pool pauses accepting until a slot is released; it does not spin, and the kernel's backlog holds the peers. What the
//! kernel had accepted already waits in line for a slot. Without descriptors (EMFILE, ENFILE) or memory, accepting is tried
//! again when a connection has ended or after a while.

use super::{ConnId, Conns, flag};
use crate::core::{Core, Phase};
use crate::limits::ACCEPT_RETRY;
use crate::stats::count;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;
use sws_rings::{Address, Completion, Descriptor, Op, OpKind, Owner, Token};

pub(super) struct Listener {
    /// `None` once it accepts no more: peers are refused then, instead of waiting in the backlog for nothing.
    socket: Option<OwnedFd>,
    service: u8,
    armed: bool,
    retry_at: Option<Duration>,
    /// Accepted, and without a slot.
    waiting: VecDeque<u32>,
    stopped: bool,
}

impl Listener {
    /// Closes the socket of a listener that has stopped, unless an accept still names it.
    fn close_if_over(&mut self) {
        if self.stopped && !self.armed {
            self.socket = None;
        }
    }
}

impl Conns {
    /// Accepts connections of a listening socket for a handler.
    pub(crate) fn listen(&self, core: &Core, socket: OwnedFd, service: u8) -> usize {
        let number = {
            let mut listeners = self.listeners.borrow_mut();
            listeners.push(Listener {
                socket: Some(socket),
                service,
                armed: false,
                retry_at: None,
                waiting: VecDeque::new(),
                stopped: false,
            });
            listeners.len() - 1
        };
        self.arm_accept(core, number);
        number
    }

    fn listener_count(&self) -> usize {
        self.listeners.borrow().len()
    }

    fn arm_accept(&self, core: &Core, number: usize) {
        if core.phase.get() != Phase::Running || self.slots.borrow().is_full() {
            return;
        }
        let mut listeners = self.listeners.borrow_mut();
        let listener = &mut listeners[number];
        if listener.armed || listener.stopped || listener.retry_at.is_some() || !listener.waiting.is_empty() {
            return;
        }
        let Some(socket) = &listener.socket else { return };
        listener.armed = true;
        let direct = core.ring.borrow().direct_descriptors() > 0;
        let op = Op::AcceptMulti { listener: Descriptor::Raw(socket.as_raw_fd()), direct };
        // SAFETY: names no memory.
        unsafe { core.ring.borrow_mut().push(&op, accept_token(number)) };
    }

    fn cancel_accept(&self, core: &Core, number: usize) {
        if self.listeners.borrow()[number].armed {
            let cancel = Token::new(Owner::Loop, OpKind::Cancel, 0, 0);
            // SAFETY: names no memory.
            unsafe { core.ring.borrow_mut().push(&Op::Cancel { target: accept_token(number) }, cancel) };
        }
    }

    /// A connection was accepted, or accepting failed.
    pub(crate) fn on_accept(&self, core: &Core, completion: Completion) {
        let number = completion.token.index() as usize;
        let stopped = {
            let mut listeners = self.listeners.borrow_mut();
            let Some(listener) = listeners.get_mut(number) else { return };
            listener.armed &= completion.more;
            listener.close_if_over();
            listener.stopped
        };
        match completion.result {
            Ok(fd) if stopped => self.close_unused(core, fd),
            Ok(fd) => self.open(core, number, fd),
            Err(libc::ECANCELED) => {}
            Err(errno) => self.on_accept_error(core, number, errno),
        }
        self.arm_accept(core, number);
    }

    /// ECONNABORTED and its like are the peer's affair: accepting goes on at once. Without descriptors or memory it
    /// pauses. Anything else is treated so too, because no kernel answer may end the loop or make it spin.
    fn on_accept_error(&self, core: &Core, number: usize, errno: i32) {
        count(&core.stats.accept_errors);
        let peers_affair = matches!(
            errno,
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EAGAIN
                | libc::EPROTO
                | libc::EPERM
                | libc::ETIMEDOUT
                | libc::ENETDOWN
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        );
        if !peers_affair {
            self.listeners.borrow_mut()[number].retry_at = Some(core.now() + ACCEPT_RETRY);
        }
    }

    fn open(&self, core: &Core, number: usize, fd: u32) {
        let Some(id) = self.slots.borrow_mut().acquire() else {
            self.listeners.borrow_mut()[number].waiting.push_back(fd);
            self.cancel_accept(core, number);
            return;
        };
        let service = self.listeners.borrow()[number].service;
        let direct = core.ring.borrow().direct_descriptors() > 0;
        self.with(id, |slot| {
            slot.descriptor = fd;
            slot.service = service;
            slot.flags = flag::ACTIVE | if direct { flag::DIRECT } else { 0 };
        });
        count(&core.stats.accepted);
        self.service(service).borrow_mut().on_open((core, id));
        self.arm_receive(core, id);
        if self.slots.borrow().is_full() {
            for number in 0..self.listener_count() {
                self.cancel_accept(core, number);
            }
        }
    }

    /// A slot is free: gives it to a connection that waits, or goes on accepting.
    pub(super) fn resume_accepting(&self, core: &Core) {
        for number in 0..self.listener_count() {
            while !self.slots.borrow().is_full() {
                let Some(fd) = self.listeners.borrow_mut()[number].waiting.pop_front() else { break };
                self.open(core, number, fd);
            }
            self.listeners.borrow_mut()[number].retry_at = None;
            self.arm_accept(core, number);
        }
    }

    /// Tries again what had failed for want of descriptors.
    pub(crate) fn retry_accepting(&self, core: &Core) {
        for number in 0..self.listener_count() {
            let due = self.listeners.borrow()[number].retry_at.is_some_and(|at| at <= core.now());
            if due {
                self.listeners.borrow_mut()[number].retry_at = None;
                self.arm_accept(core, number);
            }
        }
    }

    pub(super) fn next_accept_retry(&self) -> Option<Duration> {
        self.listeners.borrow().iter().filter_map(|listener| listener.retry_at).min()
    }

    /// Accepts no more, for good.
    pub(crate) fn stop_accepting(&self, core: &Core) {
        for number in 0..self.listener_count() {
            self.cancel_accept(core, number);
            let waiting = {
                let listener = &mut self.listeners.borrow_mut()[number];
                listener.stopped = true;
                listener.retry_at = None;
                listener.close_if_over();
                std::mem::take(&mut listener.waiting)
            };
            for fd in waiting {
                self.close_unused(core, fd);
            }
        }
    }

    /// Whether an accept is in flight.
    pub(crate) fn is_accepting(&self) -> bool {
        self.listeners.borrow().iter().any(|listener| listener.armed)
    }

    /// Closes a descriptor that has no slot.
    fn close_unused(&self, core: &Core, fd: u32) {
        let descriptor = match core.ring.borrow().direct_descriptors() {
            0 => Descriptor::Raw(fd as i32),
            _ => Descriptor::Direct(fd),
        };
        let token = Token::new(Owner::Loop, OpKind::Close, 0, 0);
        // SAFETY: names no memory.
        unsafe { core.ring.borrow_mut().push(&Op::Close { descriptor }, token) };
    }

    /// The address a listener is bound to, while it accepts.
    pub(crate) fn local_addr(&self, number: usize) -> Option<SocketAddr> {
        let listeners = self.listeners.borrow();
        let socket = listeners.get(number)?.socket.as_ref()?.try_clone().ok()?;
        TcpListener::from(socket).local_addr().ok()
    }

    /// The peer's address: of an ordinary descriptor by asking, of a direct one by making an ordinary one of it first.
    pub(super) fn peer_addr(&self, core: &Core, id: ConnId) -> Option<SocketAddr> {
        let (flags, fd) = self.with(id, |slot| (slot.flags, slot.descriptor))?;
        if flags & flag::DIRECT == 0 {
            // SAFETY: the slot is open, so the descriptor is.
            let socket = unsafe { BorrowedFd::borrow_raw(fd as i32) };
            return Address::of_peer(socket).ok()?.socket_addr();
        }
        if !core.fibers.on_fiber() {
            return None;
        }
        // SAFETY: names no memory.
        let installed = unsafe { crate::ops::run(core, &Op::Install { index: fd }, "peer address") }.ok()?;
        // SAFETY: the descriptor was just installed and has no other owner.
        let owned = unsafe { OwnedFd::from_raw_fd(installed as i32) };
        Address::of_peer(owned.as_fd()).ok()?.socket_addr().filter(|_| self.is_open(id))
    }
}

fn accept_token(number: usize) -> Token {
    Token::new(Owner::Watch, OpKind::Accept, number as u32, 0)
}
