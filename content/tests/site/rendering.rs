//! What pages show, and that a change renders again what shows it and nothing else.

use std::collections::BTreeMap;

use sws_content::site::{Changes, Problem, Site, SiteLimits, SiteOptions};

use super::folder::{Folder, page, save, status, text, told};

/// Seven articles on three pages, two tags, a page outside of the lists.
fn folder() -> Folder {
    let folder = Folder::of(&[
        ("site.json", r#"{ "title": "T", "per_page": 3 }"#),
        ("content/about.md", "---\ntitle: About\nlist: false\n---\n"),
    ]);
    for n in 1..=7 {
        folder.write(&format!("content/a{n}.md"), article(n, "text"));
    }
    folder
}

fn article(n: usize, body: &str) -> String {
    let tag = if n.is_multiple_of(2) { "even" } else { "odd" };
    format!(
        "---\ntitle: Article {n}\ndate: 2026-01-0{n}\ntags: [{tag}]\nsummary: Sum {n}\n---\nThe {body} {n}.\n"
    )
}

const URLS: &[&str] = &[
    "/",
    "/?page=2",
    "/?page=3",
    "/tags/",
    "/tags/even/",
    "/tags/odd/",
    "/tags/odd/?page=2",
    "/feed.xml",
    "/sitemap.xml",
    "/a1/",
    "/a2/",
    "/a3/",
    "/a4/",
    "/a5/",
    "/a6/",
    "/a7/",
    "/about/",
    "/nowhere",
    "/theme.css",
];

/// Asks for every page, and says which were rendered for that.
fn rendered(site: &Site, before: &mut BTreeMap<String, u64>) -> String {
    for url in URLS {
        page(site, url);
    }
    let now = site.renders();
    let newer: Vec<&str> = now
        .iter()
        .filter(|(url, count)| before.get(*url) != Some(count))
        .map(|(url, _)| url.as_str())
        .collect();
    let newer = newer.join(" ");
    *before = now;
    newer
}

#[test]
fn a_change_renders_what_shows_it_and_nothing_else() {
    let folder = folder();
    let mut site = folder.load();
    let mut counts = BTreeMap::new();
    let all = rendered(&site, &mut counts);
    assert_eq!(all.split(' ').count(), URLS.len());
    assert_eq!(rendered(&site, &mut counts), "");

    let headed = article(4, "text").replace("Article 4", "Other");
    let retagged = article(4, "text").replace("even", "odd");
    let table: &[(&str, &str, &str)] = &[
        // The text alone: lists show the summary, which is as it was.
        ("content/a4.md", &article(4, "other"), "/a4/ /feed.xml"),
        ("content/a4.md", &headed, "/?page=2 /a4/ /feed.xml /tags/even/"),
        ("content/a4.md", &article(4, "text"), "/?page=2 /a4/ /feed.xml /tags/even/"),
        (
            "content/a4.md",
            &retagged,
            "/?page=2 /a4/ /feed.xml /tags/ /tags/even/ /tags/odd/ /tags/odd/?page=2",
        ),
        (
            "content/a4.md",
            &article(4, "text"),
            "/?page=2 /a4/ /feed.xml /tags/ /tags/even/ /tags/odd/ /tags/odd/?page=2",
        ),
        ("content/about.md", "---\ntitle: About\nlist: false\n---\nMore.\n", "/about/"),
        ("content/draft.md", "---\ntitle: D\ndraft: true\ntags: [odd]\n---\n", ""),
        ("content/about/extra.png", "no page shows it", ""),
        ("static/style.css", "p {}", ""),
        ("templates/unused.html", "u", ""),
        ("templates/tag.html", "{% extends 'base.html' %}", "/tags/even/ /tags/odd/ /tags/odd/?page=2"),
        ("templates/page.html", "page", "/about/"),
        ("templates/list.html", "{{ articles|length }}", "/ /?page=2 /?page=3"),
        ("templates/404.html", "nothing", "404"),
    ];
    for (path, text, wanted) in table {
        save(&folder, &mut site, path, text);
        assert_eq!(site.problems(), [], "{path}");
        assert_eq!(rendered(&site, &mut counts), *wanted, "{path}: {text}");
    }

    save(&folder, &mut site, "templates/base.html", "{% block main %}{% endblock %}");
    let of_base = "/ /?page=2 /?page=3 /a1/ /a2/ /a3/ /a4/ /a5/ /a6/ /a7/ /tags/ /tags/even/ /tags/odd/ /tags/odd/?page=2";
    assert_eq!(rendered(&site, &mut counts), of_base);
    save(&folder, &mut site, "site.json", r#"{ "title": "U", "per_page": 3 }"#);
    assert_eq!(rendered(&site, &mut counts).split(' ').count(), URLS.len() - 1, "all but the style sheet");

    // The oldest goes: every page of the lists has another count, and those with the tag.
    folder.remove("content/a1.md");
    assert_eq!(told(&site.update(&Changes::of(["content/a1.md"]))), ["Removed Article /a1/"]);
    let gone = "/ /?page=2 /feed.xml /sitemap.xml /tags/ /tags/odd/";
    assert_eq!(rendered(&site, &mut counts), gone);
    assert!(!site.renders().contains_key("/a1/"));
}

#[test]
fn the_same_text_keeps_its_tag_and_another_has_another() {
    let folder =
        Folder::of(&[("content/a.md", "# A\n\none\n"), ("templates/article.html", "{{ article.html }}")]);
    let mut site = folder.load();
    let first = page(&site, "/a/");
    assert_eq!(first.etag.len(), 18);
    assert_eq!(page(&site, "/a/").etag, first.etag);
    save(&folder, &mut site, "content/a.md", "# A new title\n\none\n");
    assert_eq!(page(&site, "/a/").etag, first.etag, "rendered again to the same");
    save(&folder, &mut site, "content/a.md", "# A\n\ntwo\n");
    let second = page(&site, "/a/");
    assert_ne!(second.etag, first.etag);
    assert_eq!((first.version, second.version), (0, 2));
    let written = std::fs::metadata(folder.path("content/a.md")).unwrap().modified().unwrap();
    assert_eq!(second.last_modified, Some(written));
    assert_eq!(page(&site, "/").last_modified, None);
}

#[test]
fn titles_and_all_else_are_escaped() {
    let evil = "<script>alert('1')</script> & \\\"quoted\\\"";
    let front = format!("title: \"{evil}\"\nsummary: \"{evil}\"\nauthor: \"{evil}\"\ntags: [\"{evil}\"]");
    let folder = Folder::of(&[
        ("content/a.md", &format!("---\n{front}\n---\n## <script>x</script>\n\n```\n<script>\n```\n")),
        (
            "site.json",
            &format!(
                r#"{{ "title": "{evil}", "description": "{evil}", "nav": [{{ "label": "{evil}", "href": "\"><script>" }}] }}"#
            ),
        ),
    ]);
    let site = folder.load();
    let tag = site.tags().next().unwrap().0.to_owned();
    for url in [
        "/",
        "/a/",
        "/tags/",
        &format!("/tags/{tag}/"),
        "/search?q=<script>alert",
        "/search?q=alert",
        "/nowhere",
        "/feed.xml",
    ] {
        let body = String::from_utf8(page(&site, url).body.to_vec()).unwrap();
        // The heading's own mark-up is the author's, and goes through.
        let body = body.replace("<script>x</script>", "");
        assert!(!body.contains("<script>"), "{url}: {body}");
        assert!(body.contains("&lt;script&gt;"), "{url}: {body}");
        assert!(!body.contains("\"quoted"), "{url}: {body}");
    }
    let (strict, _) = folder.load_with(SiteOptions { escape_html: true, ..SiteOptions::default() });
    assert!(!text(&strict, "/a/").contains("<script>"));
}

#[test]
fn templates_get_what_is_promised() {
    let probe = "{{ site.title }}|{{ site.url }}|{{ site.language }}|{{ site.author }}|{{ site.nav[0].label }}|{{ site.extra.theme.dark }}|\
                 {{ page.url }}|{{ page.title }}|{{ page.template }}|{{ page.topics|join(',') }}|{{ article.title }}|{{ article.slug }}|\
                 {{ article.url }}|{{ article.summary }}|{{ article.date }}|{{ article.date_human }}|{{ article.updated }}|\
                 {{ article.tags[0].name }}:{{ article.tags[0].slug }}:{{ article.tags[0].url }}|{{ article.toc[0].level }}{{ article.toc[0].id }}|\
                 {{ article.minutes }}|{{ article.words }}|{{ article.author }}|{{ article.draft }}|{{ article.version }}|{{ version }}|{{ live }}|\
                 {{ live_script }}|{{ article.extra.mood }}";
    let folder = Folder::of(&[
        (
            "site.json",
            r#"{ "title": "T", "url": "https://x.org/", "author": "Me", "nav": [{ "label": "N", "href": "/" }], "theme": { "dark": true } }"#,
        ),
        (
            "content/a.md",
            "---\ntitle: A\ndate: 2026-11-21\ntags: [Io Uring]\nsummary: S\nmood: good\ntemplate: probe.html\n---\n## Part\n\nOne two.\n",
        ),
        ("templates/probe.html", probe),
    ]);
    let (mut site, _) =
        folder.load_with(SiteOptions { live_script: Some("/live.js".into()), ..SiteOptions::default() });
    site.set_version(9);
    let wanted = "T|https://x.org|en|Me|N|True|/a/|A|probe.html|site/title/a,site/theme|A|a|/a/|S|2026-11-21|21 November 2026||\
                  Io Uring:io-uring:/tags/io-uring/|2part|1|3|Me|False|9|9|True|/live.js|good";
    // The escaping writes slashes as references, which are the same to a browser.
    assert_eq!(text(&site, "/a/").replace("&#x2f;", "/"), wanted);
    save(
        &folder,
        &mut site,
        "templates/index.html",
        "{{ articles[0].title }}{{ articles[0].html }}|{{ pagination.total }}{{ pagination.previous }}{{ pagination.next }}|{{ page.topics|join(',') }}",
    );
    assert_eq!(text(&site, "/"), "A|1|site&#x2f;all,site&#x2f;theme");
    save(
        &folder,
        &mut site,
        "templates/tag.html",
        "{{ tag.name }} {{ tag.slug }} {{ tag.count }} {{ articles|length }}|{{ page.topics[0] }}",
    );
    assert_eq!(text(&site, "/tags/io-uring/"), "Io Uring io-uring 1 1|site&#x2f;tag&#x2f;io-uring");
    save(
        &folder,
        &mut site,
        "templates/search.html",
        "{{ query }}:{% for r in results %}{{ r.title }} {{ r.url }} {{ r.snippet }} {{ r.score > 0 }}{% endfor %}",
    );
    assert_eq!(text(&site, "/search?q=two"), "two:A &#x2f;a&#x2f; Part One <mark>two</mark>. True");
}

#[test]
fn tags_with_odd_characters() {
    let folder = Folder::of(&[(
        "content/a.md",
        "---\ntitle: A\ntags: [\"a/b\", \"C++\", C, \"日本 語\", \"..\", \"?q=<x>\", rust, Rust]\n---\n",
    )]);
    let site = folder.load();
    let tags: Vec<_> = site.tags().map(|(slug, name, _)| format!("{slug}={name}")).collect();
    assert_eq!(
        tags,
        ["a-b=a/b", "c=C", "c-plus-plus=C++", "q-x=?q=<x>", "rust=rust", "x2e-x2e=..", "日本-語=日本 語"]
    );
    for (slug, name, _) in site.tags() {
        let body = text(&site, &format!("/tags/{slug}/"));
        let shown = name.replace('<', "&lt;").replace('>', "&gt;").replace('/', "&#x2f;");
        assert!(body.contains(&format!("<h1>{shown}</h1>")), "{slug}: {body}");
    }
    // Each link in the page of tags leads somewhere.
    let body = text(&site, "/tags/");
    let links: Vec<&str> =
        body.split("<li><a href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links.len(), 7);
    for link in links {
        let link = link.replace("&#x2f;", "/");
        assert!(link.is_ascii() && status(&site, &link) == 200, "{link}");
    }
}

#[test]
fn the_cache_has_a_bound() {
    let folder = Folder::of(&[("templates/article.html", "{{ article.html }}")]);
    for n in 0..10 {
        folder.write(&format!("content/a{n}.md"), format!("# A\n\n{}\n", "x".repeat(993)));
    }
    let limits = SiteLimits { cache_bytes_max: 4_100, ..SiteLimits::default() };
    let (site, _) = folder.load_with(SiteOptions { limits, ..SiteOptions::default() });
    for n in 0..10 {
        page(&site, "/a0/");
        page(&site, &format!("/a{n}/"));
    }
    assert_eq!(site.renders()["/a0/"], 1, "it was asked for all the time");
    (0..10).for_each(|n| drop(page(&site, &format!("/a{n}/"))));
    let again = site.renders().values().filter(|count| **count > 1).count();
    assert!((5..10).contains(&again), "{:?}", site.renders());
}

#[test]
fn problems_are_shown_where_wanted() {
    let folder = Folder::of(&[("content/a.md", "# A\n"), ("content/b.md", "---\ndraft: 1\n---\n")]);
    let (site, _) = folder.load_with(SiteOptions::default());
    assert!(!text(&site, "/a/").contains("content/b.md"));
    let (mut site, _) = folder.load_with(SiteOptions { show_problems: true, ..SiteOptions::default() });
    assert!(text(&site, "/a/").contains("content&#x2f;b.md:2"));
    save(&folder, &mut site, "content/b.md", "# B\n");
    assert!(!text(&site, "/a/").contains("class=\"problems\""));
    assert_eq!(site.problems(), Vec::<Problem>::new());
}

#[test]
fn a_long_query_is_cut() {
    let folder = folder();
    let site = folder.load();
    let body = text(&site, &format!("/search?q={}", "ü".repeat(100_000)));
    assert!(body.len() < 10_000);
    assert_eq!(site.search(&"a ".repeat(100_000)).len(), 0);
    assert_eq!(site.renders()["/search/"], 1);
}
