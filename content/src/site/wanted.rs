//! What can be told of an article whose files do not parse: for its author, who looks for it where it is to be.

use super::article::{SLUG_BYTES_MAX, Source};
use super::front_matter::after_fence;
use super::keys;
use super::make::hash_of;
use super::problem::Problem;
use super::site::{Site, Subject};
use super::slug::slugify_at_most;

/// What an article wants to be that cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub slug: String,
    /// It is a draft, or may be one.
    pub draft: bool,
}

impl Wanted {
    /// Looks for its address, which is else the name of its file, and for the word `draft`.
    pub(super) fn of(source: Source) -> Wanted {
        let head = after_fence(source.text.strip_prefix('\u{feff}').unwrap_or(source.text)).unwrap_or("");
        let json = source.json.map_or("", |(_, json)| json);
        let lines = || head.lines().take_while(|line| line.trim_end() != "---");
        let name = source.key.rsplit('/').next().unwrap_or(source.key);
        let slug = json_slug(json).or_else(|| lines().find_map(slug_line)).unwrap_or(name);
        Wanted {
            slug: slugify_at_most(slug, SLUG_BYTES_MAX),
            draft: json.to_lowercase().contains("draft") || lines().any(is_of_draft),
        }
    }
}

fn json_slug(json: &str) -> Option<&str> {
    let (_, rest) = json.split_once("\"slug\"")?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    value.split(['"', '\n']).next().filter(|slug| !slug.is_empty())
}

fn slug_line(line: &str) -> Option<&str> {
    let value = line.strip_prefix("slug:")?.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}

/// Whether a line may be to say that the article is a draft.
fn is_of_draft(line: &str) -> bool {
    let line = line.trim_start_matches(|c: char| !c.is_alphabetic());
    let key = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    (key == "draft" || keys::meant(key, &["draft"]).is_some()) && line != "draft: false"
}

impl Site {
    /// What is wrong with articles that were never good and are no drafts, and the address that each wants.
    fn never_good(&self) -> impl Iterator<Item = (&str, &Problem)> {
        self.broken.iter().filter_map(|(key, wanted)| {
            let wanted = wanted.as_ref().filter(|wanted| self.options.drafts || !wanted.draft)?;
            let problem = self.problems.get(&Subject::Article(key.clone()))?;
            (!self.articles.contains_key(key)).then_some((wanted.slug.as_str(), problem))
        })
    }

    /// Those that want an address, or all of them.
    pub(super) fn never_good_at<'a>(&'a self, slug: Option<&str>) -> impl Iterator<Item = &'a Problem> {
        self.never_good()
            .filter(move |(wanted, _)| slug.is_none_or(|slug| slug == *wanted))
            .map(|(_, problem)| problem)
    }

    /// Of what is wrong with them.
    pub(super) fn never_good_hash(&self) -> u64 {
        hash_of(self.never_good().map(|(slug, problem)| (slug, problem.to_string())).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_article_wants() {
        let wanted = |text: &str, json: Option<&str>| {
            let source = Source { key: "A Name/A Name", path: "", text, json: json.map(|json| ("", json)) };
            let Wanted { slug, draft } = Wanted::of(source);
            (slug, draft)
        };
        let table = [
            ("---\ntitle: [\n---\nslug: x\ndraft: true", None, "a-name", false),
            ("---\nslug: \"B c\"\ntitle: [\n---\n", None, "b-c", false),
            ("---\nslug:\ndraft: false\n---\n", None, "a-name", false),
            ("---\ndraft: treu\n---\n", None, "a-name", true),
            ("---\n  \"Drafts\" true\n---\n", None, "a-name", true),
            ("---\nslug: b\n---\n", Some("{ \"slug\" : \"c\", "), "c", false),
            ("---\nslug: b\n---\n", Some("{ \"slug\": 1, \"draft\": 1"), "b", true),
        ];
        for (text, json, slug, draft) in table {
            assert_eq!(wanted(text, json), (slug.to_owned(), draft), "{text:?} {json:?}");
        }
    }
}
