//! What a turn has published, in order.

use super::Publication;
use super::mailbox::weight;
use crate::conn::ConnId;
use std::ops::Range;
use std::sync::Arc;

/// Payload bytes of a run of several messages: it goes out as one piece, which is to fit a connection's window.
pub(super) const RUN_BYTES: usize = 16 * 1024;

/// Places that are kept from turn to turn.
const PLACES_KEPT: usize = 1024;

/// A message, and who does not get it.
pub(super) struct Item {
    pub(super) publication: Publication,
    pub(super) except: Option<ConnId>,
}

/// Consecutive messages of one topic.
pub(super) struct Run {
    pub(super) topic: Arc<str>,
    /// Whether the topic is known to have no state that workers share.
    pub(super) is_plain: bool,
    pub(super) has_exceptions: bool,
    first: usize,
    bytes: usize,
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) runs: Vec<Run>,
    pub(super) items: Vec<Item>,
    /// What the messages weigh.
    pub(super) bytes: usize,
}

impl Log {
    /// The name of the last run's topic, if it is this one and known to be plain.
    pub(super) fn last_plain(&self, topic: &str) -> Option<&Arc<str>> {
        self.runs.last().filter(|run| run.is_plain && &*run.topic == topic).map(|run| &run.topic)
    }

    pub(super) fn push(
        &mut self,
        topic: &Arc<str>,
        is_plain: bool,
        publication: Publication,
        except: Option<ConnId>,
    ) {
        let bytes = publication.payload.len();
        self.bytes += weight(&publication);
        let first = self.items.len();
        self.items.push(Item { publication, except });
        if let Some(run) = self.runs.last_mut()
            && run.bytes + bytes <= RUN_BYTES
            && run.topic == *topic
        {
            run.bytes += bytes;
            run.has_exceptions |= except.is_some();
            return;
        }
        let topic = Arc::clone(topic);
        self.runs.push(Run { topic, is_plain, has_exceptions: except.is_some(), first, bytes });
    }

    /// Where the messages of a run are.
    pub(super) fn items_of(&self, run: usize) -> Range<usize> {
        let end = self.runs.get(run + 1).map_or(self.items.len(), |next| next.first);
        self.runs[run].first..end
    }

    /// Forgets everything, and keeps some of the memory.
    pub(super) fn clear(&mut self) {
        self.bytes = 0;
        self.runs.clear();
        self.items.clear();
        self.runs.shrink_to(PLACES_KEPT);
        self.items.shrink_to(PLACES_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn consecutive_messages_of_a_topic_are_one_run_up_to_its_bytes() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut log = Log::default();
        for (topic, len) in [(&a, 1), (&a, 2), (&b, 3), (&a, 4), (&a, RUN_BYTES), (&a, 1)] {
            log.push(topic, true, Publication::from(vec![0; len]), None);
        }
        let runs: Vec<_> = (0..log.runs.len()).map(|run| log.items_of(run)).collect();
        assert_eq!(runs, [0..2, 2..3, 3..4, 4..5, 5..6]);
        assert!(
            log.bytes > RUN_BYTES + 11 + 6 * size_of::<Bytes>(),
            "messages weigh more than their payload"
        );
        assert!(log.last_plain("a").is_some() && log.last_plain("b").is_none());
        log.clear();
        assert!(log.runs.is_empty() && log.items.is_empty() && log.bytes == 0);
    }
}
