//! What each event says to people, and that exports say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::changes::{CausedByTests, all_changes};
use crate::harness::{World, registry};

// control: OBS-02
#[test]
fn every_kind_of_event_is_caused_by_a_test() {
    let declared: BTreeSet<String> = registry().event_audiences().iter().map(|event| event.kind.to_owned()).collect();
    let caused: BTreeSet<String> =
        all_changes().flat_map(|change| change.events()).map(|kind| (*kind).to_owned()).collect();
    let missing: BTreeSet<&str> = declared.difference(&caused).map(|kind| &**kind).collect();
    let by_tests: BTreeSet<&str> =
        inventory::iter::<CausedByTests>().flat_map(|CausedByTests(kinds)| *kinds).copied().collect();
    assert_eq!(missing, by_tests, "cause it by a form in `changes!`, or by a test that `CausedByTests` stands for");
}

// control: OBS-02
#[tokio::test]
async fn an_event_is_one_sentence_with_the_names_of_its_time() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let vera = format!("{}/members/{}", world.acme.url(), world.user("vera").await);
    let changed = olivia.post(&format!("{vera}/role"), &[("role", "editor"), ("reason", "She writes now")]).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    assert_eq!(olivia.post(&format!("{vera}/remove"), &[("reason", "She has left")]).await.status, 303);
    // Olivia is called something else now, and Vera is not here to be asked.
    world.change("update identity.users set display_name = 'Livy' where display_name = 'Olivia Owner'").await;
    let page = olivia.get(&format!("{}/activity", world.acme.url())).await;
    let text = page.text();
    for sentence in ["changed Vera Viewer’s role from Viewer to Editor", "removed Vera Viewer, who was Editor"] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    assert!(page.body.contains("<bdi>Olivia Owner</bdi>"), "{text}");
    assert!(page.body.contains("<strong><bdi>Vera Viewer</bdi></strong>"), "a name is set apart");
}

// control: OBS-02
#[tokio::test]
async fn events_about_tokens_are_listed_apart() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world
        .change(
            "insert into audit.events (id, tenant_id, kind, target, context, client_name, details)
             select gen_random_uuid(), tenant_id, 'api_token.issued', '', jsonb_build_object('client', gen_random_uuid()), 'Sync', '{}'
               from tenant.organizations where name = 'Acme'",
        )
        .await;
    let activity = format!("{}/activity", world.acme.url());
    let sentence = "Sync got an access token";
    assert!(!olivia.get(&activity).await.text().contains(sentence));
    for url in [format!("{activity}?show=tokens"), format!("{activity}?action=api_token.issued")] {
        let page = olivia.get(&url).await;
        assert!(page.text().contains(sentence), "{}", page.text());
        assert!(!page.text().contains("created the organization"), "{}", page.text());
    }
}

// control: OBS-02
#[tokio::test]
async fn the_activity_is_exported_as_csv_and_json_and_the_export_is_recorded() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    // A cell that begins so is a formula to a spreadsheet.
    assert_eq!(
        world.change("update identity.users set display_name = '=1+2' where display_name = 'Olivia Owner'").await,
        1
    );
    let (activity, export) =
        (format!("{}/activity", world.acme.url()), format!("{}/activity/export", world.acme.url()));
    assert!(olivia.get(&activity).await.body.contains(&export));
    let contacts = world.acme.contacts();
    let formula = "=cmd|' /C calc'!A0";
    assert_eq!(olivia.post(&contacts, &[("name", formula)]).await.status, 303);

    let csv = olivia.post(&export, &[("format", "csv")]).await;
    assert_eq!(csv.status, 200, "{}", csv.text());
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert!(csv.header("content-disposition").starts_with("attachment; filename=\"activity-"));
    let mut reader = csv::Reader::from_reader(csv.body.trim_start_matches('\u{feff}').as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let event = rows.iter().find(|row| &row[4] == "contact.created").unwrap();
    assert_eq!(&event[1], "'=1+2");
    assert_eq!(&event[5], &format!("'=1+2 added the contact {formula} to Main"));
    assert!(rows.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{rows:?}");

    let json = olivia.post(&export, &[("format", "json")]).await;
    assert_eq!(json.header("content-type"), "application/json");
    let events: Vec<Value> = serde_json::from_str(&json.body).unwrap();
    assert_eq!(events[0]["event"], format!("=1+2 exported {} events as CSV", rows.len()));
    assert_eq!(events.len(), rows.len() + 1, "the first export is in the second one");
    assert_eq!(world.events("activity.exported").await.len(), 2);
}

// control: OBS-02
// control: IDN-10
#[tokio::test]
async fn an_export_needs_a_role_a_fresh_passkey_and_a_range_that_makes_sense() {
    let world = World::start().await;
    let export = format!("{}/activity/export", world.acme.url());
    for subject in ["vera", "erin"] {
        let mut client = world.sign_in(subject).await;
        assert_eq!(client.get(&export).await.status, 403, "{subject}");
        assert_eq!(client.post(&export, &[("format", "csv")]).await.status, 403, "{subject}");
    }
    let mut olivia = world.sign_in("olivia").await;
    for (form, error) in [
        (vec![("format", "xml")], "Choose CSV or JSON."),
        (vec![("format", "csv"), ("from", "yesterday")], "Enter a day as year-month-day"),
        (vec![("format", "csv"), ("from", "2026-02-01"), ("to", "2026-01-01")], "not before the first one"),
    ] {
        let refused = olivia.post(&export, &form).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(error), "{}", refused.text());
    }
    world.clock.advance(chrono::Duration::minutes(6));
    let asked = olivia.get(&export).await;
    assert!(asked.status == 303 && asked.header("location").starts_with("/step-up"), "{}", asked.text());
    assert_eq!(world.events("activity.exported").await.len(), 0);
}
