use std::time::Duration;

/// How long rows are kept after a time that stands in them. Whoever owns a table registers its rule, made by [`keep!`].
///
/// [`keep!`]: crate::keep
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The table, with its schema.
    pub table: &'static str,
    /// How long.
    pub keep: Keep,
    #[doc(hidden)]
    pub sql: &'static str,
}

/// For how long.
#[derive(Clone, Copy, Debug)]
pub enum Keep {
    /// So long. Never less than what clocks of several instances may differ.
    For(Duration),
    /// As long as sessions that have ended: the setting `keeping.sessions_days`.
    Sessions,
    /// As long as the log of what was done: the setting `keeping.records_days`.
    Records,
}

/// How long most of what has expired is kept, for clocks that differ and for who looks what happened.
pub const HOUR: Keep = Keep::For(Duration::from_hours(1));

/// A [`Rule`]: table, its key, the column with the time, which must be indexed, and for how long rows are kept after it.
#[macro_export]
macro_rules! keep {
    ($table:literal, $key:literal, $column:literal, $keep:expr) => {
        $crate::Rule {
            table: $table,
            keep: $keep,
            sql: concat!(
                "delete from ",
                $table,
                " where (",
                $key,
                ") in (select ",
                $key,
                " from ",
                $table,
                " where ",
                $column,
                " < now() - make_interval(secs => $1) order by ",
                $column,
                " limit 500) and ",
                $column,
                " < now() - make_interval(secs => $1)"
            ),
        }
    };
}

impl Rule {
    /// How many rows one step deletes at most.
    pub const STEP: u64 = 500;

    /// What one step does, with the time to keep in seconds as its parameter.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }
}
