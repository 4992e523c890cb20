//! The risk of a session: how much its requests differ from its start.
//!
//! The differences are signals, not proof. A network changes with every train ride, so changes of network alone never
//! end a session. But an honest person's browser does not become a different browser during a session.

use chrono::{DateTime, Duration, Utc};
use tenancy::SessionFacts;
use web::Client;

/// A session with a higher score ends.
pub(crate) const MAX_SCORE: i64 = 80;
/// Changes within this time are counted together, and count for this long.
pub(crate) const CHANGE_WINDOW: Duration = Duration::minutes(10);
/// The score of a new device, on its first day.
const NEW_DEVICE: i64 = 15;
const NEW_FOR: Duration = Duration::hours(24);
/// The score of a device family that differs from the start of the session.
const OTHER_DEVICE: i64 = 50;
/// The score of a network that differs from the start of the session.
const OTHER_NETWORK: i64 = 20;
/// The score of each change after the second one. Several people may use the session.
const CHANGE: i64 = 5;
/// The score of each return to the previous place. Two browsers may be in use at once.
const RETURN: i64 = 15;
/// The maximum score of all changes, and of all returns.
const MAX_MOVES: i64 = 45;

/// Computes the score of a request, from 0 to 100.
pub(crate) fn score(session: &SessionFacts, client: &Client, now: DateTime<Utc>) -> i64 {
    let other_device = client.device != session.device;
    let mut score = 0;
    if other_device {
        score += OTHER_DEVICE;
    }
    if differs(&client.network, &session.network) {
        score += OTHER_NETWORK;
    }
    if let Some(drift) = &session.drift {
        if drift.new_device && now - session.created_at < NEW_FOR {
            score += NEW_DEVICE;
        }
        if drift.changed_at.is_some_and(|at| now - at < CHANGE_WINDOW) {
            score += ((i64::from(drift.changes) - 2) * CHANGE).clamp(0, MAX_MOVES);
            score += (i64::from(drift.returns) * RETURN).clamp(0, MAX_MOVES);
        }
    }
    let ends = other_device && !(client.network == session.network && is_other_view(&client.device, &session.device));
    if ends { score.min(100) } else { score.min(MAX_SCORE) }
}

/// Whether one of two device families is a phone or tablet and the other one a desktop computer. In one network, the
/// reason may be the "Desktop site" switch of a phone's browser, or the device mode of developer tools.
fn is_other_view(one: &str, other: &str) -> bool {
    let is_mobile = |device: &str| ["Android", "iOS"].iter().any(|platform| device.ends_with(platform));
    let is_desktop = |device: &str| ["Windows", "macOS", "Linux"].iter().any(|platform| device.ends_with(platform));
    is_mobile(one) && is_desktop(other) || is_desktop(one) && is_mobile(other)
}

/// Returns the device family and the network of the last request of a session.
pub(crate) fn seen(session: &SessionFacts) -> (&str, &str) {
    let drift = session.drift.as_ref();
    drift.map_or((&session.device, &session.network), |drift| (&drift.seen_device, &drift.seen_network))
}

/// Whether the request has another device or network than the previous one.
pub(crate) fn has_moved(session: &SessionFacts, client: &Client) -> bool {
    let (device, network) = seen(session);
    client.device != device || differs(&client.network, network)
}

/// Whether two networks are different places. A browser with IPv4 and IPv6 addresses switches between them, so a
/// different kind of address means nothing.
fn differs(one: &str, other: &str) -> bool {
    one != other && one.contains(':') == other.contains(':')
}

#[cfg(test)]
mod tests {
    use tenancy::{Facts, SessionDrift, UserId};
    use uuid::Uuid;

    use super::*;

    fn session() -> SessionFacts {
        let now = DateTime::UNIX_EPOCH;
        SessionFacts {
            user: UserId::new(),
            session: Uuid::now_v7(),
            name: String::new(),
            email: String::new(),
            email_verified: false,
            issuer: None,
            subject: None,
            sso_tenant: None,
            auth_time: now,
            methods: Vec::new(),
            passkey_at: None,
            recovered_at: None,
            totp_at: None,
            device: "Firefox on Linux".to_owned(),
            network: "192.0.2.0/24".to_owned(),
            drift: None,
            created_at: now,
            rotated_at: now,
            last_seen_at: now,
            expires_at: now,
            by_previous: false,
            facts: Facts::default(),
        }
    }

