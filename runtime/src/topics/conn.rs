//! Topics as a connection sees them.

use super::directory::Since;
use super::subscribe::Wish;
use super::{Encoding, Publication, PublishError, Replay, SubscribeError};
use crate::conn::Conn;
use std::sync::Arc;

impl<W: Copy + 'static> Conn<'_, W> {
    /// Makes the connection a subscriber of a topic until [`unsubscribe`](Conn::unsubscribe) or its close. What the topic
    /// [keeps](crate::TopicOptions::history) is sent first, then every message that follows, each once.
    ///
    /// A message is delivered once for each subscription that it fits. A connection that subscribes already stays
    /// as it is. A name that ends in `*` is refused, because names often come from outside: see [`subscribe_prefix`](Conn::subscribe_prefix).
    ///
    /// ```
    /// use sws_runtime::{Conn, Data, Encoding, EventHandler};
    ///
    /// /// A chat in one room: everybody gets what the others write.
    /// struct Chat;
    ///
    /// impl EventHandler for Chat {
    ///     type Workspace = ();
    ///     fn on_open(&mut self, conn: &mut Conn<'_, ()>) {
    ///         if conn.subscribe("room/1", Encoding::RAW).is_err() {
    ///             conn.abort();
    ///         }
    ///     }
    ///     fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
    ///         if conn.publish_to_others("room/1", &data[..]).is_err() {
    ///             conn.abort();
    ///         }
    ///         data.len()
    ///     }
    /// }
    ///
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let runtime = sws_runtime::Runtime::new(Default::default())?;
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let (addr, handle) = (listener.local_addr().unwrap(), runtime.handle());
    /// let topics = runtime.topics();
    /// runtime.listen(listener, Chat);
    /// let clients = std::thread::spawn(move || {
    ///     let [mut ada, mut bob] = [(); 2].map(|()| TcpStream::connect(addr).unwrap());
    ///     while topics.subscribers("room/1") < 2 {
    ///         std::thread::yield_now();
    ///     }
    ///     ada.write_all(b"hello").unwrap();
    ///     let mut hello = [0; 5];
    ///     bob.read_exact(&mut hello).unwrap();
    ///     handle.shutdown();
    ///     hello
    /// });
    /// runtime.run();
    /// assert_eq!(&clients.join().unwrap(), b"hello");
    /// # Ok::<(), sws_runtime::RuntimeError>(())
    /// ```
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&mut self, topic: &str, encoding: Encoding) -> Result<(), SubscribeError> {
        refuse_pattern(topic)?;
        self.enter(Wish { topic, encoding, since: Since::Oldest, member: None, whole: false }).map(|_| ())
    }

    /// Makes the connection a subscriber of all topics whose name begins with `prefix`, of all workers, those included that come to be
    /// later. It gets no history. [`unsubscribe`](Conn::unsubscribe) takes the prefix with a `*` behind it.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_prefix(&mut self, prefix: &str, encoding: Encoding) -> Result<(), SubscribeError> {
        let pattern = format!("{prefix}*");
        self.enter(Wish { topic: &pattern, encoding, since: Since::Oldest, member: None, whole: false })
            .map(|_| ())
    }

    /// As [`subscribe`](Conn::subscribe), for one who has seen messages up to this [sequence number](Publication::sequence): only newer
    /// ones are sent of what the topic keeps. Says whether some in between are gone: those of an earlier life of the topic are. After 0
    /// everything kept is sent, as after a number that the topic has not given yet.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_since(
        &mut self,
        topic: &str,
        encoding: Encoding,
        after_sequence: u64,
    ) -> Result<Replay, SubscribeError> {
        refuse_pattern(topic)?;
        self.enter(Wish { topic, encoding, since: Since::After(after_sequence), member: None, whole: false })
    }

    /// As [`subscribe_since`](Conn::subscribe_since), unless messages in between are gone: then it says so in [`Replay::missed`] and
    /// nothing else happens. For one who reads them elsewhere, as from the topic's [journal](crate::Journal), until it has all but what
    /// is in memory.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_behind(
        &mut self,
        topic: &str,
        encoding: Encoding,
        after_sequence: u64,
    ) -> Result<Replay, SubscribeError> {
        refuse_pattern(topic)?;
        let since = Since::Behind(after_sequence);
        self.enter(Wish { topic, encoding, since, member: None, whole: true })
    }

    /// As [`subscribe`](Conn::subscribe), as one of the connections of a member of a topic with
    /// [presence](crate::TopicOptions::presence). When it is the member's first, the topic's subscribers are told, this one
    /// included; and again when the last one has left. Joining under another name leaves under the one before.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn join(&mut self, topic: &str, member: &str, encoding: Encoding) -> Result<(), SubscribeError> {
        self.enter(Wish { topic, encoding, since: Since::Oldest, member: Some(member), whole: false })
            .map(|_| ())
    }

    /// As [`join`](Conn::join), for one who has seen messages up to this sequence number, as by [`subscribe_since`](Conn::subscribe_since).
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn join_since(
        &mut self,
        topic: &str,
        member: &str,
        encoding: Encoding,
        after_sequence: u64,
    ) -> Result<Replay, SubscribeError> {
        self.enter(Wish {
            topic,
            encoding,
            since: Since::After(after_sequence),
            member: Some(member),
            whole: false,
        })
    }

    fn enter(&mut self, wish: Wish<'_>) -> Result<Replay, SubscribeError> {
        let (core, id) = self.parts();
        core.topics.subscribe(core, id, &wish)
    }

    /// Ends a subscription; what was published before is still delivered. False if there is none, and when an encoding asks, or the
    /// destructor of a payload: messages are just being delivered then.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        let (core, id) = self.parts();
        core.topics.unsubscribe(core, id, topic)
    }

    /// Nothing that is published from here on is sent to the connection; what was published before is. Its subscriptions end with
    /// it. For a protocol that has said its last word.
    pub fn mute(&mut self) {
        let (core, id) = self.parts();
        core.topics.settle(core, id);
        core.conns.mute(id);
    }

    /// Whether the connection subscribes to this topic, or this pattern.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        let (core, id) = self.parts();
        core.topics.list_of(core, id, topic).is_some()
    }

    /// The topics and patterns that the connection subscribes to, in no order.
    pub fn subscriptions(&self) -> Vec<Arc<str>> {
        let (core, id) = self.parts();
        let slots = core.conns.slots.borrow();
        if slots.get(id).is_none() {
            return Vec::new();
        }
        let local = core.topics.local.borrow();
        let lists = local.members.lists_of(&*slots, id.index);
        lists.into_iter().filter_map(|list| local.name_of(list)).collect()
    }

    /// [Publishes](crate::Topics::publish) to all subscribers but this connection.
    ///
    /// # Errors
    /// As [`Topics::publish`](crate::Topics::publish).
    pub fn publish_to_others(
        &mut self,
        topic: &str,
        message: impl Into<Publication>,
    ) -> Result<(), PublishError> {
        let (core, id) = self.parts();
        core.topics.publish(core, topic, message.into(), Some(id))
    }
}

fn refuse_pattern(topic: &str) -> Result<(), SubscribeError> {
    if topic.ends_with('*') { Err(SubscribeError::Name) } else { Ok(()) }
}
