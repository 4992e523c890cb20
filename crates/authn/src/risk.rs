//! How unusual a session looks: what its requests tell, compared with where it began.
//!
//! Signals, never proofs. A network changes with every train ride, so whatever networks do, they alone end no session;
//! a browser that turns into another one does not happen to honest people while they work.

use chrono::{DateTime, Duration, Utc};
use tenancy::SessionFacts;
use web::Client;

/// Above this a session is over.
pub(crate) const MAX_SCORE: i64 = 80;
/// Changes that follow each other within this time count together, and for as long.
pub(crate) const CHANGE_WINDOW: Duration = Duration::minutes(10);
/// What a device that was never seen before counts for, on its first day.
const NEW_DEVICE: i64 = 15;
const NEW_FOR: Duration = Duration::hours(24);
/// Another device family than where the session began.
const OTHER_DEVICE: i64 = 50;
/// Another network than where the session began.
const OTHER_NETWORK: i64 = 20;
/// Every change after the second one: somebody in a hurry, or several people.
const CHANGE: i64 = 5;
/// Every return to where the requests had just come from: two at once, in different places.
const RETURN: i64 = 15;
/// Most that each of the last two can count for.
const MOST: i64 = 45;

/// The score of a request, 0 to 100.
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
            score += ((i64::from(drift.changes) - 2) * CHANGE).clamp(0, MOST);
            score += (i64::from(drift.returns) * RETURN).clamp(0, MOST);
        }
    }
    let ends = other_device && !(client.network == session.network && is_other_view(&client.device, &session.device));
    if ends { score.min(100) } else { score.min(MAX_SCORE) }
}

/// Whether one of two device families is of a telephone or tablet and the other one of a desk. In one network this is what
/// "Desktop site" of a telephone's browser and the device mode of developer tools look like, on and off.
fn is_other_view(one: &str, other: &str) -> bool {
    let is_mobile = |device: &str| ["Android", "iOS"].iter().any(|platform| device.ends_with(platform));
    let is_desktop = |device: &str| ["Windows", "macOS", "Linux"].iter().any(|platform| device.ends_with(platform));
    is_mobile(one) && is_desktop(other) || is_desktop(one) && is_mobile(other)
}

/// Where the last request of a session came from: device family and network.
pub(crate) fn seen(session: &SessionFacts) -> (&str, &str) {
    let drift = session.drift.as_ref();
    drift.map_or((&session.device, &session.network), |drift| (&drift.seen_device, &drift.seen_network))
}

/// Whether the request comes from elsewhere than the one before it.
pub(crate) fn has_moved(session: &SessionFacts, client: &Client) -> bool {
    let (device, network) = seen(session);
    client.device != device || differs(&client.network, network)
}

/// Whether two networks are different places. A browser with two kinds of addresses uses now one, now the other: between
/// them nothing can be said.
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
            seen_device: HERE.0.to_owned(),
            seen_network: HERE.1.to_owned(),
            changes,
            returns,
            changed_at: Some(DateTime::UNIX_EPOCH),
        }
    }

    fn at(device: &str, network: &str) -> Client {
        Client { device: device.to_owned(), network: network.to_owned() }
    }

    const HERE: (&str, &str) = ("Firefox on Linux", "192.0.2.0/24");

    // control: IDN-07
    #[test]
    fn what_drifts_counts_and_a_network_alone_ends_nothing() {
        let cases = [
            (HERE, false, 0, 0, 0),
            (HERE, true, 0, 0, 15),
            (("Firefox on Linux", "198.51.100.0/24"), false, 1, 0, 20),
            (("Firefox on Linux", "2001:db8:1::/48"), false, 0, 0, 0),
            (("Chrome on Linux", "192.0.2.0/24"), false, 1, 0, 50),
            (("Chrome on Windows", "198.51.100.0/24"), false, 1, 0, 70),
            (("Chrome on Windows", "198.51.100.0/24"), false, 2, 1, 85),
            (("Chrome on Windows", "198.51.100.0/24"), true, 1, 0, 85),
            (("Firefox on Linux", "198.51.100.0/24"), false, 4, 0, 30),
            (("Firefox on Linux", "198.51.100.0/24"), false, 5, 0, 35),
            (("Firefox on Linux", "198.51.100.0/24"), false, 2, 1, 35),
            // However often: with the same device it stays at the limit, and below the end.
            (("Firefox on Linux", "198.51.100.0/24"), true, i32::MAX, i32::MAX, MAX_SCORE),
            (("Chrome on Linux", "198.51.100.0/24"), true, i32::MAX, i32::MAX, 100),
            // The other view of a browser asks for a proof at home, and is somebody else's elsewhere.
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
        let (device, network) = HERE;
        for (minutes, expected) in [(9, 80), (10, 15), (24 * 60, 0)] {
            let now = DateTime::UNIX_EPOCH + Duration::minutes(minutes);
            assert_eq!(score(&session, &at(device, network), now), expected, "{minutes}");
        }
    }

    // control: IDN-07
    #[test]
    fn a_request_has_moved_where_device_or_network_is_another() {
        let cases = [
            (HERE, false),
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
