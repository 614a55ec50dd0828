//! A change as it stands in the log and as subscribers get it. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sws_content::site::{Change, ChangeKind, Part};

/// One record of the log: a change, and of what it left. JSON has no whole numbers of 64 bits, so the hash is a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChangeRecord {
    #[serde(flatten)]
    pub(super) change: Change,
    /// Where the page or file is; empty for what has no address.
    pub(super) url: String,
    /// Of the part as it is now, in hexadecimal.
    pub(super) hash: String,
}

impl ChangeRecord {
    pub(super) fn new(change: Change, hash: u64) -> ChangeRecord {
        let has_address = !matches!(change.part_key().split(' ').next(), Some("template" | "config"));
        let url = if has_address { change.path.clone() } else { String::new() };
        ChangeRecord { change, url, hash: format!("{hash:016x}") }
    }

    /// Takes what the record says into what is known of the site's parts.
    pub(super) fn note(&self, parts: &mut BTreeMap<String, Part>) {
        let change = &self.change;
        if change.kind == ChangeKind::Removed {
            parts.remove(&change.part_key());
            return;
        }
        let part = Part {
            // What is no hash is none of any part, which is then told as changed.
            hash: u64::from_str_radix(&self.hash, 16).unwrap_or(0),
            of: change.of,
            path: change.path.clone(),
            slug: change.slug.clone(),
            title: change.title.clone(),
            tags: change.tags.clone(),
        };
        parts.insert(change.part_key(), part);
    }

    pub(super) fn to_json(&self) -> String {
        // It has strings and numbers only.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sws_content::site::ChangeOf;

    #[test]
    fn a_record_says_what_the_change_left() {
        let change = |kind, version| Change {
            version,
            kind,
            of: ChangeOf::Article,
            path: "/a/".into(),
            slug: "a".into(),
            title: "A".into(),
            tags: vec!["x".into()],
        };
        let record = ChangeRecord::new(change(ChangeKind::Created, 3), u64::MAX);
        let json = record.to_json();
        assert_eq!(
            json,
            r#"{"version":3,"kind":"created","of":"article","path":"/a/","slug":"a","title":"A","tags":["x"],"url":"/a/","hash":"ffffffffffffffff"}"#
        );
        let read: ChangeRecord = serde_json::from_str(&json).expect("it was just written");
        assert_eq!(read, record);
        let mut parts = BTreeMap::new();
        read.note(&mut parts);
        assert_eq!(parts["page /a/"].hash, u64::MAX);
        ChangeRecord::new(change(ChangeKind::Removed, 4), 0).note(&mut parts);
        assert!(parts.is_empty());
    }

    #[test]
    fn what_has_no_address_has_none() {
        let template = Change {
            version: 1,
            kind: ChangeKind::Updated,
            of: ChangeOf::Template,
            path: "base.html".into(),
            slug: String::new(),
            title: String::new(),
            tags: Vec::new(),
        };
        assert_eq!(ChangeRecord::new(template, 1).url, "");
    }
}
