//! `GET /{topic}/{partition}/events`: a partition as Server-Sent Events. The id of an event is the record's offset, so that a browser which
//! comes again goes on where it was.

use super::fetch::Start;
use super::parameters::pairs;
use super::{Access, Outcome, Problem, Routes, partition_of};
use crate::context::Context;
use crate::extract::FromRequest;
use crate::sse::{Event, MISSED, RecordFormat, Sse};
use sws_content::log::FetchError;

pub(super) fn events(routes: &Routes, ctx: &mut Context) -> Outcome {
    let topic = routes.topic(ctx, Access::Read)?.to_owned();
    let partition = partition_of(ctx)?;
    let (mut start, mut format) = (Start::Latest, RecordFormat::Payload);
    for (name, value) in pairs(ctx.request().query().unwrap_or_default()) {
        match &*name {
            b"offset" => start = Start::read(&value)?,
            b"format" => {
                format = match &*value {
                    b"payload" => RecordFormat::Payload,
                    b"json" => RecordFormat::Json,
                    _ => return Err(Problem::field("format", "it is to be `payload` or `json`").into()),
                }
            }
            _ => {}
        }
    }
    let Ok(sse) = Sse::from_request(ctx);
    let (low, high) = routes.log.range(&topic, partition).map_err(Problem::from)?;
    let last = sse.last_sequence();
    let asked = last.map_or_else(|| start.resolve(low, high), |last| last.saturating_add(1));
    let mut offset = asked;
    if !(low..=high).contains(&asked) {
        // One that has seen events does not come again after a refusal: it is told, and gets what there is.
        if last.is_none() {
            return Err(Problem::from(FetchError::OutOfRange { low, high }).into());
        }
        offset = low;
    }
    let log = routes.log.clone();
    Ok(sse.open(move |stream| {
        if offset != asked {
            let what = format!(r#"{{"asked":{asked},"low":{low},"high":{high}}}"#);
            // A new stream has room.
            let _ = stream.send(Event::data(what).event(MISSED));
        }
        if stream.follow(&log, &topic, partition, offset, format).is_err() {
            stream.close();
        }
    }))
}
