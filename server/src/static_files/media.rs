//! Media types by file name extension.

use std::borrow::Cow;

/// The type of what is not known (RFC 9110, 8.3).
pub const OCTET_STREAM: &str = "application/octet-stream";

/// The media type of a file of this name or path, with `charset=utf-8` for text. Allocates only for rare text types.
///
/// ```
/// use sws::static_files::media::media_type;
///
/// assert_eq!(media_type("news/index.html"), "text/html; charset=utf-8");
/// assert_eq!(media_type("logo.PNG"), "image/png");
/// assert_eq!(media_type("LICENSE"), "application/octet-stream");
/// ```
pub fn media_type(path: &str) -> Cow<'static, str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    // A name that only begins with a dot has no extension.
    let extension = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension,
        _ => return Cow::Borrowed(OCTET_STREAM),
    };
    let essence = mime_guess::from_ext(extension).first_raw().unwrap_or(OCTET_STREAM);
    Cow::Borrowed(match essence {
        "text/html" => "text/html; charset=utf-8",
        "text/css" => "text/css; charset=utf-8",
        "text/javascript" | "application/javascript" => "text/javascript; charset=utf-8",
        "text/plain" => "text/plain; charset=utf-8",
        "text/markdown" => "text/markdown; charset=utf-8",
        "text/csv" => "text/csv; charset=utf-8",
        "text/xml" => "text/xml; charset=utf-8",
        essence if essence.starts_with("text/") => return Cow::Owned(format!("{essence}; charset=utf-8")),
        essence => essence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let table = [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.htm", "text/html; charset=utf-8"),
            ("site.css", "text/css; charset=utf-8"),
            ("site.js", "text/javascript; charset=utf-8"),
            ("site.mjs", "text/javascript; charset=utf-8"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("notes.md", "text/markdown; charset=utf-8"),
            ("table.csv", "text/csv; charset=utf-8"),
            ("feed.xml", "text/xml; charset=utf-8"),
            ("date.ics", "text/calendar; charset=utf-8"),
            ("data.json", "application/json"),
            ("logo.svg", "image/svg+xml"),
            ("a.PNG", "image/png"),
            ("a.jpeg", "image/jpeg"),
            ("a.webp", "image/webp"),
            ("favicon.ico", "image/x-icon"),
            ("a.woff2", "font/woff2"),
            ("a.wasm", "application/wasm"),
            ("a.pdf", "application/pdf"),
            ("a.tar.gz", "application/gzip"),
            ("a.unheard-of", OCTET_STREAM),
            ("none", OCTET_STREAM),
            (".html", OCTET_STREAM),
            ("dir.html/none", OCTET_STREAM),
            ("", OCTET_STREAM),
            ("a.", OCTET_STREAM),
        ];
        for (path, media_type_) in table {
            assert_eq!(media_type(path), media_type_, "{path}");
        }
    }
}
