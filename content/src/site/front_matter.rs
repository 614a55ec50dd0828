//! What an article says about itself: the block between `---` lines at the top of its Markdown (YAML), or the JSON beside it.

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::budget::BudgetBreach;

use super::config::of_json;
use super::date::Date;
use super::keys::{Keys, Known, has_slip};
use super::options::SiteLimits;
use super::problem::Problem;

/// Lists and maps of YAML within each other.
const YAML_DEPTH_MAX: usize = 16;

/// What an article says about itself. Every key is optional.
///
/// ```
/// use sws_content::site::{FrontMatter, SiteLimits};
///
/// let text = "---\ntitle: First\ndate: 2026-11-21\ntags: [rust, io_uring]\n---\nThe text.\n";
/// let (front, body) = FrontMatter::split("a.md", text, &SiteLimits::default()).unwrap();
/// assert_eq!(front.title.as_deref(), Some("First"));
/// assert_eq!(front.tags, ["rust", "io_uring"]);
/// assert_eq!(body, "The text.\n");
///
/// let wrong = FrontMatter::split("a.md", "---\ntitle: x\ndraft: perhaps\n---\n", &SiteLimits::default());
/// assert_eq!(wrong.unwrap_err().line, Some(3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FrontMatter {
    /// The title; without one, the first heading of the first level, and else the file's name.
    pub title: Option<String>,
    /// When it was published: a day, or a day and a time (UTC unless an offset is written).
    #[serde(deserialize_with = "date")]
    pub date: Option<Date>,
    /// When it was last changed in a way that readers should know.
    #[serde(deserialize_with = "date")]
    pub updated: Option<Date>,
    /// What it is about, as a list, or as one string with commas.
    #[serde(deserialize_with = "tags")]
    pub tags: Vec<String>,
    /// Its first words in lists and feeds; without one, the first paragraph.
    pub summary: Option<String>,
    /// Not for the public yet.
    pub draft: bool,
    /// Who wrote it, if not the site's author.
    pub author: Option<String>,
    /// The template, if not `article.html` or `page.html`.
    pub template: Option<String>,
    /// Its address, if not its file's name.
    pub slug: Option<String>,
    /// False makes it a page: reachable, but in no list of articles and no feed.
    #[serde(deserialize_with = "list")]
    pub list: Option<bool>,
    /// Lists show heavier articles first; 0 unless said.
    pub weight: i32,
    /// Every other key, for templates: `article.extra`. One that is nearly a key of those above is a problem: somebody slipped.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Known for FrontMatter {
    const KEYS: &'static [&'static str] = &[
        "title", "date", "updated", "tags", "summary", "draft", "author", "template", "slug", "list",
        "weight",
    ];
}

fn date<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let wanted = "is no date; write it as 2026-11-21 or 2026-11-21T10:30:00Z";
    Date::parse(&text).map(Some).ok_or_else(|| serde::de::Error::custom(format!("`{text}` {wanted}")))
}

fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    bool::deserialize(deserializer).map(Some)
}

fn tags<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Tags;
    impl<'de> serde::de::Visitor<'de> for Tags {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a list of tags")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.split(',').map(str::to_owned).collect())
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut tags = Vec::new();
            while let Some(tag) = list.next_element::<String>()? {
                tags.push(tag);
            }
            Ok(tags)
        }
    }
    deserializer.deserialize_any(Tags)
}

