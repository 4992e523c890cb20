use std::time::Duration;

/// How long the rows of a table are kept after a time in one of their columns. The owner of a table registers its rule, made with
/// [`retention_rule!`].
///
/// [`retention_rule!`]: crate::retention_rule
#[derive(Clone, Copy, Debug)]
pub struct RetentionRule {
    /// The table, with its schema.
    pub table: &'static str,
    /// How long its rows are kept.
    pub retention: Retention,
    #[doc(hidden)]
    pub sql: &'static str,
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug)]
pub enum Retention {
    /// This long. Never less than the clocks of several instances may differ.
    For(Duration),
    /// As long as ended sessions: the setting `retention.sessions_days`.
    Sessions,
    /// As long as the audit log: the setting `retention.records_days`.
    Records,
}

/// How long most expired rows are kept: clocks differ, and an operator may want to look at them.
pub const HOUR: Retention = Retention::For(Duration::from_hours(1));

/// Makes a [`RetentionRule`] from the table, its key, the column with the time, and how long rows are kept after it. The column
/// must be indexed.
#[macro_export]
macro_rules! retention_rule {
    ($table:literal, $key:literal, $column:literal, $retention:expr) => {
        $crate::RetentionRule {
            table: $table,
            retention: $retention,
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

impl RetentionRule {
    /// Most rows that one step deletes.
    pub const STEP: u64 = 500;

    /// The statement of one step. Its parameter is the retention in seconds.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }
}
