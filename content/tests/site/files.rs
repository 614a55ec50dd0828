//! Files that are served as they are, and where addresses lead.

use sws_content::site::{Answer, SiteOptions};

use super::folder::{Folder, answer, page, status, text};

fn folder() -> Folder {
    Folder::of(&[
        ("content/über uns/über uns.md", "# Über uns\n\n![](bild 1.png)\n"),
        ("content/über uns/bild 1.png", "png"),
        ("content/über uns/notes.md", "raw"),
        ("content/über uns/deep/a.txt", "deep"),
        ("content/über uns/.hidden", "h"),
        ("content/plain.md", "# Plain\n"),
        ("static/style.css", "css"),
        ("static/plain", "hidden behind the article"),
        ("static/docs/index.html", "docs"),
        ("static/static/x.txt", "x"),
        ("static/.env", "secret"),
        ("templates/article.html", "{{ article.html }}"),
        ("site.json", "{}"),
    ])
}

#[test]
fn each_file_has_its_address() {
    let folder = folder();
    let site = folder.load();
    let table = [
        ("/style.css", "static/style.css"),
        ("/static/style.css", "static/style.css"),
        ("/static/x.txt", "static/static/x.txt"),
        ("/docs/", "static/docs/index.html"),
        ("/docs/index.html", "static/docs/index.html"),
        ("/%C3%BCber-uns/bild%201.png", "content/über uns/bild 1.png"),
        ("/über-uns/bild 1.png", "content/über uns/bild 1.png"),
        ("/über-uns/notes.md", "content/über uns/notes.md"),
        ("/über-uns/deep/a.txt", "content/über uns/deep/a.txt"),
    ];
    for (url, name) in table {
        let Answer::File(file) = answer(&site, url) else { panic!("{url} is a page") };
        assert_eq!(file.name, name, "{url}");
        assert_eq!(file.path, site.root().join(name));
        assert!(std::fs::metadata(file.path).unwrap().is_file());
    }
}

#[test]
fn nothing_else_is_served() {
    let folder = folder();
    let site = folder.load();
    let table = [
        "/.env",
        "/static/.env",
        "/site.json",
        "/templates/article.html",
        "/content/plain.md",
        "/plain.md",
        "/plain/plain.md",
        "/über-uns/über uns.md",
        "/über-uns/.hidden",
        "/über-uns/../plain.md",
        "/../site.json",
        "/%2e%2e/site.json",
        "/static/%2e%2e/%2e%2e/site.json",
        "/static/",
        "/static",
        "/docs/nothing",
        "//style.css",
        "/style.css/",
        "/%ff",
        "/a%00b",
        "",
        "*",
    ];
    for url in table {
        assert_eq!(status(&site, url), 404, "{url}");
    }
}

#[test]
fn an_address_without_its_slash_leads_to_it() {
    let folder = folder();
    let site = folder.load();
    for (url, location) in [
        ("/plain", "/plain/"),
        ("/%C3%BCber-uns", "/%C3%BCber-uns/"),
        ("/über-uns", "/%C3%BCber-uns/"),
        ("/tags", "/tags/"),
    ] {
        let page = page(&site, url);
        assert_eq!((page.status, page.location.as_deref()), (301, Some(location)), "{url}");
    }
}

#[test]
fn a_site_can_have_its_own_style_of_the_built_in_name() {
    let folder = folder();
    let site = folder.load();
    for url in ["/theme.css", "/highlight.css"] {
        let page = page(&site, url);
        assert_eq!((page.status, page.content_type), (200, "text/css; charset=utf-8"));
        assert!(text(&site, url).contains("prefers-color-scheme: dark"), "{url}");
    }
    folder.write("static/theme.css", "own");
    let site = folder.load();
    assert!(matches!(answer(&site, "/theme.css"), Answer::File(file) if file.name == "static/theme.css"));
}

#[test]
fn what_the_caller_keeps_is_not_served() {
    let folder = folder();
    folder.write("static/topics/x", "x");
    let options = SiteOptions { reserved: vec!["topics".into()], ..SiteOptions::default() };
    let (site, _) = folder.load_with(options);
    assert_eq!((status(&site, "/topics/x"), status(&site, "/style.css")), (404, 200));
}
