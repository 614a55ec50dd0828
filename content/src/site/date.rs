//! Points in time as authors write them and as pages show them.

use std::time::SystemTime;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A point in time, in UTC unless an offset was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(Timestamp);

impl Date {
    /// Reads `2026-11-21`, `2026-11-21 10:30`, `2026-11-21T10:30:00Z` or one with an offset (RFC 3339).
    ///
    /// ```
    /// use sws_content::site::Date;
    ///
    /// let date = Date::parse("2026-11-21T10:30:00+01:00").unwrap();
    /// assert_eq!(date.to_string(), "2026-11-21T09:30:00Z");
    /// assert_eq!(date.human(), "21 November 2026");
    /// assert!(Date::parse("2026-02-30").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Date> {
        let text = text.trim();
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Some(Date(timestamp));
        }
        let civil: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok().map(Date)
    }

    /// The day, for people: `21 November 2026`.
    pub fn human(&self) -> String {
        self.0.strftime("%-d %B %Y").to_string()
    }

    /// For machines: the day alone if there is no time of day, `2026-11-21`, and else as RFC 3339 has it.
    pub fn iso(&self) -> String {
        let whole = self.0.as_second().rem_euclid(86_400) == 0 && self.0.subsec_nanosecond() == 0;
        if whole { self.0.strftime("%Y-%m-%d").to_string() } else { self.to_string() }
    }

    /// The time of a file; none outside of the years -9999 to 9999.
    pub fn of_system_time(time: SystemTime) -> Option<Date> {
        let whole = Timestamp::try_from(time).ok()?;
        Timestamp::from_second(whole.as_second()).ok().map(Date)
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let table = [
            ("2026-11-21", Some("2026-11-21T00:00:00Z")),
            (" 2026-11-21 ", Some("2026-11-21T00:00:00Z")),
            ("2026-11-21 10:30", Some("2026-11-21T10:30:00Z")),
            ("2026-11-21T10:30:05", Some("2026-11-21T10:30:05Z")),
            ("2026-11-21T10:30:00Z", Some("2026-11-21T10:30:00Z")),
            ("2026-11-21T10:30:00-02:00", Some("2026-11-21T12:30:00Z")),
            ("2024-02-29", Some("2024-02-29T00:00:00Z")),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("21.11.2026", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(Date::parse(text).map(|date| date.to_string()).as_deref(), wanted, "{text:?}");
        }
    }

    #[test]
    fn for_machines_and_people() {
        let table = [
            ("2026-11-01", "2026-11-01", "1 November 2026"),
            ("1969-12-30", "1969-12-30", "30 December 1969"),
            ("2026-11-01 00:01", "2026-11-01T00:01:00Z", "1 November 2026"),
        ];
        for (text, iso, human) in table {
            let date = Date::parse(text).unwrap();
            assert_eq!((date.iso().as_str(), date.human().as_str()), (iso, human));
        }
    }

    #[test]
    fn a_file_time_loses_its_fraction() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
        assert_eq!(Date::of_system_time(time).unwrap().to_string(), "1970-01-01T00:00:01Z");
    }
}
