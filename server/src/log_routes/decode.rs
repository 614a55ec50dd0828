//! JSON bodies of producers: from text to records.

use super::parameters::{Wrong, check_entry};
use super::{Code, Problem};
use data_encoding::BASE64;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use sws_content::log::{Acks, Entry, ProducerNumber};

/// What a body says.
#[derive(Default)]
pub(super) struct Body<'a> {
    /// One, if it is no batch.
    pub(super) records: Vec<NewRecord<'a>>,
    pub(super) is_batch: bool,
    pub(super) partition: Option<u32>,
    pub(super) acks: Option<Acks>,
    pub(super) producer: Option<ProducerNumber>,
    pub(super) atomic: bool,
}

/// A record that is to be produced.
pub(super) struct NewRecord<'a> {
    pub(super) key: Option<Cow<'a, [u8]>>,
    pub(super) timestamp_ms: Option<u64>,
    pub(super) partition: Option<u32>,
    payload: Cow<'a, [u8]>,
    text: bool,
    tombstone: bool,
}

impl NewRecord<'_> {
    pub(super) fn entry(&self) -> Entry<'_> {
        let mut entry = Entry::bytes(&self.payload);
        entry.key = self.key.as_deref();
        entry.text = self.text;
        entry.tombstone = self.tombstone;
        entry.timestamp_ms = self.timestamp_ms;
        entry
    }
}

/// Decodes a body.
pub(super) fn body(bytes: &[u8]) -> Result<Body<'_>, Problem> {
    let raw: RawBody<'_> = serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(Code::BadRequest, format!("the JSON is not what it should be: {error}"))
    })?;
    let RawBody { record, records, acks, producer, atomic } = raw;
    let mut body = Body {
        acks,
        producer: producer.map(RawProducer::check).transpose()?,
        atomic: atomic.unwrap_or_default(),
        is_batch: records.is_some(),
        ..Body::default()
    };
    let Some(records) = records else {
        if atomic.is_some() {
            return Err(Problem::field("atomic", "it is for a batch"));
        }
        body.records.push(record.check()?);
        return Ok(body);
    };
    if records.is_empty() {
        return Err(Problem::field("records", "there is none"));
    }
    body.partition = record.partition;
    if (RawRecord { partition: None, ..record }).has_any() {
        return Err(Problem::field("records", "beside it stands what belongs into a record"));
    }
    body.records.reserve_exact(records.len());
    for (number, record) in records.into_iter().enumerate() {
        let record = record
            .check()
            .map_err(|Wrong { field, what }| Problem::field(&format!("records[{number}].{field}"), what))?;
        body.records.push(record);
    }
    Ok(body)
}

/// A text, borrowed where it has no escapes.
#[derive(Default, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or {\"base64\": \"...\"}")]
enum RawKey<'a> {
    Text(#[serde(borrow)] Text<'a>),
    Base64(#[serde(borrow)] Base64<'a>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64<'a> {
    #[serde(borrow)]
    base64: Text<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProducer {
    id: u64,
    sequence: u32,
}

impl RawProducer {
    pub(super) fn check(self) -> Result<ProducerNumber, Wrong> {
        match self {
            RawProducer { id: 0, .. } => Err(Wrong { field: "producer.id", what: "it is to be at least 1" }),
            RawProducer { id, sequence } => Ok(ProducerNumber { producer_id: id, sequence }),
        }
    }
}

/// The members of a record.
#[derive(Default)]
pub(super) struct RawRecord<'a> {
    text: Option<Text<'a>>,
    base64: Option<Text<'a>>,
    json: Option<&'a RawValue>,
    key: Option<RawKey<'a>>,
    tombstone: Option<bool>,
    timestamp: Option<u64>,
    pub(super) partition: Option<u32>,
}

/// The members of a body: those of a batch, and those of a record.
#[derive(Default)]
struct RawBody<'a> {
    record: RawRecord<'a>,
    records: Option<Vec<RawRecord<'a>>>,
    acks: Option<Acks>,
    producer: Option<RawProducer>,
    atomic: Option<bool>,
}

