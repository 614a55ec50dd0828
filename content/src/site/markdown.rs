//! Markdown to HTML: CommonMark with tables, footnotes, strikethrough, task lists and alerts, anchors at headings, and
//! highlighted code.

use std::collections::HashMap;
use std::fmt::Write;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::front_matter::one_line;
use super::highlight::{highlight, push_escaped};
use super::slug::slugify_at_most;

/// Bytes of a heading's anchor.
const ANCHOR_BYTES_MAX: usize = 80;
/// Characters of a summary that is made of the first paragraph.
const SUMMARY_CHARS_MAX: usize = 240;

/// A heading of an article.
///
/// ```
/// use sws_content::site::{Article, SiteLimits, SiteOptions, Source};
///
/// let source = Source { key: "a", path: "content/a.md", text: "# A\n\n## Part one\n", json: None };
/// let article = Article::parse(source, &SiteOptions::default()).unwrap();
/// assert_eq!((article.toc[0].level, article.toc[0].id.as_str()), (2, "part-one"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    /// The anchor: `#id`.
    pub id: String,
    /// What it says, as plain text.
    pub text: String,
}

/// What a Markdown text is as HTML, and what else is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub html: String,
    /// The headings in their order, without the one that is the title.
    pub toc: Vec<Heading>,
    /// A heading of the first level that opens the text; it is not in the HTML if it says no more than the title.
    pub title: Option<String>,
    /// The first paragraph, cut to a sentence or two.
    pub summary: String,
    /// The text without any mark-up, for the search.
    pub text: String,
    pub words: usize,
}

/// How a text is rendered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rendering<'a> {
    /// The title, if the front matter has one.
    pub title: Option<&'a str>,
    pub escape_html: bool,
    pub highlight_bytes_max: usize,
}

pub(super) fn render(markdown: &str, rendering: Rendering) -> Document {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_GFM;
    let mut writer = Writer::new(rendering);
    for event in Parser::new_ext(markdown, options) {
        writer.take(event);
    }
    let mut document = writer.document;
    html::push_html(&mut document.html, writer.events.into_iter());
    document.text = one_line(&document.text);
    document.words = document.text.split_whitespace().count();
    document
}

/// Goes through the events of a text, changes some and notes what is in them.
struct Writer<'a> {
    rendering: Rendering<'a>,
    events: Vec<Event<'a>>,
    document: Document,
    /// Each anchor that is taken, with the number that the next heading of that name gets.
    ids: HashMap<String, usize>,
    /// Where the open heading begins, in the events and in the plain text.
    heading: Option<(usize, usize)>,
    /// The open block of code and its language.
    code: Option<(String, String)>,
    /// Where the first paragraph begins in the plain text, while it is open.
    paragraph: Option<usize>,
}

impl<'a> Writer<'a> {
    fn new(rendering: Rendering<'a>) -> Self {
        let (events, document, ids) = (Vec::new(), Document::default(), HashMap::new());
        Writer { rendering, events, document, ids, heading: None, code: None, paragraph: None }
    }

