//! What `site.json` says of the topics of the log: `"topics": { "chat": { "partitions": 1, "access": "write", "presence": true } }`.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use sws_content::log::TopicConfig;
use sws_content::site::Site;

/// The topics of changes, which nobody but the site itself writes to.
pub(super) const CHANGES: &str = "site";
pub(super) const CHANGES_PREVIEW: &str = "site.preview";

/// What visitors may do with a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Visitors {
    None,
    #[default]
    Read,
    /// And read.
    Write,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) visitors: Visitors,
    pub(super) presence: bool,
    pub(super) config: TopicConfig,
}

/// The topics by name, and what is wrong with what is said of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rules {
    pub(super) topics: BTreeMap<String, Rule>,
    pub(super) wrong: Vec<String>,
}

impl Rules {
    pub(super) fn of(site: &Site) -> Rules {
        site.extra("topics").map_or_else(Rules::default, Rules::read)
    }

    fn read(value: &Value) -> Rules {
        let mut rules = Rules::default();
        let Value::Object(topics) = value else {
            rules.wrong.push("`topics` is to be an object".to_owned());
            return rules;
        };
        for (name, value) in topics {
            match rule(name, value) {
                Ok(rule) => drop(rules.topics.insert(name.clone(), rule)),
                Err(wrong) => rules.wrong.push(format!("`topics.{name}`: {wrong}")),
            }
        }
        rules
    }

    /// What visitors may do. Topics that are not named are closed to them, but for the changes, which they read.
    pub(super) fn visitors(&self, topic: &str) -> Visitors {
        match topic {
            CHANGES => Visitors::Read,
            CHANGES_PREVIEW => Visitors::None,
            name => self.topics.get(name).map_or(Visitors::None, |rule| rule.visitors),
        }
    }
}

fn rule(name: &str, value: &Value) -> Result<Rule, String> {
    if is_of_site(name) {
        return Err("this name is the site's own".to_owned());
    }
    let Value::Object(members) = value else { return Err("it is to be an object".to_owned()) };
    let mut members = members.clone();
    let visitors = members.remove("access").map(Visitors::deserialize).transpose();
    let visitors = visitors.map_err(|_| "`access` is to be `none`, `read` or `write`")?.unwrap_or_default();
    let presence = match members.remove("presence") {
        None => false,
        Some(Value::Bool(on)) => on,
        Some(_) => return Err("`presence` is to be true or false".to_owned()),
    };
    let config = serde_json::from_value(Value::Object(members)).map_err(|error: serde_json::Error| {
        let what = error.to_string();
        // The two that are taken out before are keys too.
        if what.starts_with("unknown field") { format!("{what}, `access`, `presence`") } else { what }
    })?;
    Ok(Rule { visitors, presence, config })
}

/// Whether nobody but the site itself writes to a topic.
pub(super) fn is_of_site(topic: &str) -> bool {
    topic == CHANGES || topic == CHANGES_PREVIEW
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn topics_and_what_visitors_may_do() {
        let rules = Rules::read(&json!({
            "chat": { "partitions": 2, "access": "write", "presence": true },
            "news": {},
            "inner": { "access": "none", "retention_bytes": 1000 },
        }));
        assert_eq!(rules.wrong, [""; 0]);
        let chat = &rules.topics["chat"];
        assert_eq!((chat.config.partitions, chat.presence), (2, true));
        assert_eq!(rules.topics["inner"].config.retention_bytes, Some(1000));
        let table = [
            ("chat", Visitors::Write),
            ("news", Visitors::Read),
            ("inner", Visitors::None),
            ("other", Visitors::None),
            ("site", Visitors::Read),
            ("site.preview", Visitors::None),
        ];
        for (topic, visitors) in table {
            assert_eq!(rules.visitors(topic), visitors, "{topic}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_closes_the_topic() {
        let table = [
            (json!([]), "`topics` is to be an object"),
            (json!({ "a": 1 }), "`topics.a`: it is to be an object"),
            (json!({ "a": { "access": "all" } }), "`topics.a`: `access` is to be `none`, `read` or `write`"),
            (json!({ "a": { "presence": 1 } }), "`topics.a`: `presence` is to be true or false"),
            (json!({ "site": {} }), "`topics.site`: this name is the site's own"),
        ];
        for (value, wrong) in table {
            let rules = Rules::read(&value);
            assert_eq!((rules.wrong.as_slice(), rules.topics.len()), (&[wrong.to_owned()][..], 0), "{value}");
        }
        let rules = Rules::read(&json!({ "a": { "partitons": 1, "access": "write" } }));
        assert!(rules.wrong[0].contains("unknown field `partitons`"), "{:?}", rules.wrong);
        assert!(rules.wrong[0].ends_with("`access`, `presence`"), "{:?}", rules.wrong);
        assert_eq!(rules.visitors("a"), Visitors::None);
    }
}
