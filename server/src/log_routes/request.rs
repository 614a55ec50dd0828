//! What the client of a log's WebSocket asks for.

use super::decode::{Members, RawProducer, RawRecord, Text, value};
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sws_content::log::Acks;

/// A message of the client. What it borrows is the message's.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) op: Text<'a>,
    /// The client's own, any JSON.
    pub(super) id: Option<&'a RawValue>,
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

impl<'de> Members<'de> for Request<'de> {
    const EXPECTED: &'static str = "an object with `op`";
    const UNKNOWN: &'static str = "no message has a member";

    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "op" => self.op = value(map, name)?,
            "id" => self.id = value(map, name)?,
            "topic" => self.topic = value(map, name)?,
            "offset" => self.offset = value(map, name)?,
            "tail" => self.tail = value(map, name)?,
            "member" => self.member = value(map, name)?,
            "acks" => self.acks = value(map, name)?,
            "producer" => self.producer = value(map, name)?,
            _ => return self.record.take(name, map),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for Request<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::members(from)
    }
}
