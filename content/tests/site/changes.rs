//! What a batch of changed files changes, and nothing else.

use std::os::unix::fs::symlink;

use sws_content::site::{ChangeKind, ChangeOf, Changes, Reader, Site, SiteOptions, Subscription};

use super::folder::{Folder, problems, save, status, text, told};

fn small() -> Folder {
    Folder::of(&[
        ("site.json", r#"{ "title": "T" }"#),
        ("content/a.md", "---\ntitle: A\ntags: [x]\n---\ntext\n"),
        ("content/b/b.md", "# B\n"),
        ("content/b/b.json", r#"{ "tags": ["y"] }"#),
        ("content/b/pic.png", "png"),
        ("templates/article.html", "{{ article.title }}"),
        ("static/style.css", "p {}"),
    ])
}

#[test]
fn a_rescan_of_the_same_changes_nothing() {
    let folder = small();
    let mut site = folder.load();
    let before = text(&site, "/a/");
    for _ in 0..3 {
        let batch = site.reader().read(&Changes::rescan());
        assert!(batch.is_empty(), "{batch:?}");
        let applied = site.apply(batch);
        assert_eq!((applied.changes.len(), applied.problems_changed), (0, false));
    }
    // Written again with the same text, and each path named.
    let all = ["site.json", "content/a.md", "content/b/b.md", "content/b/b.json", "templates/article.html"];
    for path in all {
        let same = std::fs::read(folder.path(path)).unwrap();
        folder.write(path, same);
    }
    assert_eq!(told(&site.update(&Changes::of(all))), [""; 0]);
    assert_eq!(
        told(&site.update(&Changes::of(["", "content", "nowhere", "../..", "/", "static/"]))),
        [""; 0]
    );
    assert_eq!((text(&site, "/a/"), site.version()), (before, 0));
    assert_eq!(site.renders()["/a/"], 1);
}

#[test]
fn each_part_says_what_happened() {
    let folder = small();
    let mut site = folder.load();
    site.set_version(41);
    let table: [(&str, Option<&str>, &str); 12] = [
        ("content/c.md", Some("# C\n"), "Created Article /c/"),
        ("content/a.md", Some("---\ntitle: A\ntags: [z]\n---\n"), "Updated Article /a/"),
        ("content/b/b.json", Some("{}"), "Updated Article /b/"),
        ("content/b/pic.png", Some("longer"), "Updated Static /b/pic.png"),
        ("content/b/new one.png", Some("png"), "Created Static /b/new%20one.png"),
        ("content/b/pic.png", None, "Removed Static /b/pic.png"),
        ("static/style.css", Some("b { }"), "Updated Static /style.css"),
        ("static/style.css", None, "Removed Static /style.css"),
        ("templates/article.html", Some("other"), "Updated Template article.html"),
        ("templates/article.html", None, "Removed Template article.html"),
        ("site.json", Some(r#"{ "title": "U" }"#), "Updated Config /"),
        ("content/c.md", None, "Removed Article /c/"),
    ];
    for (n, (path, content, wanted)) in table.into_iter().enumerate() {
        match content {
            Some(content) => folder.write(path, content),
            None => folder.remove(path),
        }
        let applied = site.update(&Changes::of([path]));
        assert_eq!(told(&applied), [wanted]);
        assert_eq!(applied.changes[0].version, 42 + n as u64);
        assert_eq!(site.version(), 42 + n as u64);
    }
    assert_eq!(site.problems(), []);
}

#[test]
fn tags_before_and_after_hear_of_it() {
    let folder = small();
    let mut site = folder.load();
    let applied = save(&folder, &mut site, "content/a.md", "---\ntitle: A two\ntags: [z, X]\n---\n");
    let change = &applied.changes[0];
    assert_eq!(
        (change.title.as_str(), change.slug.as_str(), change.tags.join(" ")),
        ("A two", "a", "z x".into())
    );
    assert_eq!((site.article_version("a"), site.article_version("b")), (1, 0));
    let topics = ["site/all", "site/title/a", "site/tag/z", "site/tag/x"];
    assert_eq!(Subscription::topics_of(change), topics);
    folder.remove("content/a.md");
    let removed = site.update(&Changes::of(["content/a.md"]));
    assert_eq!(Subscription::topics_of(&removed.changes[0]), topics);
    assert_eq!(removed.changes[0].kind, ChangeKind::Removed);
    let paged = save(&folder, &mut site, "content/p.md", "---\ntitle: P\nlist: false\n---\n");
    assert_eq!(paged.changes[0].of, ChangeOf::Page);
}

#[test]
fn a_renamed_article_moves() {
    let folder = small();
    let mut site = folder.load();
    folder.rename("content/a.md", "content/n.md");
    let applied = site.update(&Changes::of(["content/a.md", "content/n.md"]));
    assert_eq!(told(&applied), ["Removed Article /a/", "Created Article /n/"]);
    assert_eq!((status(&site, "/a/"), status(&site, "/n/")), (404, 200));

    // A folder takes its article only if it has the folder's name.
    folder.rename("content/b", "content/m");
    assert_eq!(told(&site.update(&Changes::of(["content/b", "content/m"]))), ["Removed Article /b/"]);
    folder.rename("content/m/b.md", "content/m/m.md");
    let applied = site.update(&Changes::of(["content/m/b.md", "content/m/m.md"]));
    assert_eq!(told(&applied), ["Created Article /m/"]);
    assert_eq!((status(&site, "/b/pic.png"), status(&site, "/m/pic.png")), (404, 200));

    // The slug keeps the address when the file moves.
    save(&folder, &mut site, "content/n.md", "---\nslug: kept\n---\none\n");
    folder.rename("content/n.md", "content/o.md");
    assert_eq!(told(&site.update(&Changes::rescan())), ["Updated Article /kept/"]);
    assert_eq!(site.problems(), []);
}

#[test]
fn a_removed_folder_takes_all_with_it() {
    let folder = small();
    let mut site = folder.load();
    folder.remove("content/b");
    assert_eq!(told(&site.update(&Changes::of(["content/b"]))), ["Removed Article /b/"]);
    folder.remove("content");
    assert_eq!(told(&site.update(&Changes::rescan())), ["Removed Article /a/"]);
    assert_eq!((site.articles().count(), site.tags().count(), site.search("a").len()), (0, 0, 0));
    assert!(text(&site, "/").contains("There is no article yet"));
    folder.write("content/new/new.md", "# New\n");
    assert_eq!(told(&site.update(&Changes::of(["content"]))), ["Created Article /new/"]);
}

#[test]
fn five_hundred_at_once() {
    let folder = Folder::of(&[]);
    let write = |n: usize, word: &str| {
        let text = format!(
            "---\ntitle: Number {n}\ndate: 2026-01-{:02}\ntags: [t{}]\n---\nThe {word} text.\n",
            n % 28 + 1,
            n % 7
        );
        folder.write(&format!("content/a{n:03}.md"), text);
    };
    (0..500).for_each(|n| write(n, "early"));
    let mut site = folder.load();
    assert_eq!(site.search("early").len(), 20, "as many as are shown");
    // A checkout: a third is other, a third is gone, a third as it was but new on the disk, and as many new ones come.
    (0..167).for_each(|n| write(n, "late"));
    (167..333).for_each(|n| folder.remove(&format!("content/a{n:03}.md")));
    (333..500).for_each(|n| write(n, "early"));
    (500..667).for_each(|n| write(n, "late"));
    let paths = (0..667).map(|n| format!("content/a{n:03}.md"));
    let applied = site.update(&Changes::of(paths));
    let count = |kind: ChangeKind| applied.changes.iter().filter(|change| change.kind == kind).count();
    assert_eq!([ChangeKind::Updated, ChangeKind::Removed, ChangeKind::Created].map(count), [167, 166, 167]);
    let versions: Vec<u64> = applied.changes.iter().map(|change| change.version).collect();
    assert_eq!(versions, (1..=500).collect::<Vec<_>>());
    assert_eq!((site.articles().count(), site.tags().map(|(_, _, n)| n).sum::<usize>()), (501, 501));
    assert!(text(&site, "/a000/").contains("late") && text(&site, "/a400/").contains("early"));
    assert_eq!(told(&site.update(&Changes::rescan())), [""; 0]);
}

#[test]
fn a_second_edit_in_the_same_moment_is_seen() {
    let folder = small();
    let mut site = folder.load();
    let path = folder.path("content/a.md");
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let other = std::fs::read_to_string(&path).unwrap().replace("text", "next");
    std::fs::write(&path, other).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(told(&site.update(&Changes::rescan())), ["Updated Article /a/"], "the same time and length");
}

#[test]
fn a_link_out_of_the_site_is_refused() {
    let outside = Folder::of(&[("secret.md", "# Secret\n"), ("dir/x.css", "x")]);
    let folder = small();
    symlink(outside.path("secret.md"), folder.path("content/s.md")).unwrap();
    symlink(outside.path("secret.md"), folder.path("static/s.txt")).unwrap();
    symlink(outside.path("dir"), folder.path("static/dir")).unwrap();
    symlink("../content", folder.path("static/inside")).unwrap();
    symlink("style.css", folder.path("static/other.css")).unwrap();
    symlink("loop", folder.path("content/loop.md")).unwrap();
    let (mut site, _) = folder.load_with(SiteOptions::default());
    let out = "the link leads out of the site's folder, and is not followed";
    let found = problems(&site);
    for path in ["content/s.md", "static/s.txt", "static/dir"] {
        assert!(found.contains(&format!("{path}: {out}")), "{path} in {found:?}");
    }
    assert!(found.contains(&"static/inside: a link to a folder is not followed".to_owned()), "{found:?}");
    for url in ["/s/", "/s.txt", "/dir/x.css", "/inside/a.md"] {
        assert_eq!(status(&site, url), 404, "{url}");
    }
    assert_eq!(status(&site, "/other.css"), 200);
    // A path through a linked folder is no way round.
    assert_eq!(told(&site.update(&Changes::of(["static/dir/x.css", "static/inside/a.md"]))), [""; 0]);
    assert_eq!(status(&site, "/dir/x.css"), 404);

    // A file that becomes such a link is gone, an article stays as it was.
    folder.remove("static/style.css");
    symlink(outside.path("dir/x.css"), folder.path("static/style.css")).unwrap();
    folder.remove("content/a.md");
    symlink(outside.path("secret.md"), folder.path("content/a.md")).unwrap();
    let applied = site.update(&Changes::rescan());
    assert!(told(&applied).contains(&"Removed Static /style.css".to_owned()), "{applied:?}");
    assert_eq!(status(&site, "/style.css"), 404);
    assert_eq!(text(&site, "/a/"), "A");
    for path in [
        "content/s.md",
        "content/a.md",
        "content/loop.md",
        "static/s.txt",
        "static/dir",
        "static/inside",
        "static/style.css",
    ] {
        std::fs::remove_file(folder.path(path)).unwrap();
    }
    site.update(&Changes::rescan());
    assert_eq!(site.problems(), []);
}

#[test]
fn what_cannot_be_looked_at_is_not_gone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = small();
    let mut site = folder.load();
    let mode = |mode| {
        std::fs::set_permissions(folder.path("content/b"), std::fs::Permissions::from_mode(mode)).unwrap()
    };
    mode(0o000);
    // Who may read everything (root) sees no difference; the others keep what was there.
    let readable = std::fs::read_dir(folder.path("content/b")).is_ok();
    let applied = site.update(&Changes::rescan());
    mode(0o755);
    assert_eq!(told(&applied), [""; 0]);
    assert_eq!(applied.problems_changed, !readable);
    assert_eq!(status(&site, "/b/"), 200);
    assert_eq!(site.update(&Changes::rescan()).problems_changed, !readable);
    assert_eq!(site.problems(), []);
}

#[test]
fn a_reader_works_on_another_thread() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<Site>();
    is_send_and_sync::<Reader>();
    let folder = small();
    let mut site = folder.load();
    folder.write("content/c.md", "# C\n");
    let reader = site.reader();
    let batch = std::thread::spawn(move || reader.read(&Changes::rescan())).join().unwrap();
    assert_eq!(status(&site, "/c/"), 404, "nothing is changed before the batch is applied");
    assert_eq!(told(&site.apply(batch)), ["Created Article /c/"]);
}

#[test]
#[should_panic(expected = "out of date")]
fn a_batch_of_an_old_reader_is_a_mistake() {
    let folder = small();
    let mut site = folder.load();
    let reader = site.reader();
    site.update(&Changes::rescan());
    site.apply(reader.read(&Changes::rescan()));
}

#[test]
fn changes_are_merged() {
    let mut changes = Changes::of(["a"]);
    changes.merge(Changes::of(["b", "a"]));
    assert_eq!(changes, Changes::of(["a", "b"]));
    changes.merge(Changes::rescan());
    assert!(changes.rescan && changes.paths.len() == 2);
}
