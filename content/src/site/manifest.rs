//! What a site consists of, each part by a hash of what it says: to tell what changed while nobody watched.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::article::Article;
use super::change::{Change, ChangeKind, ChangeOf};
use super::layout::{Place, place_of};
use super::site::Site;

/// A part of a site, as it was when its last change was noted.
///
/// ```
/// use sws_content::site::{Part, Site, SiteOptions};
///
/// # let root = std::env::temp_dir().join(format!("sws-manifest-doc-{}", std::process::id()));
/// std::fs::create_dir_all(root.join("content"))?;
/// std::fs::write(root.join("content/first.md"), "# First")?;
/// let (mut site, _) = Site::load(&root, SiteOptions::default())?;
/// let before = site.parts();
///
/// std::fs::write(root.join("content/first.md"), "# First, again")?;
/// let (mut site, _) = Site::load(&root, SiteOptions::default())?;
/// site.set_version(7);
/// let changes = site.changes_since(&before);
/// assert_eq!((changes[0].path.as_str(), changes[0].version), ("/first/", 8));
/// # std::fs::remove_dir_all(&root)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Of what it says: the same hash, the same part.
    pub hash: u64,
    /// Which kind of part.
    pub of: ChangeOf,
    /// As in [`Change`].
    pub path: String,
    /// As in [`Change`].
    pub slug: String,
    /// As in [`Change`].
    pub title: String,
    /// The slugs of its tags.
    pub tags: Vec<String>,
}

fn key_of(of: ChangeOf, path: &str) -> String {
    match of {
        // An article that becomes a page is the same part.
        ChangeOf::Article | ChangeOf::Page => format!("page {path}"),
        ChangeOf::Template => format!("template {path}"),
        ChangeOf::Static => format!("file {path}"),
        ChangeOf::Config => "config".to_owned(),
    }
}

impl Change {
    /// The name of the part that changed: all changes of one part have the same.
    pub fn part_key(&self) -> String {
        key_of(self.of, &self.path)
    }
}

impl Part {
    fn of_article(article: &Article) -> Part {
        Part {
            hash: article.hash,
            of: if article.listed { ChangeOf::Article } else { ChangeOf::Page },
            path: article.url.clone(),
            slug: article.slug.clone(),
            title: article.title.clone(),
            tags: article.tags.iter().map(|tag| tag.slug.clone()).collect(),
        }
    }

    fn plain(hash: u64, of: ChangeOf, path: String, slug: String) -> Part {
        Part { hash, of, path, slug, title: String::new(), tags: Vec::new() }
    }

    pub(super) fn change(&self, version: u64, kind: ChangeKind) -> Change {
        Change {
            version,
            kind,
            of: self.of,
            path: self.path.clone(),
            slug: self.slug.clone(),
            title: self.title.clone(),
            tags: self.tags.clone(),
        }
    }
}

impl Site {
    /// Every part that readers see, by the name of the part.
    pub fn parts(&self) -> BTreeMap<String, Part> {
        let mut parts: Vec<Part> = self.public.values().map(|article| Part::of_article(article)).collect();
        parts.push(Part::plain(self.config_hash, ChangeOf::Config, "/".to_owned(), String::new()));
        for (path, fingerprint) in self.known.iter() {
            match place_of(path) {
                Place::Template(name) if self.templates.own(name).is_some() => {
                    let hash = self.templates.hash(name);
                    parts.push(Part::plain(hash, ChangeOf::Template, name.to_owned(), String::new()));
                }
                Place::File if self.files.contains(path) => {
                    let Some((url, slug)) = self.address_of(path) else { continue };
                    let mut hasher = DefaultHasher::new();
                    (fingerprint.modified, fingerprint.len).hash(&mut hasher);
                    parts.push(Part::plain(hasher.finish(), ChangeOf::Static, url, slug));
                }
                _ => {}
            }
        }
        parts.into_iter().map(|part| (key_of(part.of, &part.path), part)).collect()
    }

