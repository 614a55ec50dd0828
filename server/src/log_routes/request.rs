//! What the client of a log's WebSocket asks for.

use super::decode::{RawProducer, RawRecord, Text, value};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt;
use sws_content::log::Acks;

/// A message of the client. What it borrows is the message's.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) op: Text<'a>,
    /// The client's own.
    pub(super) id: Option<Value>,
    pub(super) topic: Text<'a>,
    pub(super) offset: Option<u64>,
    pub(super) tail: Option<u64>,
    pub(super) member: Option<Text<'a>>,
    pub(super) acks: Option<Acks>,
    pub(super) producer: Option<RawProducer>,
    /// What is to be produced, as in the body of a `POST`; the partition of every other request.
    pub(super) record: RawRecord<'a>,
}

impl Request<'_> {
    /// The partition, the first if none is named.
    pub(super) fn partition(&self) -> u32 {
        self.record.partition.unwrap_or(0)
    }
}

impl<'de> Deserialize<'de> for Request<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Request<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `op`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request<'de>, A::Error> {
                let mut request = Request::default();
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        "op" => request.op = value(&mut map, &name)?,
                        "id" => request.id = value(&mut map, &name)?,
                        "topic" => request.topic = value(&mut map, &name)?,
                        "offset" => request.offset = value(&mut map, &name)?,
                        "tail" => request.tail = value(&mut map, &name)?,
                        "member" => request.member = value(&mut map, &name)?,
                        "acks" => request.acks = value(&mut map, &name)?,
                        "producer" => request.producer = value(&mut map, &name)?,
                        _ if request.record.take(&name, &mut map)? => {}
                        _ => {
                            return Err(A::Error::custom(format_args!("no message has a member `{name}`")));
                        }
                    }
                }
                Ok(request)
            }
        }

        from.deserialize_map(Members)
    }
}
