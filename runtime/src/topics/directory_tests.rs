//! Options, histories and the lives of topics.

use super::*;

fn directory(options: TopicOptions) -> Directory {
    let mut directory = Directory::new(|| 0);
    directory.configure("*", options);
    directory
}

/// Publishes as a thread does that is no worker; returns the number, and what was forgotten.
fn publish(directory: &mut Directory, name: &str, len: usize, limits: &TopicLimits) -> (u64, Gone) {
    let (mut gone, mut publication) = (Gone::default(), Publication::from(vec![0; len]));
    let topic = directory.state(name, true, limits, &mut gone).expect("it has history").topic;
    directory.record(&topic, &mut publication, limits, &mut gone);
    (publication.sequence, gone)
}

/// How many messages a topic keeps, and whether some after this number are gone.
fn kept(directory: &mut Directory, name: &str, after: u64) -> (usize, bool) {
    let found = directory.state(name, false, &TopicLimits::default(), &mut Gone::default());
    let (messages, missed) = found.expect("it is there").state.since(Since::After(after), usize::MAX);
    (messages.len(), missed)
}

fn release(directory: &mut Directory, name: &str, limits: &TopicLimits) -> Gone {
    let mut gone = Gone::default();
    directory.release(name, limits, &mut gone);
    gone
}

#[test]
fn the_nearest_options_count() {
    let mut directory = Directory::new(|| 0);
    for (pattern, history) in [("*", 1), ("a/*", 2), ("a/b/*", 3), ("a/b", 4), ("a/*", 5)] {
        directory.configure(pattern, TopicOptions::default().history(history));
    }
    for (name, history) in [("x", 1), ("a", 1), ("a/", 5), ("a/x", 5), ("a/b", 4), ("a/b/", 3), ("a/b/c", 3)]
    {
        assert_eq!(directory.options_of(name).history, history, "{name}");
    }
}

#[test]
fn history_is_bounded_in_messages_and_bytes() {
    let each = weight(&Publication::default());
    let limits = TopicLimits { history_bytes_max: 3 * each + 10, ..TopicLimits::default() };
    let options = TopicOptions::default().history(3);
    let mut state = State::new(0);
    let kept = |state: &mut State, len: usize| {
        let mut gone = Gone::default();
        state.record(&mut Publication::from(vec![0; len]), &options, &limits, &mut gone);
        (gone.messages.len(), state.history.len(), state.history_bytes - state.history.len() * each)
    };
    assert_eq!(kept(&mut state, 1), (0, 1, 1));
    assert_eq!(kept(&mut state, 2), (0, 2, 3));
    assert_eq!(kept(&mut state, 3), (0, 3, 6));
    assert_eq!(kept(&mut state, 4), (1, 3, 9), "three messages");
    assert_eq!(kept(&mut state, 5), (2, 2, 9), "three messages and ten bytes");
    assert_eq!(kept(&mut state, 5000), (2, 1, 5000), "the last is kept whatever its size");
    assert_eq!(state.since(Since::After(5), usize::MAX).0[0].sequence, 6);
    assert!(state.since(Since::After(4), usize::MAX).1 && !state.since(Since::After(5), usize::MAX).1);
}

#[test]
fn all_histories_together_are_bounded() {
    let each = weight(&Publication::from(vec![0; 100]));
    let limits = TopicLimits { history_bytes_total_max: 6 * each, ..TopicLimits::default() };
    let mut directory = directory(TopicOptions::default().history(5));
    assert!(directory.acquire("used", &limits).is_ok());
    for name in ["old", "used", "used", "new", "used"] {
        let (_, gone) = publish(&mut directory, name, 100, &limits);
        assert!(gone.topics.is_empty() && gone.messages.is_empty());
    }
    // "old" publishes, and is not what is forgotten for it.
    assert!(publish(&mut directory, "old", 100, &limits).1.topics.is_empty());
    assert_eq!(publish(&mut directory, "old", 100, &limits).1.topics.len(), 1);
    assert_eq!(directory.state("new", false, &limits, &mut Gone::default()).map(|_| ()), None);
    assert_eq!((kept(&mut directory, "old", 0), kept(&mut directory, "used", 0)), ((3, false), (3, false)));
    // Nobody else can be forgotten: its own history is shortened.
    assert!(directory.acquire("old", &limits).is_ok());
    let (_, gone) = publish(&mut directory, "used", 250, &limits);
    assert_eq!((gone.topics.len(), gone.messages.len()), (0, 2));
    assert_eq!((kept(&mut directory, "old", 0), kept(&mut directory, "used", 0)), ((3, false), (2, true)));
    // A message that leaves no room is not kept, and is missed by who has not got it.
    let (sequence, gone) = publish(&mut directory, "used", 10_000, &limits);
    assert_eq!((gone.messages.len(), kept(&mut directory, "used", sequence - 1)), (3, (0, true)));
    assert_eq!((kept(&mut directory, "used", sequence), directory.history_bytes), ((0, false), 3 * each));
    for name in ["old", "used"] {
        let _ = release(&mut directory, name, &limits);
    }
    assert_eq!((directory.in_use, directory.entries.len(), directory.retained_len), (0, 1, 1));
}

#[test]
fn a_number_of_an_earlier_life_is_older_than_all() {
    let limits = TopicLimits { retained_topics_max: 1, ..TopicLimits::default() };
    let mut directory = directory(TopicOptions::default().history(100));
    directory.birth = || 1 << 20;
    let last = (0..60).map(|_| publish(&mut directory, "t", 1, &limits).0).last().expect("some");
    assert_eq!((last, kept(&mut directory, "t", last - 1)), ((1 << 20) + 60, (1, false)));
    assert_eq!(kept(&mut directory, "t", 50), (60, true), "of a life before the first");
    assert_eq!(kept(&mut directory, "t", last + 1), (60, true), "of another life");
    assert_eq!(kept(&mut directory, "t", 0), (60, false), "who has seen nothing misses nothing");
    // It is forgotten, and comes again within the same moment.
    assert_eq!(publish(&mut directory, "u", 1, &limits).1.topics.len(), 1);
    let first = publish(&mut directory, "t", 1, &limits).0;
    assert!(first > last, "{first} is not behind {last}");
    assert_eq!(kept(&mut directory, "t", last - 1), (1, true));
}

#[test]
fn a_topic_without_history_is_forgotten_with_its_last_worker() {
    let limits = TopicLimits::default();
    let mut directory = Directory::new(|| 0);
    for _ in 0..2 {
        assert!(directory.acquire("t", &limits).is_ok());
    }
    assert!(release(&mut directory, "t", &limits).topics.is_empty());
    assert_eq!((directory.entries.len(), directory.in_use), (1, 1));
    assert!(release(&mut directory, "t", &limits).topics.is_empty());
    assert_eq!((directory.entries.len(), directory.in_use), (0, 0));
}

#[test]
fn the_list_of_kept_topics_stays_short() {
    let limits = TopicLimits { retained_topics_max: 4, ..TopicLimits::default() };
    let mut directory = directory(TopicOptions::default().history(1));
    for n in 0..1000 {
        let name = format!("t{}", n % 6);
        assert!(directory.acquire(&name, &limits).is_ok());
        let _ = publish(&mut directory, &name, 1, &limits);
        let _ = release(&mut directory, &name, &limits);
        assert!(directory.entries.len() <= 4 && directory.retained.len() <= 2 * 4 + 17);
        assert_eq!(directory.retained_len, directory.entries.len());
        assert_eq!(directory.history_bytes, directory.entries.len() * weight(&Publication::from("x")));
    }
}