    /// What is another than in `before`, as changes with the next versions. What cannot be read now is not compared: it is told
    /// when it can be read again, or is gone.
    pub fn changes_since(&mut self, before: &BTreeMap<String, Part>) -> Vec<Change> {
        let now = self.parts();
        let mut changes = Vec::new();
        for (key, part) in &now {
            let old = before.get(key);
            if old.is_some_and(|old| old.hash == part.hash || self.is_unread(part)) {
                continue;
            }
            let kind = if old.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
            self.version += 1;
            let mut change = part.change(self.version, kind);
            for tag in old.iter().flat_map(|old| &old.tags) {
                if !change.tags.contains(tag) {
                    change.tags.push(tag.clone());
                }
            }
            if matches!(part.of, ChangeOf::Article | ChangeOf::Page) {
                self.versions.insert(part.slug.clone(), self.version);
            }
            changes.push(change);
        }
        self.missing.clear();
        for (key, part) in before.iter().filter(|(key, _)| !now.contains_key(*key)) {
            if self.is_unread(part) {
                self.missing.insert(key.clone(), part.clone());
                continue;
            }
            self.version += 1;
            changes.push(part.change(self.version, ChangeKind::Removed));
        }
        self.forget_pages();
        changes
    }

    /// Every article by its last good version, those that no reader sees too.
    pub fn all_articles(&self) -> impl Iterator<Item = &Article> {
        self.articles.values().map(AsRef::as_ref)
    }

    /// The page that a file of an article makes, if readers see it.
    pub fn page_of(&self, file: &str) -> Option<&Article> {
        let Place::Article(key) = place_of(file) else { return None };
        let article = self.articles.get(key)?;
        self.public.get(&article.slug).filter(|public| public.path == article.path).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Changes, SiteOptions};
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("sws-manifest-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("content")).unwrap();
            std::fs::create_dir_all(path.join("static")).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_changed_between_two_lives_is_told_once() {
        let folder = Folder::new("lives");
        folder.write("content/a.md", "---\ntitle: A\ntags: [x]\n---\nText.");
        folder.write("content/b.md", "# B");
        folder.write("content/c.md", "---\ntitle: C\ndraft: true\n---\nText.");
        folder.write("static/x.txt", "x");
        let (site, _) = Site::load(&folder.0, SiteOptions::default()).unwrap();
        let before = site.parts();
        let keys: Vec<&str> = before.keys().map(String::as_str).collect();
        assert_eq!(keys, ["config", "file /x.txt", "page /a/", "page /b/"]);

        folder.write("content/a.md", "---\ntitle: A\ntags: [y]\n---\nText.");
        folder.write("content/d.md", "# D");
        folder.write("static/x.txt", "longer");
        std::fs::remove_file(folder.0.join("content/b.md")).unwrap();
        let (mut site, _) = Site::load(&folder.0, SiteOptions::default()).unwrap();
        site.set_version(40);
        let changes = site.changes_since(&before);
        let told: Vec<_> =
            changes.iter().map(|change| (change.version, change.kind, change.path.as_str())).collect();
        assert_eq!(
            told,
            [
                (41, ChangeKind::Updated, "/x.txt"),
                (42, ChangeKind::Updated, "/a/"),
                (43, ChangeKind::Created, "/d/"),
                (44, ChangeKind::Removed, "/b/"),
            ]
        );
        assert_eq!(changes[1].tags, ["y", "x"], "who has either tag hears of it");
        let now = site.parts();
        assert_eq!(site.changes_since(&now), []);
        assert_eq!((site.version(), site.article_version("a")), (44, 42));
    }

    #[test]
    fn a_part_has_the_key_of_its_changes() {
        let folder = Folder::new("keys");
        std::fs::create_dir_all(folder.0.join("templates")).unwrap();
        let (mut site, _) = Site::load(&folder.0, SiteOptions::default()).unwrap();
        folder.write("content/a.md", "# A");
        folder.write("static/x.txt", "x");
        folder.write("templates/page.html", "{{ page.title }}");
        folder.write("site.json", r#"{ "title": "T" }"#);
        let changes = site.update(&Changes::rescan()).changes;
        assert_eq!(changes.len(), 4);
        let parts = site.parts();
        for change in changes {
            assert!(parts.contains_key(&change.part_key()), "{change:?}");
        }
    }

    #[test]
    fn a_file_is_known_by_the_page_it_makes() {
        let folder = Folder::new("pages");
        folder.write("content/a.md", "# A");
        folder.write("content/c.md", "---\ntitle: C\ndraft: true\n---\nText.");
        let (site, _) = Site::load(&folder.0, SiteOptions::default()).unwrap();
        assert_eq!(site.page_of("content/a.md").map(|page| page.url.as_str()), Some("/a/"));
        for none in ["content/c.md", "content/x.md", "templates/a.md", "site.json"] {
            assert!(site.page_of(none).is_none(), "{none}");
        }
        assert_eq!(site.all_articles().count(), 2);
    }
}
