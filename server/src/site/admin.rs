//! `/-/admin`: what is wrong, what changed, what there is.

use super::hub::Hub;
use super::pages::NO_CACHE;
use super::shared::Shared;
use crate::bearer::knows_token;
use crate::context::Context;
use crate::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use std::fmt::Write;
use std::net::IpAddr;
use sws_runtime::Cancelled;

/// Changes that are shown.
const CHANGES_SHOWN: usize = 50;

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta http-equiv="refresh" content="10"><link rel="icon" href="data:,"><title>Site administration</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
code { font-size: .9em; overflow-wrap: anywhere; } .wrong { border-left: 4px solid #c33; padding-left: 1rem; }
</style></head><body><h1>Site administration</h1>
"#;

pub(super) fn admin(shared: &Shared, ctx: &Context) -> Response {
    if let Err(refusal) = may(shared, ctx) {
        return refusal;
    }
    match page(shared) {
        Ok(page) => Response::html(page).with_header(CACHE_CONTROL, "no-store"),
        Err(Cancelled) => {
            Response::reason(StatusCode::SERVICE_UNAVAILABLE).with_header(CACHE_CONTROL, NO_CACHE)
        }
    }
}

/// Who knows the token, where there is one; else who sits at this machine.
fn may(shared: &Shared, ctx: &Context) -> Result<(), Response> {
    let Some(token) = &shared.token else {
        return if is_local(ctx) { Ok(()) } else { Err(Response::reason(StatusCode::FORBIDDEN)) };
    };
    if knows_token(ctx, token) {
        return Ok(());
    }
    let realm = r#"Basic realm="the token is the password", charset="UTF-8""#;
    Err(Response::reason(StatusCode::UNAUTHORIZED).with_header(WWW_AUTHENTICATE, realm))
}

/// Whether the request comes from this machine and for it: neither through a proxy, nor from a page of elsewhere whose name was made
/// to lead here. An address that cannot be found is not of this machine.
pub(super) fn is_local(ctx: &Context) -> bool {
    let is_here = ctx.remote_addr().is_some_and(|addr| addr.ip().to_canonical().is_loopback());
    let is_passed_on = ["forwarded", "x-forwarded-for", "x-real-ip"]
        .iter()
        .any(|name| ctx.request().header_bytes(name).is_some());
    is_here && !is_passed_on && ctx.request().host().is_none_or(is_local_host)
}

fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// A text within HTML.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

fn page(shared: &Shared) -> Result<String, Cancelled> {
    let mut out = HEAD.to_owned();
    write_state(&mut out, shared)?;
    write_articles(&mut out, shared)?;
    write_topics(&mut out, shared);
    out.push_str("</body></html>\n");
    Ok(out)
}

/// Problems, what is watched and kept, and the last changes.
fn write_state(out: &mut String, shared: &Shared) -> Result<(), Cancelled> {
    let problems = shared.read(|site| site.problems())?;
    let members = Hub::of(shared.id).len();
    let state = shared.state();
    let notes = [("Watching", &state.watch_note), ("Log", &state.log_note)];
    // Writing to a string does not fail, here and below.
    let _ = write!(out, "<h2>Problems</h2>");
    for (what, note) in notes.iter().filter_map(|(what, note)| Some((what, note.as_deref()?))) {
        let _ = write!(out, "<p class=wrong>{what}: {}</p>", Escaped(note));
    }
    for wrong in &state.rules.wrong {
        let _ = write!(out, "<p class=wrong><code>site.json</code> {}</p>", Escaped(wrong));
    }
    for problem in &problems {
        let line = problem.line.map_or_else(String::new, |line| format!(":{line}"));
        let (path, message) = (Escaped(&problem.path), Escaped(&problem.message));
        let _ = write!(out, "<p class=wrong><code>{path}{line}</code> {message}</p>");
    }
    if problems.is_empty() && notes.iter().all(|(_, note)| note.is_none()) && state.rules.wrong.is_empty() {
        out.push_str("<p>None.</p>");
    }
    let _ = write!(
        out,
        "<h2>Changes</h2><p>Version {}; {} batches of changed files since the start; {members} subscriber(s) on this worker.</p>\
         <div class=table><table><tr><th>Version<th>What<th>Of<th>Where",
        state.history.version(),
        state.batches
    );
    for change in state.history.last(CHANGES_SHOWN) {
        let (version, kind, of) = (change.version, change.kind, change.of);
        let _ =
            write!(out, "<tr><td>{version}<td>{kind:?}<td>{of:?}<td><code>{}</code>", Escaped(&change.path));
    }
    out.push_str("</table></div>");
    Ok(())
}

fn write_articles(out: &mut String, shared: &Shared) -> Result<(), Cancelled> {
    let rows = shared.read(|site| {
        let mut rows = String::new();
        for article in site.all_articles() {
            let is_public = site.article(&article.slug).is_some_and(|public| public.path == article.path);
            let state = match (article.draft, is_public, article.listed) {
                (true, ..) => "draft",
                (false, false, _) => "not shown",
                (false, true, true) => "article",
                (false, true, false) => "page",
            };
            let version = site.article_version(&article.slug);
            let (title, path, url) = (Escaped(&article.title), Escaped(&article.path), Escaped(&article.url));
            let _ = write!(rows, "<tr><td>");
            let _ = match is_public {
                true => write!(rows, "<a href=\"{url}\">{title}</a>"),
                false => write!(rows, "{title}"),
            };
            let _ = write!(rows, "<td>{state}<td><code>{path}</code><td>{version}");
        }
        rows
    })?;
    let _ = write!(
        out,
        "<h2>Articles</h2><div class=table><table><tr><th>Title<th>State<th>File<th>Version{rows}</table></div>"
    );
    Ok(())
}

fn write_topics(out: &mut String, shared: &Shared) {
    out.push_str("<h2>Topics of the log</h2>");
    let topics = match shared.log.topics() {
        Ok(topics) => topics,
        Err(error) => {
            let _ = write!(out, "<p class=wrong>{}</p>", Escaped(&error.to_string()));
            return;
        }
    };
    out.push_str(
        "<div class=table><table><tr><th>Topic<th>Partition<th>Offsets<th>Bytes<th>Segments<th>State",
    );
    for topic in topics {
        for (number, partition) in topic.partitions.iter().enumerate() {
            let state = partition.poisoned.as_deref().unwrap_or("good");
            let _ = write!(
                out,
                "<tr><td>{}<td>{number}<td>{} to {}<td>{}<td>{}<td>{}",
                Escaped(&topic.name),
                partition.low,
                partition.high,
                partition.bytes,
                partition.segments,
                Escaped(state)
            );
        }
    }
    out.push_str("</table></div>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Router;
    use crate::test_client::TestClient;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn only_a_known_address_of_this_machine_is_local() {
        let client = TestClient::new(Router::new().get("/", |ctx: &mut Context| is_local(ctx).to_string()));
        let from = |ip: IpAddr| client.get("/").remote_addr((ip, 4000)).send().text().to_owned();
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            assert_eq!(from(ip), "true", "{ip}");
        }
        assert_eq!(from(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()), "true");
        assert_eq!(from(Ipv4Addr::new(192, 0, 2, 7).into()), "false");
        assert_eq!(client.get("/").send().text(), "false", "no address is known");
    }

    #[test]
    fn texts_are_no_mark_up() {
        assert_eq!(Escaped("<a href=\"x\">&'").to_string(), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn names_of_this_machine() {
        for host in
            ["localhost", "localhost:8080", "127.0.0.1", "127.9.9.9:1", "[::1]:80", "[::1]", "LocalHost"]
        {
            assert!(is_local_host(host), "{host}");
        }
        for host in
            ["example.org", "localhost.example.org:80", "10.0.0.1", "127.0.0.1.example.org", "[::2]", ""]
        {
            assert!(!is_local_host(host), "{host}");
        }
    }
}
