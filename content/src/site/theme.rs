//! The built-in theme, used for each template and style sheet that a site does not have itself.

/// The built-in templates by name. `list.html` is included by those that show a list of articles.
pub(super) const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("theme/base.html")),
    ("list.html", include_str!("theme/list.html")),
    ("index.html", include_str!("theme/index.html")),
    ("article.html", include_str!("theme/article.html")),
    ("page.html", include_str!("theme/page.html")),
    ("tag.html", include_str!("theme/tag.html")),
    ("tags.html", include_str!("theme/tags.html")),
    ("search.html", include_str!("theme/search.html")),
    ("404.html", include_str!("theme/404.html")),
    ("feed.xml", include_str!("theme/feed.xml")),
    ("sitemap.xml", include_str!("theme/sitemap.xml")),
];

/// The built-in style sheet, at `/theme.css`.
pub(super) const THEME_CSS: &str = include_str!("theme/theme.css");

/// The colours of highlighted code, for light and dark, at `/highlight.css`.
pub(super) const HIGHLIGHT_CSS: &str = include_str!("theme/highlight.css");
