//! Pages and files.

use super::shared::Shared;
use crate::context::Context;
use crate::response::Response;
use crate::static_files::conditional::{Conditions, ETag, Outcome, Validators, last_modified};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED, LOCATION};
use http::{Method, StatusCode};
use std::time::UNIX_EPOCH;
use sws_content::site::{Answer, Query, Rendered};
use sws_runtime::Cancelled;

/// Kept by browsers, and asked for each time whether it is still the same: an edit shows at once.
pub(super) const NO_CACHE: &str = "no-cache";

pub(super) fn page(shared: &Shared, ctx: &Context) -> Response {
    let request = ctx.request();
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => {
            return Response::new(StatusCode::NO_CONTENT).with_header(ALLOW, "GET, HEAD, OPTIONS");
        }
        _ => {
            return Response::reason(StatusCode::METHOD_NOT_ALLOWED).with_header(ALLOW, "GET, HEAD, OPTIONS");
        }
    }
    let (number, words) = (ctx.query_value("page"), ctx.query_value("q"));
    let pairs = [("page", &number), ("q", &words)];
    let query = Query::of_pairs(pairs.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    match shared.read(|site| site.render(request.path(), &query)) {
        Ok(Answer::Page(page)) => rendered(ctx, &page),
        Ok(Answer::File(file)) => {
            shared.files().answer_file(request, &file.name, HeaderValue::from_static(NO_CACHE))
        }
        Err(Cancelled) => Response::reason(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn rendered(ctx: &Context, page: &Rendered) -> Response {
    let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(location) = &page.location {
        let query = ctx.request().query().map_or_else(String::new, |query| format!("?{query}"));
        return Response::new(status).with_header(LOCATION, format!("{location}{query}"));
    }
    let body = || Response::bytes(page.body.clone()).with_header(CONTENT_TYPE, page.content_type);
    if status != StatusCode::OK {
        return body().with_status(status).with_header(CACHE_CONTROL, NO_CACHE);
    }
    let seconds = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).ok().map(|age| age.as_secs());
    let Some(etag) = ETag::from_text(&page.etag) else { return body() };
    // A list has no time of its own, and a page may change with a template that is older than it.
    let validators = Validators { etag, modified_unix_seconds: None };
    let request = ctx.request();
    let conditions = Conditions {
        if_match: request.header_bytes("if-match"),
        if_none_match: request.header_bytes("if-none-match"),
        ..Conditions::default()
    };
    let response = match conditions.evaluate(request.method(), &validators) {
        Outcome::Proceed => body(),
        Outcome::NotModified => Response::new(StatusCode::NOT_MODIFIED),
        Outcome::PreconditionFailed => return Response::reason(StatusCode::PRECONDITION_FAILED),
    };
    let mut response = response.with_header(ETAG, etag.as_str()).with_header(CACHE_CONTROL, NO_CACHE);
    if let Some(date) = page.last_modified.and_then(seconds).and_then(last_modified) {
        response.set_header(LAST_MODIFIED, date);
    }
    response
}
