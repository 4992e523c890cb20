//! Formatting of dates, times and waiting times. Templates use the filters `date` and `datetime`.

use chrono::{DateTime, Utc};

/// Formats a date: "29 Nov 2026".
#[must_use]
pub fn format_date(time: DateTime<Utc>) -> String {
    time.format("%-d %b %Y").to_string()
}

/// Formats a date and a time: "29 Nov 2026, 14:05 UTC".
#[must_use]
pub fn format_datetime(time: DateTime<Utc>) -> String {
    time.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// Formats a waiting time. It is rounded up.
pub(crate) fn format_duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..=5400 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The filters of templates. A module whose template uses one needs `use web::filters;`.
#[expect(missing_docs, reason = "each filter is the function of this module that it calls")]
#[expect(clippy::inline_always, reason = "the attribute `filter_fn` writes it")]
pub mod filters {
    use askama::{Result, Values};
    use chrono::{DateTime, Utc};

    #[askama::filter_fn]
    pub fn date(time: &DateTime<Utc>, _: &dyn Values) -> Result<String> {
        Ok(super::format_date(*time))
    }

    #[askama::filter_fn]
    pub fn datetime(time: &DateTime<Utc>, _: &dyn Values) -> Result<String> {
        Ok(super::format_datetime(*time))
    }
}
