//! Drafts are nowhere, and paging counts what is shown.

use sws_content::site::{Changes, Query, SiteOptions};

use super::folder::{Folder, page, problems, save, status, text, told};

const SECRET: &str =
    "---\ntitle: Secret plan\ndate: 2026-02-01\ntags: [hidden, shared]\ndraft: true\n---\nMumblecore.\n";
const OPEN: &str = "---\ntitle: Open\ndate: 2026-01-01\ntags: [shared]\n---\nWords.\n";

fn folder() -> Folder {
    Folder::of(&[
        ("content/plan/plan.md", SECRET),
        ("content/plan/map.png", "png"),
        ("content/open.md", OPEN),
    ])
}

const EVERYWHERE: &[&str] = &[
    "/",
    "/tags/",
    "/tags/shared/",
    "/search?q=mumblecore",
    "/search?q=plan",
    "/feed.xml",
    "/sitemap.xml",
    "/open/",
    "/nowhere",
];

#[test]
fn a_draft_is_nowhere() {
    let folder = folder();
    let (site, report) = folder.load_with(SiteOptions::default());
    assert_eq!((report.articles, report.drafts), (1, 1));
    for url in ["/plan/", "/plan", "/tags/hidden/", "/tags/hidden", "/plan/map.png", "/plan/plan.md"] {
        assert_eq!(status(&site, url), 404, "{url}");
    }
    for url in EVERYWHERE {
        let body = String::from_utf8(page(&site, url).body.to_vec()).unwrap();
        let shown = body
            .replace("q=mumblecore", "")
            .replace("value=\"mumblecore\"", "")
            .replace("value=\"plan\"", "");
        for word in ["Secret", "umblecore", "hidden", "/plan", "&#x2f;plan"] {
            assert!(!shown.contains(word), "{word} in {url}: {shown}");
        }
    }
    assert_eq!(site.articles().count(), 1);
    assert_eq!(site.tags().collect::<Vec<_>>(), [("shared", "shared", 1)]);
    assert_eq!(site.articles_by_tag("hidden").count(), 0);
    assert_eq!(site.search("mumblecore"), []);
    assert!(site.article("plan").is_none());
}

#[test]
fn a_preview_shows_it_everywhere() {
    let folder = folder();
    let (site, _) = folder.load_with(SiteOptions { drafts: true, ..SiteOptions::default() });
    for url in ["/", "/tags/shared/", "/tags/hidden/", "/search?q=mumblecore", "/feed.xml", "/plan/"] {
        assert!(text(&site, url).contains("Secret plan"), "{url}");
    }
    assert_eq!(status(&site, "/plan/map.png"), 200);
}

#[test]
fn changes_do_not_speak_of_drafts() {
    let folder = folder();
    let mut site = folder.load();
    assert_eq!(
        told(&save(&folder, &mut site, "content/plan/plan.md", &SECRET.replace("plan", "scheme"))),
        [""; 0]
    );
    assert_eq!(told(&save(&folder, &mut site, "content/plan/map.png", "other")), [""; 0]);
    assert_eq!(told(&save(&folder, &mut site, "content/new.md", SECRET)), [""; 0]);
    folder.remove("content/new.md");
    assert_eq!(told(&site.update(&Changes::rescan())), [""; 0]);
    assert_eq!(site.version(), 0);

    let published =
        save(&folder, &mut site, "content/plan/plan.md", &SECRET.replace("draft: true", "draft: false"));
    assert_eq!(told(&published), ["Created Article /plan/"]);
    assert_eq!(
        (published.changes[0].tags.join(" "), published.changes[0].version),
        ("hidden shared".into(), 1)
    );
    assert_eq!(status(&site, "/plan/map.png"), 200);

    let withdrawn = save(&folder, &mut site, "content/plan/plan.md", SECRET);
    assert_eq!(told(&withdrawn), ["Removed Article /plan/"]);
    assert_eq!(status(&site, "/plan/"), 404);
    assert!(!text(&site, "/").contains("Secret"));
}

#[test]
fn a_draft_does_not_take_an_address() {
    let folder = folder();
    let mut site = folder.load();
    save(&folder, &mut site, "content/a.md", "---\ntitle: Draft\nslug: open\ndraft: true\n---\n");
    assert!(text(&site, "/open/").contains("Words."));
    assert_eq!(problems(&site), [""; 0]);
}

/// Six of nine are shown, and every third is a draft or not listed: filtered after the paging, pages would have holes.
#[test]
fn paging_counts_what_is_shown() {
    let folder = Folder::of(&[("site.json", r#"{ "per_page": 2 }"#)]);
    for n in 0..9 {
        let hidden = ["", "", "draft: true", "", "", "list: false", "", "", "draft: true"][n];
        let text = format!("---\ntitle: Article {n}\ndate: 2026-01-0{}\ntags: [t]\n{hidden}\n---\n", 9 - n);
        folder.write(&format!("content/a{n}.md"), text);
    }
    let site = folder.load();
    for list in ["/", "/tags/t/"] {
        for (number, wanted) in [(1, "0 1"), (2, "3 4"), (3, "6 7")] {
            let url = if number == 1 { list.to_owned() } else { format!("{list}?page={number}") };
            let body = text(&site, &url);
            let found: Vec<_> =
                (0..9).filter(|n| body.contains(&format!(">Article {n}<"))).map(|n| n.to_string()).collect();
            assert_eq!(found.join(" "), wanted, "{url}");
            assert!(body.contains(&format!("Page {number} of 3")), "{url}");
            assert_eq!(body.contains("rel=\"prev\""), number > 1, "{url}");
            assert_eq!(body.contains("rel=\"next\""), number < 3, "{url}");
        }
        for wrong in ["0", "4", "-1", "x", "1e9", "18446744073709551616", ""] {
            assert_eq!(status(&site, &format!("{list}?page={wrong}")), 404, "{list} {wrong}");
        }
    }
    assert_eq!(site.articles().count(), 6);
    // A page is in no list and no feed, and found otherwise.
    assert!(text(&site, "/a5/").contains("Article 5"));
    assert!(!text(&site, "/feed.xml").contains("Article 5"));
    assert!(text(&site, "/sitemap.xml").contains("a5"));
    assert_eq!(site.search("5 ").len(), 1);
    assert!(
        matches!(site.render("/", &Query { page: 3, q: String::new() }), sws_content::site::Answer::Page(page) if page.status == 200)
    );
}

#[test]
fn a_slip_does_not_publish_a_draft() {
    let folder = Folder::of(&[("content/a.md", "---\ndrafts: true\n---\n# A\n"), ("content/b.md", "# B\n")]);
    let (mut site, report) = folder.load_with(SiteOptions::default());
    assert_eq!(
        report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["content/a.md:2:1: `drafts` is no key; did you mean `draft`?"]
    );
    assert_eq!(status(&site, "/a/"), 404);
    let applied = save(&folder, &mut site, "content/b.md", "---\nDraft: true\n---\n# B, with a secret\n");
    assert_eq!(told(&applied), [""; 0]);
    assert!(!text(&site, "/b/").contains("secret"), "it is shown as it was");
    save(&folder, &mut site, "content/b.md", "---\ndraft: true\n---\n# B, with a secret\n");
    assert_eq!(status(&site, "/b/"), 404);
}
