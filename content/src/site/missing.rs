//! What was there in an earlier life of the site and cannot be read in this one. It is not gone, and nobody is told that it is.

use super::change::{Change, ChangeKind, ChangeOf};
use super::layout::{CONTENT, STATIC};
use super::manifest::Part;
use super::route::decode;
use super::site::{Site, Subject};
use super::templates;
use super::wanted::Wanted;

impl Site {
    /// Whether a part may be there and only cannot be read.
    pub(super) fn is_unread(&self, part: &Part) -> bool {
        // Not every problem is known.
        if self.problems.len() >= self.options.limits.problems_max {
            return true;
        }
        match part.of {
            ChangeOf::Config => self.problems.contains_key(&Subject::Config),
            ChangeOf::Template => {
                self.problems.contains_key(&Subject::Template(part.path.clone()))
                    || self.is_hidden(&format!("{}/{}", templates::FOLDER, part.path))
            }
            ChangeOf::Article | ChangeOf::Page => self.is_article_unread(&part.slug),
            ChangeOf::Static => {
                let Some(path) = decode(&part.path) else { return false };
                if part.slug.is_empty() {
                    return self.is_hidden(&format!("{STATIC}/{path}"));
                }
                let folder = self.owners.get(&part.slug).and_then(|key| key.split_once('/'));
                match (folder, path.split_once('/')) {
                    (Some((folder, _)), Some((_, below))) => {
                        self.is_hidden(&format!("{CONTENT}/{folder}/{below}"))
                    }
                    _ => self.is_article_unread(&part.slug),
                }
            }
        }
    }

    /// Whether an article that has no page may be the one of an address.
    fn is_article_unread(&self, slug: &str) -> bool {
        let wants = |(key, wanted): (&String, &Option<Wanted>)| {
            !self.articles.contains_key(key) && wanted.as_ref().is_none_or(|wanted| wanted.slug == slug)
        };
        // An article's file lies in `content` or in a folder there, and may want any address.
        let hides = |path: &str| {
            path == CONTENT
                || path
                    .strip_prefix(CONTENT)
                    .and_then(|below| below.strip_prefix('/'))
                    .is_some_and(|name| !name.contains('/'))
        };
        !self.public.contains_key(slug) && (self.broken.iter().any(wants) || self.unread().any(hides))
    }

    /// Whether a file, or a folder above it, could not be read.
    fn is_hidden(&self, path: &str) -> bool {
        let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.unread().any(|unread| unread == path || below(unread))
    }

    fn unread(&self) -> impl Iterator<Item = &str> {
        self.problems.keys().filter_map(|subject| match subject {
            Subject::Path(path) => Some(path.as_str()),
            _ => None,
        })
    }

    /// Looks for what is missing: what can be read again is not new, and what is gone by now is told.
    pub(super) fn find_missing(&mut self, changes: &mut Vec<Change>) {
        if self.missing.is_empty() {
            return;
        }
        for change in changes.iter_mut() {
            let Some(old) = self.missing.remove(&change.part_key()) else { continue };
            if change.kind == ChangeKind::Created {
                change.kind = ChangeKind::Updated;
            }
            for tag in old.tags {
                if !change.tags.contains(&tag) {
                    change.tags.push(tag);
                }
            }
        }
        let now = self.parts();
        for (key, part) in std::mem::take(&mut self.missing) {
            let (part, kind) = match now.get(&key) {
                // A file beside an article comes back with it, and is no change of its own.
                Some(again) if again.hash == part.hash => continue,
                Some(again) => (again, ChangeKind::Updated),
                None if self.is_unread(&part) => {
                    self.missing.insert(key, part);
                    continue;
                }
                None => (&part, ChangeKind::Removed),
            };
            self.version += 1;
            changes.push(part.change(self.version, kind));
        }
    }
}
