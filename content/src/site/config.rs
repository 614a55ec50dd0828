//! `site.json`: what a site says about itself.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::{Keys, Known, has_slip};
use super::problem::Problem;

/// The name of the file, in the site's folder.
pub const CONFIG_FILE: &str = "site.json";

/// What `site.json` says. Every key is optional, and so is the file.
///
/// ```
/// use sws_content::site::SiteConfig;
///
/// let config = SiteConfig::parse(r#"{ "title": "Notes", "topics": { "chat": {} } }"#).unwrap();
/// assert_eq!(config.title, "Notes");
/// assert!(config.extra["topics"].is_object());
///
/// let problem = SiteConfig::parse("{\n  \"per_page\": \"ten\"\n}").unwrap_err();
/// assert_eq!(problem.line, Some(2));
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct SiteConfig {
    /// The site's name.
    pub title: String,
    /// What it is about, in one sentence.
    pub description: String,
    /// Where it stands, absolute and without a slash at the end: for the feed and the sitemap.
    pub url: Option<String>,
    /// The language of its articles (BCP 47), which also chooses how words are matched in the search.
    pub language: String,
    /// Who writes it.
    pub author: Option<String>,
    /// Articles on one page of a list.
    pub per_page: usize,
    /// Links at the top of each page.
    pub nav: Vec<NavLink>,
    /// Every other key, as it stands; templates have them as `site.extra`. One that is nearly a known key is a problem: somebody
    /// slipped.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Known for SiteConfig {
    /// `topics` has its meaning where the site is served.
    const KEYS: &'static [&'static str] =
        &["title", "description", "url", "language", "author", "per_page", "nav", "topics"];
}

/// A link at the top of each page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NavLink {
    /// What it says.
    pub label: String,
    /// Where it leads.
    pub href: String,
}

impl Default for SiteConfig {
    fn default() -> Self {
        SiteConfig {
            title: "A site".into(),
            description: String::new(),
            url: None,
            language: "en".into(),
            author: None,
            per_page: 10,
            nav: Vec::new(),
            extra: Map::new(),
        }
    }
}

impl SiteConfig {
    /// Reads the text of a `site.json`.
    pub fn parse(text: &str) -> Result<SiteConfig, Problem> {
        let mut config: SiteConfig =
            serde_json::from_str(text).map_err(|error| of_json(CONFIG_FILE, &error))?;
        if has_slip::<SiteConfig>(&config.extra) {
            let _: Keys<SiteConfig> =
                serde_json::from_str(text).map_err(|error| of_json(CONFIG_FILE, &error))?;
        }
        if !(1..=1000).contains(&config.per_page) {
            return Err(Problem::new(CONFIG_FILE, "`per_page` must be between 1 and 1000"));
        }
        if let Some(url) = &mut config.url {
            if !(url.starts_with("https://") || url.starts_with("http://"))
                || url.contains(char::is_whitespace)
            {
                return Err(Problem::new(CONFIG_FILE, "`url` must begin with https:// or http://"));
            }
            url.truncate(url.trim_end_matches('/').len());
        }
        Ok(config)
    }
}

/// The place and the words of an error of JSON, without the place in the words.
pub(super) fn of_json(path: &str, error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let place = format!(" at line {line} column {column}");
    let problem = Problem::new(path, message.strip_suffix(&place).unwrap_or(&message));
    if line == 0 { problem } else { problem.at(line as u32, (column > 0).then_some(column as u32)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file() {
        let text = r#"{ "title": "T", "description": "D", "url": "https://example.org/", "language": "de", "author": "A",
            "per_page": 3, "nav": [{ "label": "Home", "href": "/" }], "theme": { "dark": true } }"#;
        let config = SiteConfig::parse(text).unwrap();
        assert_eq!(config.url.as_deref(), Some("https://example.org"));
        assert_eq!((config.per_page, config.language.as_str()), (3, "de"));
        assert_eq!(config.nav, [NavLink { label: "Home".into(), href: "/".into() }]);
        assert_eq!(config.extra.keys().collect::<Vec<_>>(), ["theme"]);
    }

    #[test]
    fn wrong_files_say_where() {
        let table = [
            ("{\n\"title\": 1 }", Some(2), "invalid type: integer `1`, expected a string"),
            ("{\n\n\"nav\": [{ \"label\": \"x\" }]}", Some(3), "missing field `href`"),
            ("{ \"title\": \"a\"", Some(1), "EOF while parsing an object"),
            ("[]", Some(1), "invalid type: sequence, expected struct SiteConfig"),
            (
                "{\n\"nav\": [{ \"label\": \"x\", \"href\": \"/\",\n\"titel\": \"y\" }]}",
                Some(3),
                "unknown field `titel`, expected `label` or `href`",
            ),
            ("{\n\"x\": {},\n\"titel\": \"a\" }", Some(3), "`titel` is no key; did you mean `title`?"),
            ("{ \"per_page\": 0 }", None, "`per_page` must be between 1 and 1000"),
            ("{ \"url\": \"javascript:x\" }", None, "`url` must begin with https:// or http://"),
        ];
        for (text, line, message) in table {
            let problem = SiteConfig::parse(text).unwrap_err();
            assert_eq!((problem.line, problem.message.as_str()), (line, message), "{text}");
        }
    }
}
