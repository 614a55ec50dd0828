//! What nests, how deep it may, and whether the stack has room for that.

use super::super::stack::STACK_BYTES;
use super::*;

/// What nests in one tag: a text that begins, one that is repeated, and one that ends each.
const WAYS: &[(&str, &str, &str)] = &[
    ("1", "+1", ""),
    ("1", "-1", ""),
    ("1", " * 1", ""),
    ("1", "**1", ""),
    ("1", "//1", ""),
    ("1", "%1", ""),
    ("1", "~1", ""),
    ("1", " and 1", ""),
    ("1", " or 1", ""),
    ("1", " in 1", ""),
    ("1", " if 1", ""),
    ("1", " is odd", ""),
    ("1", "|abs", ""),
    ("a", ".a", ""),
    ("a", "[0]", ""),
    ("a", "()", ""),
    ("", "not ", "1"),
    ("", "-", "1"),
    ("", "(", ""),
    ("", "[", ""),
    ("", "{1:", ""),
    ("", "a(", ""),
    ("", "1|abs(", ""),
    ("", "1 == [", ""),
];

fn tag((begin, repeated, end): (&str, &str, &str), n: usize) -> String {
    let steps: usize = match repeated {
        "1|abs(" | "1 == [" => 2,
        _ => 1,
    };
    format!("{begin}{}{end}", repeated.repeat(n / steps))
}

/// What the engine says, on half of the stack that there is. What is too deep ends the process.
fn parse(source: String) -> Result<(), String> {
    let half = std::thread::Builder::new().stack_size(STACK_BYTES / 2);
    let parse =
        move || minijinja::Environment::new().add_template_owned("a", source).map_err(|e| e.to_string());
    half.spawn(parse).unwrap().join().unwrap()
}

#[test]
fn each_way_has_its_bound_and_the_stack_room_for_it() {
    for way in WAYS {
        for (open, close) in [("{{ ", " }}"), ("{%- if ", " -%}{% endif %}"), ("{% set x = [1, 2, ", "] %}")]
        {
            // The tag itself has some steps, and more where its brackets are not closed.
            let at_bound = format!("{open}{}{close}", tag(*way, STEPS_MAX - 8));
            assert_eq!(check(&at_bound), Ok(()), "{at_bound}");
            if let Err(error) = parse(at_bound) {
                assert!(error.starts_with("syntax error: "), "{error}");
            }
            let beyond = format!("line\n\n{open}{}{close}", tag(*way, STEPS_MAX + 2));
            let refused = check(&beyond).unwrap_err();
            assert_eq!(refused.line, 3, "{beyond}");
        }
    }
    let sum = |n: usize| check(&format!("{{{{ 1{} }}}}", "+1".repeat(n)));
    assert!(sum(STEPS_MAX).is_ok() && sum(STEPS_MAX + 1).is_err());
}

#[test]
fn all_that_may_nest_at_once_has_room() {
    let elifs = "{% elif 1 %}".repeat(ELIFS_MAX);
    for around in 0..75 {
        let calls = "a(".repeat(around);
        let tests = " is not odd".repeat((STEPS_MAX - around) / 2);
        let blocks = "{% if 1 %}".repeat(140 - 2 * around.min(70));
        let source = format!("{blocks}{{% if 1 %}}{elifs}{{{{ {calls}1{tests}{} }}}}", ")".repeat(around));
        assert_eq!(check(&source), Ok(()));
        assert!(parse(source).is_err(), "no block has an end");
    }
}

#[test]
fn a_chain_of_conditions_has_its_bound() {
    let chain = |n: usize| format!("{{% if 1 %}}{}{{% endif %}}", "\n{% elif 1 %}".repeat(n));
    assert_eq!(check(&chain(ELIFS_MAX).repeat(3)), Ok(()), "one behind another");
    assert_eq!(parse(chain(ELIFS_MAX).repeat(3)), Ok(()));
    let refused = check(&chain(ELIFS_MAX + 1)).unwrap_err();
    assert_eq!((refused.line as usize, refused.message.contains("elif")), (ELIFS_MAX + 2, true));
    let half = "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(ELIFS_MAX / 2 + 1);
    assert!(check(&half.repeat(2)).is_err(), "one in another");
}

#[test]
fn what_is_beside_each_other_does_not_nest() {
    let list = format!("{{% set x = [{}] %}}", "{'a': 1 + 1, 'b': (2)},".repeat(1000));
    let call = format!("{{{{ dict({}) }}}}", "a=b.c|upper,".repeat(1000));
    for source in [list, call, "{{ a.b|upper }}".repeat(1000), "{# 1+1 #}".repeat(1000)] {
        assert_eq!(check(&source), Ok(()), "{}", &source[..40]);
    }
}

#[test]
fn what_is_no_tag_does_not_count_and_hides_nothing() {
    let deep = format!("{{{{ 1{} }}}}", "+1".repeat(STEPS_MAX + 1));
    for (before, after) in
        [("{% raw %}", "{% endraw %}"), ("{%- raw -%} {% raw %}", "{%- endraw +%}"), ("{#- ", "#}")]
    {
        assert_eq!(check(&format!("{before}{deep}{after}")), Ok(()), "{before}");
        assert!(check(&format!("{before}{after}{deep}")).is_err(), "{before}");
    }
    let quotes = ["'%}'", "\"}}\"", "'\\''", "\"'\"", "{'a': {}}", "'{% raw %}'", "'{#'"];
    for quote in quotes {
        let quoted = format!("{{{{ {quote} }}}}{deep}");
        assert!(check(&quoted).is_err(), "{quoted}");
        let inside = format!("{{{{ {quote}{}, 1 }}}}", format!("+{quote}").repeat(STEPS_MAX + 1));
        assert!(check(&inside).is_err(), "{inside}");
    }
    let numbers = format!("{{{{ {}1 }}}}", "1e5if 1e5else ".repeat(STEPS_MAX / 2 + 1));
    assert!(check(&numbers).is_err());
}

#[test]
fn what_does_not_end_is_looked_through_as_far_as_it_goes() {
    for begin in ["{{ ", "{% set ", "{% if ", "{{ 1, [", "{{ 'a' ~ ("] {
        for repeated in ["(", "[", "-", "not ", "a.", "(1,"] {
            assert!(
                check(&format!("{begin}{}", repeated.repeat(STEPS_MAX + 1))).is_err(),
                "{begin}{repeated}"
            );
        }
    }
    for text in ["{", "{{", "{%", "{#", "{{ '", "{% raw %}", "{{ )", "{{-", "{%+", "{{ é", "{% raw", "{{ 1 -"]
    {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn the_built_in_templates_are_far_from_the_bounds() {
    for (name, source) in super::super::theme::TEMPLATES {
        assert_eq!(check(source), Ok(()), "{name}");
    }
}
