//! Against an oracle: a site that took in many random changes serves what a site loaded afresh serves.

use std::collections::BTreeMap;

use sws_content::site::{Answer, Changes, Query, Site, SiteOptions};

use super::folder::Folder;

/// Everything at all addresses there may be.
fn everything(site: &Site) -> BTreeMap<String, String> {
    let names: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    let mut urls: Vec<String> =
        ["/", "/tags/", "/feed.xml", "/sitemap.xml", "/nowhere", "/static.css"].map(str::to_owned).into();
    urls.extend(
        names.iter().flat_map(|name| [format!("/{name}/"), format!("/{name}"), format!("/{name}/pic.png")]),
    );
    urls.extend((0..4).flat_map(|n| [format!("/tags/t{n}/"), format!("/tags/t{n}/?page=2")]));
    urls.extend((2..6).map(|n| format!("/?page={n}")));
    urls.extend((0..5).map(|n| format!("/search?q=word{n}")));
    let served = urls.into_iter().map(|url| {
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let answer = match site.render(path, &Query::of_pairs(query.split_once('='))) {
            Answer::Page(page) => {
                format!("{} {:?} {}", page.status, page.location, String::from_utf8_lossy(&page.body))
            }
            Answer::File(file) => file.name,
        };
        (url, answer)
    });
    served.collect()
}

#[test]
fn a_changed_site_is_as_one_loaded_afresh() {
    let base = "{% block main %}{% endblock %}{{ site.title }}";
    let folder = Folder::of(&[("templates/base.html", base), ("site.json", r#"{ "per_page": 2 }"#)]);
    let mut random = fastrand::Rng::with_seed(0x5173);
    let mut site = folder.load();
    for step in 0..400 {
        let mut paths = Vec::new();
        for _ in 0..random.usize(1..4) {
            let n = random.usize(..12);
            // Even articles have a folder.
            let path = if n.is_multiple_of(2) {
                format!("content/n{n}/n{n}.md")
            } else {
                format!("content/n{n}.md")
            };
            let text = format!(
                "---\ntitle: Title {}\ndate: 2026-01-0{}\ntags: [t{}, t{}]\ndraft: {}\nlist: {}\n---\nword{} text\n",
                random.u8(..3),
                random.u8(1..4),
                random.u8(..4),
                random.u8(..4),
                random.u8(..4) == 0,
                random.u8(..4) > 0,
                random.u8(..5),
            );
            let (path, text) = match random.u8(..12) {
                0 => (format!("content/n{n}/pic.png"), "png".to_owned()),
                1 => (
                    "templates/list.html".to_owned(),
                    format!("{}{{% for a in articles %}}{{{{ a.title }}}}{{% endfor %}}", random.u8(..3)),
                ),
                2 => (
                    "site.json".to_owned(),
                    format!("{{ \"title\": \"T{}\", \"per_page\": {} }}", random.u8(..3), random.u8(1..4)),
                ),
                3 => ("static/static.css".to_owned(), "css".to_owned()),
                _ => (path, text),
            };
            if random.u8(..4) > 0 {
                folder.write(&path, text);
            } else if folder.path(&path).exists() {
                folder.remove(&path);
            }
            paths.push(path);
        }
        let before = site.version();
        let changes = if random.u8(..8) == 0 { Changes::rescan() } else { Changes::of(paths) };
        let applied = site.update(&changes);
        assert_eq!(site.version(), before + applied.changes.len() as u64);
        if step % 4 == 0 {
            let (fresh, report) = Site::load(folder.root(), SiteOptions::default()).unwrap();
            assert_eq!(site.problems(), report.problems, "step {step}");
            let (mine, wanted) = (everything(&site), everything(&fresh));
            for (url, wanted) in wanted {
                assert_eq!(mine[&url], wanted, "{url} at step {step}");
            }
        }
    }
}