/// The value of a member; an error names it.
pub(super) fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    map: &mut A,
    name: &str,
) -> Result<T, A::Error> {
    map.next_value().map_err(|error| A::Error::custom(format_args!("`{name}`: {error}")))
}

impl<'a> RawRecord<'a> {
    fn has_any(&self) -> bool {
        let RawRecord { text, base64, json, key, tombstone, timestamp, partition } = self;
        text.is_some()
            || base64.is_some()
            || json.is_some()
            || key.is_some()
            || tombstone.is_some()
            || timestamp.is_some()
            || partition.is_some()
    }

    pub(super) fn check(self) -> Result<NewRecord<'a>, Wrong> {
        let tombstone = self.tombstone.unwrap_or_default();
        let (payload, text) = match (self.text, self.base64, self.json) {
            (Some(Text(text)), None, None) => (into_bytes(text), true),
            (None, Some(Text(text)), None) => (decode_base64(&text, "base64")?, false),
            (None, None, Some(json)) => (Cow::Borrowed(json.get().as_bytes()), true),
            (None, None, None) if tombstone => (Cow::Borrowed(&[][..]), false),
            _ => {
                return Err(Wrong { field: "text", what: "a record has one of `text`, `base64` and `json`" });
            }
        };
        let key = match self.key {
            None => None,
            Some(RawKey::Text(Text(text))) => Some(into_bytes(text)),
            Some(RawKey::Base64(Base64 { base64: Text(text) })) => Some(decode_base64(&text, "key.base64")?),
        };
        let RawRecord { timestamp: timestamp_ms, partition, .. } = self;
        let record = NewRecord { key, payload, text, tombstone, timestamp_ms, partition };
        check_entry(&record.entry())?;
        Ok(record)
    }
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn decode_base64(text: &str, field: &'static str) -> Result<Cow<'static, [u8]>, Wrong> {
    let wrong = Wrong { field, what: "it is to be base64 with padding (RFC 4648, section 4)" };
    BASE64.decode(text.as_bytes()).map(Cow::Owned).map_err(|_| wrong)
}

/// An object whose members are taken one by one, and that has no others.
pub(super) trait Members<'de>: Default {
    /// What is said where there is something else.
    const EXPECTED: &'static str;
    /// What is said before the name of a member that it does not have.
    const UNKNOWN: &'static str;

    /// Takes a member, if it is one of it.
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;

    fn members<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Taking(PhantomData))
    }
}

struct Taking<T>(PhantomData<T>);

impl<'de, T: Members<'de>> Visitor<'de> for Taking<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut all = T::default();
        while let Some(Text(name)) = map.next_key()? {
            if !all.take(&name, &mut map)? {
                return Err(A::Error::custom(format_args!("{} `{name}`", T::UNKNOWN)));
            }
        }
        Ok(all)
    }
}

impl<'a> Members<'a> for RawRecord<'a> {
    const EXPECTED: &'static str = "a record: an object";
    const UNKNOWN: &'static str = "a record has no member";

    fn take<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "text" => self.text = value(map, name)?,
            "base64" => self.base64 = value(map, name)?,
            // Also `null` is a value.
            "json" => self.json = Some(value(map, name)?),
            "key" => self.key = value(map, name)?,
            "tombstone" => self.tombstone = value(map, name)?,
            "timestamp" => self.timestamp = value(map, name)?,
            "partition" => self.partition = value(map, name)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Members<'de> for RawBody<'de> {
    const EXPECTED: &'static str = "a record, or an object with `records`";
    const UNKNOWN: &'static str = "a record has no member called";

    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "records" => self.records = value(map, name)?,
            "acks" => self.acks = value(map, name)?,
            "producer" => self.producer = value(map, name)?,
            "atomic" => self.atomic = value(map, name)?,
            _ => return self.record.take(name, map),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for RawRecord<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::members(from)
    }
}

impl<'de> Deserialize<'de> for RawBody<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::members(from)
    }
}
