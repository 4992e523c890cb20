//! Forms of recovery.

use crate::harness::changes::{Change, Turn, changes};

changes!(
    Turn::Usual,
    [
        Change::new("/account/recovery/codes", &[], &["recovery.codes_generated"]).replaces(),
        // Need a code, or a recovery that waits; see `recovery`.
        Change::not_walked("/recovery", &[("code", "AAAA-BBBB-CCCC-DDDD")]).works_once(),
        Change::not_walked("/recovery/continue", &[]).works_once(),
        Change::not_walked("/account/recovery/cancel", &[]).ends_or_changes(),
    ]
);
