//! The topics themselves.

use super::{Access, Code, Outcome, Problem, Routes};
use crate::context::Context;
use crate::response::Response;
use http::StatusCode;
use serde::Serialize;
use sws_content::log::{TopicConfig, TopicError, TopicInfo};

/// A topic, as it is told. Why a partition takes nothing is not: it names files.
#[derive(Serialize)]
struct Shown<'a> {
    topic: &'a str,
    config: &'a TopicConfig,
    partitions: Vec<ShownPartition>,
}

#[derive(Serialize)]
struct ShownPartition {
    partition: usize,
    low: u64,
    high: u64,
    bytes: u64,
    segments: usize,
    poisoned: bool,
}

impl<'a> From<&'a TopicInfo> for Shown<'a> {
    fn from(info: &'a TopicInfo) -> Shown<'a> {
        let partitions = info.partitions.iter().enumerate().map(|(partition, info)| ShownPartition {
            partition,
            low: info.low,
            high: info.high,
            bytes: info.bytes,
            segments: info.segments,
            poisoned: info.poisoned.is_some(),
        });
        Shown { topic: &info.name, config: &info.config, partitions: partitions.collect() }
    }
}

#[derive(Serialize)]
struct List<'a> {
    topics: Vec<Shown<'a>>,
}

pub(super) fn list(routes: &Routes, ctx: &mut Context) -> Outcome {
    routes.check(ctx, "", Access::Admin)?;
    let topics = routes.log.topics().map_err(Problem::from)?;
    Ok(Response::json(&List { topics: topics.iter().map(Shown::from).collect() }))
}

pub(super) fn show(routes: &Routes, ctx: &mut Context) -> Outcome {
    let topic = routes.topic(ctx, Access::Read)?;
    let info = routes.log.topic(topic).map_err(Problem::from)?;
    Ok(Response::json(&Shown::from(&info)))
}

/// 201 for a topic that was made, 200 for one that is there with the same settings, 409 for one with others.
pub(super) fn create(routes: &Routes, ctx: &mut Context) -> Outcome {
    routes.topic(ctx, Access::Admin)?;
    let body = ctx.body_bytes().map_err(Problem::from)?;
    let topic = ctx.param("topic").unwrap_or_default();
    let config = match body.trim_ascii() {
        [] => TopicConfig::default(),
        json => serde_json::from_slice(json).map_err(|error| {
            Problem::new(Code::BadRequest, format!("these are no settings of a topic: {error}"))
        })?,
    };
    let status = match routes.log.create_topic(topic, config.clone()) {
        Ok(()) => StatusCode::CREATED,
        Err(TopicError::Exists) => StatusCode::OK,
        Err(error) => return Err(Problem::from(error).into()),
    };
    match routes.log.topic(topic) {
        Ok(info) if status == StatusCode::CREATED || info.config == config => {
            Ok(Response::json(&Shown::from(&info)).with_status(status))
        }
        Ok(_) => Err(Problem::new(Code::Exists, "there is a topic of this name with other settings").into()),
        // It is just being made, or deleted, by somebody else.
        Err(TopicError::UnknownTopic) => Err(Problem::from(TopicError::Exists).into()),
        Err(error) => Err(Problem::from(error).into()),
    }
}

pub(super) fn delete(routes: &Routes, ctx: &mut Context) -> Outcome {
    let topic = routes.topic(ctx, Access::Admin)?;
    routes.log.delete_topic(topic).map_err(Problem::from)?;
    Ok(Response::new(StatusCode::NO_CONTENT))
}
