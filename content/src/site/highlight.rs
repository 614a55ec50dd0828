//! Highlighted code: a few classes for the parts of a program, so that a style sheet gives them their colours.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::OnceLock;

use syntect::easy::HighlightLines;
use syntect::highlighting::{Color, ScopeSelectors, StyleModifier, Theme, ThemeItem};
use syntect::parsing::{SyntaxReference, SyntaxSet};
use syntect::util::LinesWithEndings;

/// The classes, and the parts of a program that each is for, as the grammars name them.
const CLASSES: &[(&str, &str)] = &[
    ("hl-c", "comment, punctuation.definition.comment"),
    ("hl-s", "string, punctuation.definition.string, constant.character"),
    ("hl-n", "constant.numeric, constant.language, constant.other"),
    ("hl-k", "keyword, storage, keyword.operator.word, entity.name.tag, punctuation.definition.tag"),
    (
        "hl-f",
        "entity.name.function, support.function, support.macro, variable.function, entity.other.attribute-name",
    ),
    (
        "hl-t",
        "entity.name.type, entity.name.class, entity.name.struct, entity.name.enum, entity.name.trait, support.type, support.class, storage.type.generic",
    ),
    (
        "hl-p",
        "entity.name.section, meta.mapping.key string, meta.annotation, support.type.property-name, entity.name.key",
    ),
    ("hl-o", "keyword.operator - keyword.operator.word, punctuation"),
    ("hl-a", "markup.inserted, meta.diff.header.to-file"),
    ("hl-d", "markup.deleted, meta.diff.header.from-file, invalid"),
];

fn syntaxes() -> &'static SyntaxSet {
    static SYNTAXES: OnceLock<SyntaxSet> = OnceLock::new();
    SYNTAXES.get_or_init(two_face::syntax::extra_newlines)
}

/// A theme whose colours are the numbers of classes: the library says by a colour which selector fits best.
fn classes() -> &'static Theme {
    static THEME: OnceLock<Theme> = OnceLock::new();
    THEME.get_or_init(|| {
        let number = |r: u8| Some(Color { r, g: 0, b: 0, a: 255 });
        let mut theme = Theme::default();
        theme.settings.foreground = number(0);
        theme.scopes = CLASSES
            .iter()
            .zip(1..)
            .filter_map(|((_, selectors), n)| {
                let scope = ScopeSelectors::from_str(selectors).ok()?;
                let style = StyleModifier { foreground: number(n), background: None, font_style: None };
                Some(ThemeItem { scope, style })
            })
            .collect();
        theme
    })
}

fn find(language: &str) -> Option<&'static SyntaxReference> {
    let language = match language {
        "console" | "shell" | "terminal" => "sh",
        "jsonc" | "json5" => "json",
        other => other,
    };
    let found = syntaxes().find_syntax_by_token(language)?;
    (found.name != "Plain Text").then_some(found)
}

/// The code as HTML with spans of classes; none if the language is not known or its grammar fails on it.
pub(super) fn highlight(code: &str, language: &str) -> Option<String> {
    let mut lines = HighlightLines::new(find(language)?, classes());
    let mut html = String::with_capacity(code.len() * 2);
    let mut open = 0;
    for line in LinesWithEndings::from(code) {
        for (style, text) in lines.highlight_line(line, syntaxes()).ok()? {
            // White space has no colour, so it goes on in the span that is open.
            let class = if text.trim().is_empty() { open } else { usize::from(style.foreground.r) };
            if class != open {
                if open != 0 {
                    html.push_str("</span>");
                }
                if class != 0 {
                    let _ = write!(html, "<span class=\"{}\">", CLASSES[class - 1].0);
                }
                open = class;
            }
            push_escaped(&mut html, text);
        }
    }
    if open != 0 {
        html.push_str("</span>");
    }
    Some(html)
}

/// Text as HTML, for an element or an attribute.
pub(super) fn push_escaped(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selector_is_understood() {
        assert_eq!(classes().scopes.len(), CLASSES.len());
    }

    #[test]
    fn parts_have_their_classes() {
        let html = highlight("// a <b>\nfn main() { let x = 1; }\n", "rust").unwrap();
        assert!(html.starts_with("<span class=\"hl-c\">// a &lt;b&gt;\n</span>"), "{html}");
        for part in ["hl-k\">fn", "hl-f\">main", "hl-n\">1"] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn nothing_but_spans_is_added() {
        let code = "let s = \"<&>'\";\n\n# odd\tcode {{ }}\n/* open";
        for language in ["rust", "js", "html", "sh", "toml", "json", "css", "python", "diff", "yaml", "c"] {
            let html = highlight(code, language).unwrap();
            let mut text = html.replace("</span>", "");
            for (class, _) in CLASSES {
                text = text.replace(&format!("<span class=\"{class}\">"), "");
            }
            let mut wanted = String::new();
            push_escaped(&mut wanted, code);
            assert_eq!(text, wanted, "{language}");
            assert_eq!(html.matches("<span").count(), html.matches("</span>").count(), "{language}");
        }
    }

    #[test]
    fn an_unknown_language_has_none() {
        for language in ["", "nonsense", "text", "txt", "plain"] {
            assert_eq!(highlight("a", language), None, "{language}");
        }
    }
}
