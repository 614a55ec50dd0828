//! Where things stand in a site's folder: what a path is the place of.

use super::config::CONFIG_FILE;
use super::templates;

/// The folder of articles.
pub(super) const CONTENT: &str = "content";
/// The folder of files that are served as they are.
pub(super) const STATIC: &str = "static";

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'a> {
    /// `site.json`.
    Config,
    /// The Markdown or the JSON of an article, which is named by its path below `content` without the ending.
    Article(&'a str),
    /// A template, by its name.
    Template(&'a str),
    /// A file that is served as it is.
    File,
    /// Nothing that is served: what no rule names, hidden files, and what editors leave beside a file.
    Nothing,
}

pub(super) fn place_of(path: &str) -> Place<'_> {
    if path.split('/').any(is_passing) {
        return Place::Nothing;
    }
    let Some((folder, below)) = path.split_once('/') else {
        return if path == CONFIG_FILE { Place::Config } else { Place::Nothing };
    };
    match folder {
        templates::FOLDER => Place::Template(below),
        STATIC => Place::File,
        CONTENT => {
            let key = below.strip_suffix(".md").or_else(|| below.strip_suffix(".json"));
            match (key, below.split_once('/')) {
                (Some(key), None) => Place::Article(key),
                (None, None) => Place::Nothing,
                (Some(key), Some((folder, _))) if key.split_once('/') == Some((folder, folder)) => {
                    Place::Article(key)
                }
                (_, Some(_)) => Place::File,
            }
        }
        _ => Place::Nothing,
    }
}

/// Whether a name is hidden, or one that an editor or a tool uses while it writes another file.
fn is_passing(name: &str) -> bool {
    name.is_empty()
        || name.starts_with(['.', '#'])
        || name.ends_with('~')
        || name == "4913"
        || [".tmp", ".swp", ".swx", ".part", ".bak", ".orig", ".rej"].iter().any(|end| name.ends_with(end))
}

/// The folder of an article that has one, for the files beside it.
pub(super) fn folder_of(key: &str) -> Option<&str> {
    key.split_once('/').map(|(folder, _)| folder)
}

/// A path relative to the site's folder in its plain form; none if it leads out of it.
pub(super) fn normalize(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let table = [
            ("site.json", Place::Config),
            ("content/a.md", Place::Article("a")),
            ("content/a.json", Place::Article("a")),
            ("content/a/a.md", Place::Article("a/a")),
            ("content/a/a.json", Place::Article("a/a")),
            ("content/a/b.md", Place::File),
            ("content/a/b.png", Place::File),
            ("content/a/a/a.md", Place::File),
            ("content/a/b/c.png", Place::File),
            ("content/a.png", Place::Nothing),
            ("content/.a.md.swp", Place::Nothing),
            ("content/a.md~", Place::Nothing),
            ("content/#a.md#", Place::Nothing),
            ("content/a/4913", Place::Nothing),
            ("content/a.md.tmp", Place::Nothing),
            ("content/.md", Place::Nothing),
            ("content/.git/a", Place::Nothing),
            ("templates/base.html", Place::Template("base.html")),
            ("templates/parts/a.html", Place::Template("parts/a.html")),
            ("static/css/a.css", Place::File),
            ("static/.well-known/a", Place::Nothing),
            ("readme.md", Place::Nothing),
            ("other/a.md", Place::Nothing),
            ("content", Place::Nothing),
            ("", Place::Nothing),
        ];
        for (path, place) in table {
            assert_eq!(place_of(path), place, "{path}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        let table = [
            ("content/a.md", Some("content/a.md")),
            ("./content//a.md", Some("content/a.md")),
            ("/content/", Some("content")),
            ("content/../../etc", None),
            ("..", None),
            ("", Some("")),
        ];
        for (path, wanted) in table {
            assert_eq!(normalize(path).as_deref(), wanted, "{path}");
        }
    }
}
