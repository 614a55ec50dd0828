//! A site that is loaded again: what cannot be read any more is not gone.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use sws_content::site::{Change, Changes, Part, Site, SiteOptions};

use super::folder::{Folder, save, status, told};

fn parts(folder: &Folder) -> BTreeMap<String, Part> {
    folder.load().parts()
}

/// The site as another process finds it, and what that tells of the time in between.
fn again(folder: &Folder, before: &BTreeMap<String, Part>) -> (Site, Vec<String>) {
    let (mut site, _) = folder.load_with(SiteOptions::default());
    site.set_version(10);
    let changes = site.changes_since(before);
    (site, lines(&changes))
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| format!("{} {:?} {}", change.version, change.kind, change.path)).collect()
}

fn site() -> Folder {
    Folder::of(&[
        ("content/a/a.md", "---\ntitle: A\ntags: [x]\n---\nText.\n"),
        ("content/a/photo.jpg", "photo"),
        ("content/b.md", "# B\n"),
        ("content/c.md", "---\nslug: other\n---\nText.\n"),
        ("templates/part.html", "part"),
        ("static/style.css", "a {}"),
        ("site.json", r#"{ "title": "Mine" }"#),
    ])
}

#[test]
fn what_does_not_parse_is_not_gone() {
    let folder = site();
    let before = parts(&folder);
    folder.write("content/a/a.md", "---\ntitle: [oops\n---\nText.\n");
    folder.write("content/c.md", "---\nslug: \"other\"\ndate: soon\n---\nText.\n");
    folder.write("templates/part.html", "{% if %}");
    folder.write("site.json", "{");
    let (mut site, changes) = again(&folder, &before);
    assert_eq!((changes, site.problems().len()), (vec![], 4));
    assert_eq!((status(&site, "/a/"), status(&site, "/other/")), (404, 404));

    // Mended, it is a change and no new page; what stands beside it is as it was.
    let applied = save(&folder, &mut site, "content/a/a.md", "---\ntitle: A\n---\nNew text.\n");
    assert_eq!(lines(&applied.changes), ["11 Updated /a/"]);
    assert_eq!(applied.changes[0].tags, ["x"], "who has the tag that it had hears of it");
    // Another address is not the one that it had.
    let applied = save(&folder, &mut site, "content/c.md", "---\nslug: third\n---\nText.\n");
    assert_eq!(lines(&applied.changes), ["12 Created /third/", "13 Removed /other/"]);
    let applied = save(&folder, &mut site, "templates/part.html", "parts");
    assert_eq!(told(&applied), ["Updated Template part.html"]);
    assert_eq!(told(&save(&folder, &mut site, "site.json", r#"{ "title": "Ours" }"#)), ["Updated Config /"]);
    let now = site.parts();
    assert_eq!((site.problems().len(), site.changes_since(&now)), (0, vec![]));
}

#[test]
fn what_is_gone_is_told_beside_what_does_not_parse() {
    let folder = site();
    let before = parts(&folder);
    folder.write("content/a/a.md", "---\ntitle: [oops\n---\nText.\n");
    folder.remove("content/b.md");
    folder.remove("static/style.css");
    let (mut site, changes) = again(&folder, &before);
    assert_eq!(changes, ["11 Removed /style.css", "12 Removed /b/"]);
    folder.remove("content/a");
    let applied = site.update(&Changes::of(["content/a"]));
    assert_eq!(lines(&applied.changes), ["13 Removed /a/photo.jpg", "14 Removed /a/"]);

    // A draft is for nobody, whatever it was before.
    folder.write("content/b.md", "---\ndraft: perhaps\n---\n# B\n");
    let (mut site, changes) = again(&folder, &before);
    assert!(!changes.iter().any(|change| change.ends_with(" /b/")), "{changes:?}");
    let applied = save(&folder, &mut site, "content/b.md", "---\ndraft: true\n---\n# B\n");
    assert_eq!(told(&applied), ["Removed Article /b/"]);
}

#[test]
fn what_cannot_be_read_is_not_gone() {
    let folder = site();
    let before = parts(&folder);
    // A text of which nothing is told, not even its address.
    folder.write("content/c.md", b"---\nslug: other\n---\n\xff\n");
    let (mut site, changes) = again(&folder, &before);
    assert_eq!(changes, [""; 0]);
    let applied = save(&folder, &mut site, "content/c.md", "---\nslug: other\n---\nText.\n");
    assert_eq!(lines(&applied.changes), ["11 Updated /other/"]);

    // A folder that is not looked into.
    for name in ["static", "content"] {
        folder.rename(name, &format!("{name}.other"));
        symlink(folder.path(&format!("{name}.other")), folder.path(name)).unwrap();
    }
    let (mut site, changes) = again(&folder, &before);
    assert_eq!((changes, site.problems().len()), (vec![], 2));
    for name in ["static", "content"] {
        folder.remove_link(name);
        folder.rename(&format!("{name}.other"), name);
    }
    folder.remove("content/b.md");
    let mut kept: Vec<String> = told(&site.update(&Changes::rescan()));
    kept.sort();
    assert_eq!(
        kept,
        [
            "Removed Article /b/",
            "Updated Article /a/",
            "Updated Article /other/",
            "Updated Static /a/photo.jpg",
            "Updated Static /style.css",
        ]
    );
}
