//! Handlers by number: what the loop calls, without the workspace type of each.

use super::handler::Workspace;
use super::{Conn, ConnId, Conns, Data, EventHandler};
use crate::core::Core;
use crate::turn::guarded;
use std::any::TypeId;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

/// Names a handler of a worker, see [`Runtime::add_handler`](crate::Runtime::add_handler). `W` is its workspace, exactly:
///
/// ```compile_fail
/// use sws_runtime::HandlerId;
///
/// fn shorten(id: HandlerId<fn(&'static str)>) -> HandlerId<for<'a> fn(&'a str)> {
///     id
/// }
///
/// fn lengthen(id: HandlerId<for<'a> fn(&'a str)>) -> HandlerId<fn(&'static str)> {
///     id
/// }
/// ```
pub struct HandlerId<W> {
    pub(super) number: u8,
    /// Its worker: a number means nothing to another.
    pub(super) worker: u64,
    /// Neither a subtype nor a supertype of `W` will do: a state is written as one type and read as the other.
    workspace: PhantomData<fn(W) -> W>,
}

impl<W> HandlerId<W> {
    pub(crate) fn new(number: u8, worker: u64) -> HandlerId<W> {
        HandlerId { number, worker, workspace: PhantomData }
    }
}

impl<W> Clone for HandlerId<W> {
    fn clone(&self) -> HandlerId<W> {
        *self
    }
}

impl<W> Copy for HandlerId<W> {}

/// [`EventHandler`] without its workspace type.
pub(super) trait Service {
    fn on_open(&mut self, conn: (&Core, ConnId));
    fn on_data(&mut self, conn: (&Core, ConnId), data: &Data<'_>) -> usize;
    fn on_sent(&mut self, conn: (&Core, ConnId));
    fn on_end(&mut self, conn: (&Core, ConnId));
    fn on_deadline(&mut self, conn: (&Core, ConnId));
    fn on_drain(&mut self, conn: (&Core, ConnId));
    fn on_overflow(&mut self, conn: (&Core, ConnId));
    fn on_close(&mut self, conn: (&Core, ConnId));
}

struct Typed<H> {
    handler: H,
    /// Its own number.
    service: u8,
}

impl<H: EventHandler> Typed<H> {
    /// Calls the handler. One that panics loses the connection that it was called for, and nothing else.
    #[inline]
    fn guard(&mut self, (core, id): (&Core, ConnId), f: impl FnOnce(&mut H, &mut Conn<'_, H::Workspace>)) {
        core.fibers.set_name(std::any::type_name::<H>());
        if !guarded(|| f(&mut self.handler, &mut Conn::new(core, id, self.service))) {
            core.conns.doom(id);
        }
    }
}

impl<H: EventHandler> Service for Typed<H> {
    fn on_open(&mut self, conn: (&Core, ConnId)) {
        self.guard(conn, |handler, conn| {
            conn.set_workspace(H::Workspace::default());
            handler.on_open(conn);
        });
    }

    #[inline]
    fn on_data(&mut self, conn: (&Core, ConnId), data: &Data<'_>) -> usize {
        let mut taken = data.len();
        self.guard(conn, |handler, conn| {
            let count = handler.on_data(conn, data);
            assert!(count <= data.len(), "a handler took more bytes than there are");
            taken = count;
        });
        taken
    }

    fn on_sent(&mut self, conn: (&Core, ConnId)) {
        self.guard(conn, H::on_sent);
    }

    fn on_end(&mut self, conn: (&Core, ConnId)) {
        self.guard(conn, H::on_end);
    }

    fn on_deadline(&mut self, conn: (&Core, ConnId)) {
        self.guard(conn, H::on_deadline);
    }

    fn on_drain(&mut self, conn: (&Core, ConnId)) {
        self.guard(conn, H::on_drain);
    }

    fn on_overflow(&mut self, conn: (&Core, ConnId)) {
        self.guard(conn, H::on_overflow);
    }

    fn on_close(&mut self, conn: (&Core, ConnId)) {
        self.guard(conn, H::on_close);
    }
}

/// A handler and the type of its workspace.
pub(super) struct ServiceEntry {
    pub(super) service: Rc<RefCell<dyn Service>>,
    pub(super) workspace: TypeId,
}

impl Conns {
    /// Adds a handler; its number goes into the slots of its connections.
    pub(crate) fn add_service<H: EventHandler>(&self, handler: H) -> u8 {
        const {
            assert!(size_of::<H::Workspace>() <= size_of::<Workspace>(), "a workspace has at most 64 bytes");
            assert!(
                align_of::<H::Workspace>() <= align_of::<Workspace>(),
                "a workspace is aligned to at most 8"
            );
        }
        let mut services = self.services.borrow_mut();
        assert!(services.len() < 256, "a worker has at most 256 handlers");
        let service = services.len() as u8;
        services.push(ServiceEntry {
            service: Rc::new(RefCell::new(Typed { handler, service })),
            workspace: TypeId::of::<H::Workspace>(),
        });
        service
    }

    pub(super) fn service(&self, number: u8) -> Rc<RefCell<dyn Service>> {
        Rc::clone(&self.services.borrow()[usize::from(number)].service)
    }

    /// Calls one of the handler's callbacks for a connection.
    pub(super) fn call(&self, core: &Core, id: ConnId, f: impl FnOnce(&mut dyn Service, (&Core, ConnId))) {
        if let Some(number) = self.with(id, |slot| slot.service) {
            f(&mut *self.service(number).borrow_mut(), (core, id));
        }
    }
}
