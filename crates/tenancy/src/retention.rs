use std::time::Duration;

/// How long the rows of a table are kept after a time in one of their columns. The owner of a table creates its rule with
/// [`retention_rule!`] and registers it.
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
    /// This long. It must be longer than the difference between the clocks of instances.
    For(Duration),
    /// As long as ended sessions (setting `retention.sessions_days`).
    Sessions,
    /// As long as the audit log (setting `retention.records_days`).
    Records,
}

/// How long most expired rows are kept. Clocks differ, and an operator may want to read them.
pub const HOUR: Retention = Retention::For(Duration::from_hours(1));

/// Creates a [`RetentionRule`] from the table, its key, the column with the time, and how long rows are kept after that time. The
/// column must have an index.
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
    /// Maximum number of rows that one step deletes.
    pub const STEP: u64 = 500;

    /// The statement of one step. Its parameter is the retention in seconds.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }
}
