//! Names for addresses: a title, a tag or a file name as one segment of a path.

/// The name as a segment of a path: letters and digits of any script, in lower case, with single hyphens between.
///
/// `+`, `#` and `&` are spelled out, so that `C`, `C++` and `C#` stay apart. A name of which nothing would be left is named by
/// the code points of its characters. The result is never empty unless the name is, and is a fixed point.
///
/// ```
/// use sws_content::site::slugify;
///
/// assert_eq!(slugify("Hello, World!"), "hello-world");
/// assert_eq!(slugify("C++ / Über"), "c-plus-plus-über");
/// assert_eq!(slugify("../etc"), "etc");
/// assert_eq!(slugify("!?"), "x21-x3f");
/// ```
pub fn slugify(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    let mut word = false;
    let mut part = |text: &mut dyn Iterator<Item = char>, alone: bool, slug: &mut String| {
        if !slug.is_empty() && (alone || !word) {
            slug.push('-');
        }
        slug.extend(text);
        word = !alone;
    };
    for c in name.chars() {
        match c {
            '+' => part(&mut "plus".chars(), true, &mut slug),
            '#' => part(&mut "sharp".chars(), true, &mut slug),
            '&' => part(&mut "and".chars(), true, &mut slug),
            '\'' | '\u{2019}' => {}
            c if c.is_alphanumeric() || c == '_' => part(&mut c.to_lowercase(), false, &mut slug),
            // What a lower case letter decomposes to (the dot of a lower case dotted I) belongs to its letter.
            '\u{300}'..='\u{36f}' => slug.push(c),
            _ => part(&mut std::iter::empty(), true, &mut String::new()),
        }
    }
    if slug.is_empty() {
        let codes: Vec<String> = name.chars().map(|c| format!("x{:x}", u32::from(c))).collect();
        slug = codes.join("-");
    }
    slug
}

/// A slug of bounded length, cut at a character.
pub(super) fn slugify_at_most(name: &str, bytes_max: usize) -> String {
    let mut slug = slugify(name);
    if slug.len() > bytes_max {
        slug.truncate(slug.floor_char_boundary(bytes_max));
        slug.truncate(slug.trim_end_matches('-').len());
    }
    slug
}

/// Percent-encodes a path for an address: what RFC 3986 allows in a segment stays, and so do the slashes.
pub(super) fn encode_path(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(path, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        let table = [
            ("", ""),
            ("Hello, World!", "hello-world"),
            ("  two   spaces ", "two-spaces"),
            ("a/b", "a-b"),
            ("../../etc/passwd", "etc-passwd"),
            ("C", "c"),
            ("C++", "c-plus-plus"),
            ("C#", "c-sharp"),
            ("R&D", "r-and-d"),
            ("don't", "dont"),
            ("snake_case", "snake_case"),
            ("io_uring", "io_uring"),
            ("ÜBER", "über"),
            ("日本 語", "日本-語"),
            ("<script>", "script"),
            ("1.0", "1-0"),
            ("--", "x2d-x2d"),
            (".", "x2e"),
            ("\u{0}", "x0"),
            ("İ", "i\u{307}"),
        ];
        for (name, slug) in table {
            assert_eq!(slugify(name), slug, "{name:?}");
            assert_eq!(slugify(slug), slug, "{name:?} is no fixed point");
        }
    }

    #[test]
    fn a_long_slug_is_cut_at_a_character() {
        assert_eq!(slugify_at_most("über-größe", 6), "über");
        assert_eq!(slugify_at_most("ab ü", 4), "ab");
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encode_path("/über/a b?.png"), "/%C3%BCber/a%20b%3F.png");
        assert_eq!(encode_path("/a-b_c~d.e/"), "/a-b_c~d.e/");
    }
}
