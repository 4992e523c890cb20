//! Forms that are kept.

use crate::harness::changes::{Change, Turn, changes};

changes!(
    Turn::Usual,
    [
        // Does a form that was kept, which is recorded as itself; see `kept`.
        Change::not_walked("/resume", &[("deferred", "018f0000-0000-7000-8000-0000000000ab")]).works_once(),
    ]
);