    fn take(&mut self, event: Event<'a>) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => language_of(&info),
                    CodeBlockKind::Indented => String::new(),
                };
                self.code = Some((String::new(), language));
            }
            Event::End(TagEnd::CodeBlock) => self.end_code(),
            Event::Text(text) if self.code.is_some() => {
                if let Some((code, _)) = &mut self.code {
                    code.push_str(&text);
                }
            }
            Event::Html(html) | Event::InlineHtml(html) if self.rendering.escape_html => {
                self.events.push(Event::Text(html));
            }
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(ref text) | Event::Code(ref text) => {
                self.document.text.push_str(text);
                self.events.push(event);
            }
            Event::SoftBreak | Event::HardBreak => {
                self.document.text.push(' ');
                self.events.push(event);
            }
            other => self.events.push(other),
        }
    }

    fn start(&mut self, mut tag: Tag<'a>) {
        match &mut tag {
            Tag::Heading { .. } => self.heading = Some((self.events.len(), self.document.text.len())),
            Tag::Paragraph if self.document.summary.is_empty() && self.paragraph.is_none() => {
                self.paragraph = Some(self.document.text.len());
            }
            Tag::Table(_) => self.events.push(Event::Html("<div class=\"table\" tabindex=\"0\">".into())),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }
                if self.rendering.escape_html && !is_harmless(dest_url) =>
            {
                *dest_url = CowStr::Borrowed("");
            }
            _ => {}
        }
        self.events.push(Event::Start(tag));
    }

    fn end(&mut self, tag: TagEnd) {
        let inline = matches!(
            tag,
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image
        );
        match tag {
            TagEnd::Heading(level) => self.end_heading(level),
            TagEnd::Paragraph => {
                if let Some(from) = self.paragraph.take() {
                    self.document.summary = cut_summary(&one_line(&self.document.text[from..]));
                }
                self.events.push(Event::End(tag));
            }
            TagEnd::Table => {
                self.events.push(Event::End(tag));
                self.events.push(Event::Html("</div>\n".into()));
            }
            _ => self.events.push(Event::End(tag)),
        }
        if !inline {
            self.document.text.push('\n');
        }
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let Some((at, from)) = self.heading.take() else { return };
        let text = one_line(&self.document.text[from..]);
        let opens = level == HeadingLevel::H1 && at == 0;
        if opens {
            self.document.title = Some(text.clone()).filter(|text| !text.is_empty());
            if self.rendering.title.is_none_or(|title| title == text) && !text.is_empty() {
                self.events.truncate(at);
                self.document.text.truncate(from);
                return;
            }
        }
        let given = match &self.events[at] {
            Event::Start(Tag::Heading { id: Some(id), .. }) => id.to_string(),
            _ => slugify_at_most(&text, ANCHOR_BYTES_MAX),
        };
        let name = if given.is_empty() { "part".to_owned() } else { given };
        let anchor = self.free_anchor(name);
        if let Event::Start(Tag::Heading { id, .. }) = &mut self.events[at] {
            *id = Some(anchor.clone().into());
        }
        let mut link = String::from(" <a class=\"anchor\" aria-label=\"Link to this part\" href=\"#");
        push_escaped(&mut link, &anchor);
        link.push_str("\">#</a>");
        self.events.push(Event::InlineHtml(link.into()));
        self.events.push(Event::End(TagEnd::Heading(level)));
        self.document.toc.push(Heading { level: level as u8, id: anchor, text });
    }

    /// The name, or if it is taken the first that is free of those with a number behind it.
    fn free_anchor(&mut self, name: String) -> String {
        let mut next = self.ids.get(&name).copied().unwrap_or(2);
        let mut anchor = name.clone();
        while self.ids.contains_key(&anchor) {
            anchor = format!("{name}-{next}");
            next += 1;
        }
        self.ids.insert(name, next);
        self.ids.entry(anchor.clone()).or_insert(2);
        anchor
    }

    fn end_code(&mut self) {
        let Some((code, language)) = self.code.take() else { return };
        self.document.text.push_str(&code);
        self.document.text.push('\n');
        let mut html = String::from("<pre class=\"code\" tabindex=\"0\"><code");
        if !language.is_empty() {
            html.push_str(" class=\"language-");
            push_escaped(&mut html, &language);
            html.push('"');
        }
        html.push('>');
        let short = code.len() <= self.rendering.highlight_bytes_max;
        match short.then(|| highlight(&code, &language)).flatten() {
            Some(highlighted) => html.push_str(&highlighted),
            None => push_escaped(&mut html, &code),
        }
        let _ = writeln!(html, "</code></pre>");
        self.events.push(Event::Html(html.into()));
    }
}

/// The language that the line of a fence names: its first word, as `rust` of `rust,no_run`.
fn language_of(info: &str) -> String {
    let word = info.split(|c: char| c.is_whitespace() || c == ',' || c == '{').next().unwrap_or_default();
    word.to_ascii_lowercase()
}

/// Whether an address has no scheme or one that runs nothing.
fn is_harmless(address: &str) -> bool {
    let plain: String = address.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let Some((scheme, _)) = plain.split_once(':') else { return true };
    scheme.contains(['/', '?', '#'])
        || ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

fn cut_summary(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(SUMMARY_CHARS_MAX) else { return text.to_owned() };
    let cut = &text[..end];
    let words = cut.rfind(' ').map_or(cut, |space| &cut[..space]);
    format!("{}…", words.trim_end_matches([',', ';', ':', '.', ' ']))
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