impl FrontMatter {
    /// Splits the Markdown file `path` into its front matter, if it begins with a line `---`, and the text below.
    pub fn split<'a>(
        path: &str,
        text: &'a str,
        limits: &SiteLimits,
    ) -> Result<(FrontMatter, &'a str), Problem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Some(head) = after_fence(text) else { return Ok((FrontMatter::default(), text)) };
        let mut end = 0;
        for line in head.split_inclusive('\n') {
            if line.trim_end() == "---" {
                let front = FrontMatter::of_yaml(path, &head[..end], limits)?;
                return Ok((front, &head[end + line.len()..]));
            }
            end += line.len();
        }
        Err(Problem::new(path, "the front matter has no end: a line `---` is missing").at(1, None))
    }

    fn of_yaml(path: &str, yaml: &str, limits: &SiteLimits) -> Result<FrontMatter, Problem> {
        if yaml.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(FrontMatter::default());
        }
        let budget = serde_saphyr::budget! { max_depth: YAML_DEPTH_MAX };
        let options = serde_saphyr::options! { with_snippet: false, budget: budget };
        let place = |error: serde_saphyr::Error| {
            let message = match error.without_snippet() {
                serde_saphyr::Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
                    format!("over {YAML_DEPTH_MAX} lists and maps within each other")
                }
                other => one_line(&other.to_string()),
            };
            // That is found where the next key stands.
            let hint = if message.contains("illegal placement of ':'") {
                " (is a `[`, a `{` or a quote above it left open?)"
            } else {
                ""
            };
            let problem = Problem::new(path, format!("{}{hint}", without_place(&message)));
            match error.location() {
                // The fence is the first line of the file.
                Some(place) => problem.at(place.line() as u32 + 1, Some(place.column() as u32)),
                None => problem.at(1, None),
            }
        };
        let front: FrontMatter = serde_saphyr::from_str_with_options(yaml, options.clone()).map_err(place)?;
        if has_slip::<FrontMatter>(&front.extra) {
            let _: Keys<FrontMatter> = serde_saphyr::from_str_with_options(yaml, options).map_err(place)?;
        }
        front.check(path, limits)
    }

    /// Reads the JSON file `path` beside an article.
    pub fn of_json(path: &str, text: &str, limits: &SiteLimits) -> Result<FrontMatter, Problem> {
        let front: FrontMatter = serde_json::from_str(text).map_err(|error| of_json(path, &error))?;
        if has_slip::<FrontMatter>(&front.extra) {
            let _: Keys<FrontMatter> = serde_json::from_str(text).map_err(|error| of_json(path, &error))?;
        }
        front.check(path, limits)
    }

    /// The bounds, and what must not be in a line of text: control characters are no part of XML.
    fn check(mut self, path: &str, limits: &SiteLimits) -> Result<FrontMatter, Problem> {
        let texts = [&mut self.title, &mut self.summary, &mut self.author, &mut self.slug];
        for text in texts.into_iter().flatten().chain(&mut self.tags) {
            if text.len() > limits.text_bytes_max {
                return Err(Problem::new(path, format!("a text of over {} bytes", limits.text_bytes_max)));
            }
            *text = one_line(text);
        }
        self.tags.retain(|tag| !tag.is_empty());
        if self.tags.len() > limits.tags_max {
            return Err(Problem::new(path, format!("over {} tags", limits.tags_max)));
        }
        for text in [&mut self.title, &mut self.summary, &mut self.author, &mut self.slug, &mut self.template]
        {
            text.take_if(|text| text.is_empty());
        }
        Ok(self)
    }

    /// This, and what `other` says in addition. A key that both have is this one's.
    pub(super) fn or(self, other: FrontMatter) -> FrontMatter {
        let mut extra = other.extra;
        extra.extend(self.extra);
        FrontMatter {
            title: self.title.or(other.title),
            date: self.date.or(other.date),
            updated: self.updated.or(other.updated),
            tags: if self.tags.is_empty() { other.tags } else { self.tags },
            summary: self.summary.or(other.summary),
            draft: self.draft || other.draft,
            author: self.author.or(other.author),
            template: self.template.or(other.template),
            slug: self.slug.or(other.slug),
            list: self.list.or(other.list),
            weight: if self.weight == 0 { other.weight } else { self.weight },
            extra,
        }
    }
}

/// What follows the first line, if that is a fence.
pub(super) fn after_fence(text: &str) -> Option<&str> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    (first.trim_end() == "---").then_some(rest)
}

/// The words of a text with single spaces between, without control characters.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// An error of the YAML library without the place that it begins or ends with.
fn without_place(message: &str) -> &str {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let start = message.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).map(|(_, rest)| rest);
    let message = start.unwrap_or(message);
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
}

#[cfg(test)]
#[path = "front_matter_tests.rs"]
mod tests;
