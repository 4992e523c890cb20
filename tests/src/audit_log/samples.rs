//! Forms of the activity.

use crate::harness::changes::{Change, Turn, changes};

changes!(
    Turn::Usual,
    [Change::new("/o/{organization}/activity/export", &[("format", "csv")], &["activity.exported"]).reads()]
);