    fn drift(new_device: bool, changes: i32, returns: i32) -> SessionDrift {
        SessionDrift {
            new_device,
            seen_device: HOME.0.to_owned(),
            seen_network: HOME.1.to_owned(),
            changes,
            returns,
            changed_at: Some(DateTime::UNIX_EPOCH),
        }
    }

    fn at(device: &str, network: &str) -> Client {
        Client { device: device.to_owned(), network: network.to_owned() }
    }

    const HOME: (&str, &str) = ("Firefox on Linux", "192.0.2.0/24");

    // control: IDN-07
    #[test]
    fn drift_adds_to_the_score_and_a_network_alone_ends_no_session() {
        let cases = [
            (HOME, false, 0, 0, 0),
            (HOME, true, 0, 0, 15),
            (("Firefox on Linux", "198.51.100.0/24"), false, 1, 0, 20),
            (("Firefox on Linux", "2001:db8:1::/48"), false, 0, 0, 0),
            (("Chrome on Linux", "192.0.2.0/24"), false, 1, 0, 50),
            (("Chrome on Windows", "198.51.100.0/24"), false, 1, 0, 70),
            (("Chrome on Windows", "198.51.100.0/24"), false, 2, 1, 85),
            (("Chrome on Windows", "198.51.100.0/24"), true, 1, 0, 85),
            (("Firefox on Linux", "198.51.100.0/24"), false, 4, 0, 30),
            (("Firefox on Linux", "198.51.100.0/24"), false, 5, 0, 35),
            (("Firefox on Linux", "198.51.100.0/24"), false, 2, 1, 35),
            // With the same device, the score stays at the maximum for any number of changes, and the session does not
            // end.
            (("Firefox on Linux", "198.51.100.0/24"), true, i32::MAX, i32::MAX, MAX_SCORE),
            (("Chrome on Linux", "198.51.100.0/24"), true, i32::MAX, i32::MAX, 100),
            // In the same network, the other view of a browser needs a fresh proof. In another network, the session
            // ends.
            (("Firefox on Android", "192.0.2.0/24"), true, 1, 0, 65),
            (("Safari on iOS", "192.0.2.0/24"), true, i32::MAX, i32::MAX, MAX_SCORE),
            (("Firefox on Android", "198.51.100.0/24"), true, i32::MAX, i32::MAX, 100),
            (("Firefox on Windows", "192.0.2.0/24"), true, i32::MAX, i32::MAX, 100),
        ];
        for ((device, network), new_device, changes, returns, expected) in cases {
            let session = SessionFacts { drift: Some(drift(new_device, changes, returns)), ..session() };
            let found = score(&session, &at(device, network), DateTime::UNIX_EPOCH);
            assert_eq!(found, expected, "{device}, {network}, {new_device}, {changes}, {returns}");
        }
    }

    // control: IDN-07
    #[test]
    fn after_a_pause_changes_are_forgotten() {
        let session = SessionFacts { drift: Some(drift(true, 9, 9)), ..session() };
        let (device, network) = HOME;
        for (minutes, expected) in [(9, 80), (10, 15), (24 * 60, 0)] {
            let now = DateTime::UNIX_EPOCH + Duration::minutes(minutes);
            assert_eq!(score(&session, &at(device, network), now), expected, "{minutes}");
        }
    }

    // control: IDN-07
    #[test]
    fn a_request_has_moved_if_its_device_or_network_is_another() {
        let cases = [
            (HOME, false),
            (("Firefox on Linux", "198.51.100.0/24"), true),
            (("Firefox on Windows", "192.0.2.0/24"), true),
            (("Firefox on Linux", "2001:db8:1::/48"), false),
        ];
        for ((device, network), expected) in cases {
            for drift in [None, Some(drift(false, 1, 0))] {
                let session = SessionFacts { drift, ..session() };
                assert_eq!(has_moved(&session, &at(device, network)), expected, "{device}, {network}");
            }
        }
    }
}
