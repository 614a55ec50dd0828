//! The feed and the sitemap, read by an XML parser.

use quick_xml::Reader;
use quick_xml::events::Event;

use sws_content::site::SiteOptions;

use super::folder::{Folder, page, save, text};

/// An element: its name with its attributes, its text, and what is in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
        let name = name.to_owned();
        self.children.iter().filter(move |child| child.name == name)
    }

    fn one(&self, name: &str) -> &Element {
        let found: Vec<_> = self.all(name).collect();
        assert_eq!(found.len(), 1, "{name} in {self:?}");
        found[0]
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// Reads a document, which must be well-formed and of characters that XML has.
fn parse(text: &str) -> Element {
    assert!(text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)));
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    let start = |tag: &quick_xml::events::BytesStart| Element {
        name: tag.name().as_ref().to_owned(),
        attributes: tag
            .attributes()
            .map(|attribute| {
                let attribute = attribute.unwrap();
                let value = &attribute.value;
                (attribute.key.as_ref().to_owned(), quick_xml::escape::unescape(value).unwrap().into_owned())
            })
            .collect(),
        ..Element::default()
    };
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => open.push(start(&tag)),
            Event::Empty(tag) => open.last_mut().unwrap().children.push(start(&tag)),
            Event::End(_) => {
                let done = open.pop().unwrap();
                open.last_mut().unwrap().children.push(done);
            }
            Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
            Event::GeneralRef(name) => {
                let reference = format!("&{};", &*name);
                open.last_mut().unwrap().text.push_str(&quick_xml::escape::unescape(&reference).unwrap());
            }
            Event::Decl(_) => {}
            Event::Eof => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open.len(), 1);
    open.remove(0).children.remove(0)
}

fn is_date(text: &str) -> bool {
    text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

/// RFC 4287: 4.1.1 and 4.1.2 say what a feed and an entry must have, and how often.
fn check_atom(feed: &Element, base: &str) {
    assert_eq!((feed.name.as_str(), feed.attribute("xmlns")), ("feed", "http://www.w3.org/2005/Atom"));
    for part in std::iter::once(feed).chain(feed.all("entry")) {
        assert!(!part.one("title").text.is_empty());
        assert!(part.one("id").text.starts_with(base), "{part:?}");
        assert!(is_date(&part.one("updated").text), "{part:?}");
        assert!(part.all("author").count() <= 1);
        assert_eq!(part.all("link").filter(|link| link.attribute("rel") == "alternate").count(), 1);
        for link in part.all("link") {
            assert!(link.attribute("href").starts_with(base) && link.attribute("href").is_ascii());
        }
    }
    assert_eq!(feed.all("link").filter(|link| link.attribute("rel") == "self").count(), 1);
    assert!(!feed.one("author").one("name").text.is_empty());
    let mut ids: Vec<_> = feed.all("entry").map(|entry| entry.one("id").text.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), feed.all("entry").count());
    for entry in feed.all("entry") {
        assert_eq!(entry.one("content").attribute("type"), "html");
        assert!(entry.all("published").all(|date| is_date(&date.text)));
        assert!(entry.all("category").all(|category| !category.attribute("term").is_empty()));
    }
}

fn folder() -> Folder {
    Folder::of(&[
        (
            "site.json",
            r#"{ "title": "T & <co>", "description": "\"D\"", "url": "https://x.org", "author": "A & B" }"#,
        ),
        (
            "content/über.md",
            "---\ntitle: \"Über <b> & ]]> \\\"x\\\"\"\ndate: 2026-11-21T10:00:00+01:00\ntags: [\"a & b\"]\nauthor: Ada\n---\nText <b>bold</b> & ]]> \u{1}\u{b}\u{fffe}.\n",
        ),
        ("content/old.md", "---\ntitle: Old\ndate: 2025-01-01\nupdated: 2025-02-01\n---\nOld.\n"),
        ("content/undated.md", "# Undated\n"),
        ("content/page.md", "---\ntitle: Page\nlist: false\n---\n"),
    ])
}

#[test]
fn the_feed_is_atom() {
    let folder = folder();
    let site = folder.load();
    assert_eq!(page(&site, "/feed.xml").content_type, "application/atom+xml; charset=utf-8");
    let feed = parse(&text(&site, "/feed.xml"));
    check_atom(&feed, "https://x.org");
    assert_eq!((feed.one("title").text.as_str(), feed.one("subtitle").text.as_str()), ("T & <co>", "\"D\""));
    let titles: Vec<_> = feed.all("entry").map(|entry| entry.one("title").text.as_str()).collect();
    assert_eq!(titles, ["Über <b> & ]]> \"x\"", "Old", "Undated"]);
    let first = feed.all("entry").next().unwrap();
    assert_eq!(first.one("content").text, "<p>Text <b>bold</b> &amp; ]]&gt; .</p>\n");
    assert_eq!(first.one("content").attribute("xml:base"), "https://x.org/%C3%BCber/");
    assert_eq!(first.one("published").text, "2026-11-21T09:00:00Z");
    assert_eq!(first.one("author").one("name").text, "Ada");
    assert_eq!(
        (first.one("category").attribute("term"), first.one("category").attribute("label")),
        ("a-and-b", "a & b")
    );
    assert_eq!(feed.all("entry").nth(1).unwrap().one("updated").text, "2025-02-01T00:00:00Z");
}

#[test]
fn the_feed_without_an_address_or_an_article() {
    let folder = Folder::of(&[]);
    let (mut site, _) = folder
        .load_with(SiteOptions { url: Some("http://127.0.0.1:8080/".into()), ..SiteOptions::default() });
    let feed = parse(&text(&site, "/feed.xml"));
    check_atom(&feed, "http://127.0.0.1:8080/");
    assert_eq!(feed.one("updated").text, "1970-01-01T00:00:00Z");
    for n in 0..30 {
        save(&folder, &mut site, &format!("content/a{n}.md"), &format!("# A {n}\n"));
    }
    assert_eq!(parse(&text(&site, "/feed.xml")).all("entry").count(), 20);
}

#[test]
fn the_sitemap_lists_what_there_is() {
    let folder = folder();
    let site = folder.load();
    assert_eq!(page(&site, "/sitemap.xml").content_type, "application/xml; charset=utf-8");
    let map = parse(&text(&site, "/sitemap.xml"));
    assert_eq!(map.attribute("xmlns"), "http://www.sitemaps.org/schemas/sitemap/0.9");
    let all: Vec<_> = map
        .all("url")
        .map(|url| {
            format!(
                "{} {}",
                url.one("loc").text,
                url.all("lastmod").map(|date| date.text.as_str()).collect::<String>()
            )
        })
        .collect();
    let wanted = [
        "https://x.org/ ",
        "https://x.org/tags/ ",
        "https://x.org/tags/a-and-b/ ",
        "https://x.org/old/ 2025-02-01",
        "https://x.org/page/ ",
        "https://x.org/undated/ ",
        "https://x.org/%C3%BCber/ 2026-11-21T09:00:00Z",
    ];
    assert_eq!(all, wanted);
    for (path, _) in all.iter().filter_map(|line| line.split_once(' ')) {
        assert_eq!(page(&site, path.strip_prefix("https://x.org").unwrap()).status, 200, "{path}");
    }
}
