//! The site of `examples/site`: it loads without a problem, each page of it is there, and each link in it leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use sws_content::site::{Answer, Query, Site, SiteOptions};

/// Prefixes of addresses that the server answers beside the site.
const ROUTES: &[&str] = &["/topics/", "/-/"];
/// Folders of the project that an article may name a file of.
const ROOMS: &[&str] = &["rings/", "stackpool/", "runtime/", "content/", "server/", "benches/", "docs/"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the project")
}

fn site() -> Site {
    let (site, report) =
        Site::load(&project().join("examples/site"), SiteOptions::default()).expect("it is a site");
    assert_eq!(report.problems, [], "{report}");
    assert!(report.articles >= 12, "{report}");
    assert_eq!(report.drafts, 0, "{report}");
    site
}

/// The text of a page that is there.
fn page(site: &Site, url: &str) -> String {
    match site.render(url, &Query::default()) {
        Answer::Page(page) if page.status == 200 => String::from_utf8(page.body.to_vec()).expect("text"),
        other => panic!("{url}: {other:?}"),
    }
}

/// The values of an attribute, unescaped as far as addresses need it.
fn values(html: &str, attribute: &str) -> Vec<String> {
    let value =
        |part: &str| part.split('"').next().unwrap_or_default().replace("&#x2f;", "/").replace("&amp;", "&");
    html.split(&format!(" {attribute}=\"")).skip(1).map(value).collect()
}

/// All pages by their addresses, found by following links from the first.
fn crawl(site: &Site) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut waiting = vec!["/".to_owned()];
    while let Some(url) = waiting.pop() {
        if pages.contains_key(&url) {
            continue;
        }
        let html = page(site, &url);
        for link in values(&html, "href").into_iter().chain(values(&html, "src")) {
            let path = link.split(['#', '?']).next().unwrap_or_default();
            if !path.starts_with('/') || ROUTES.iter().any(|route| path.starts_with(route)) {
                continue;
            }
            match site.render(path, &Query::default()) {
                Answer::Page(page) => {
                    assert_eq!(page.status, 200, "{url} links to {link}");
                    if page.content_type.starts_with("text/html") {
                        waiting.push(path.to_owned());
                    }
                }
                Answer::File(file) => assert!(file.path.is_file(), "{url} links to {link}"),
            }
        }
        pages.insert(url, html);
    }
    pages
}

#[test]
fn each_page_is_reached_and_each_link_leads_somewhere() {
    let site = site();
    let pages = crawl(&site);
    for article in site.articles() {
        assert!(pages.contains_key(&article.url), "nothing links to {}", article.url);
    }
    for (url, html) in &pages {
        for link in values(html, "href") {
            let Some((path, anchor)) = link.split_once('#') else { continue };
            let target = if path.is_empty() { html } else { &pages[path] };
            assert!(values(target, "id").iter().any(|id| id == anchor), "{url} links to {link}");
        }
    }
}

#[test]
fn pages_load_nothing_from_elsewhere() {
    let site = site();
    for (url, html) in crawl(&site) {
        for link in values(&html, "src").into_iter().chain(values(&html, "href")) {
            let own = link.starts_with(['/', '#']) && !link.starts_with("//");
            assert!(own || link.starts_with("http://127.0.0.1:8080/"), "{url} names {link}");
        }
    }
}

#[test]
fn a_page_has_one_title_and_each_id_once() {
    let site = site();
    for (url, html) in crawl(&site) {
        let ids = values(&html, "id");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{url}: {ids:?}");
        assert_eq!(html.matches("<h1").count(), 1, "{url}");
        assert_eq!(html.matches("<main").count(), 1, "{url}");
    }
}

#[test]
fn articles_say_what_they_are_and_name_files_that_exist() {
    let site = site();
    for article in site.articles() {
        assert!(article.date.is_some() && !article.tags.is_empty(), "{}", article.path);
        assert!((600..=1200).contains(&article.words), "{}: {} words", article.path, article.words);
        for code in article.html.split("<code>").skip(1).filter_map(|part| part.split("</code>").next()) {
            if ROOMS.iter().any(|room| code.starts_with(room)) {
                assert!(project().join(code).exists(), "{}: no file {code}", article.path);
            }
        }
    }
}
