//! Who may do what to contacts, done rather than asked.

use super::add;
use crate::harness::World;

/// Role by subject, and whether they see contacts, create them, change their own, change those of others.
const PEOPLE: [(&str, [bool; 4]); 7] = [
    ("olivia", [true, true, true, true]),
    ("adam", [true, true, true, true]),
    ("erin", [true, true, true, true]),
    ("carl", [true, true, true, false]),
    ("vera", [true, false, false, false]),
    ("bella", [false, false, false, false]),
    ("fiona", [false, false, false, false]),
];

// control: POL-04
#[tokio::test]
async fn each_role_does_what_it_is_for_and_no_more() {
    let world = World::start().await;
    for (subject, [sees, creates, changes_own, changes_others]) in PEOPLE {
        let mut person = world.sign_in(subject).await;
        world.prove(&mut person, subject).await;
        let mut olivia = world.sign_in("olivia").await;
        let others = add(&mut olivia, world.acme, &[("name", "Of Olivia")]).await;
        // Every member knows of the workspace. To those who may not see contacts, none is there.
        let in_workspace = |allowed, success| if allowed { success } else { 403 };
        let refused = if sees { 403 } else { 404 };
        let status = |allowed, success| if allowed { success } else { refused };
        let contacts = world.acme.contacts();

        assert_eq!(person.get(&contacts).await.status, in_workspace(sees, 200), "{subject} lists");
        assert_eq!(person.get(&others).await.status, status(sees, 200), "{subject} shows");
        assert_eq!(
            person.get(&format!("{contacts}/new")).await.status,
            in_workspace(creates, 200),
            "{subject} is offered the form"
        );
        let before = world.state().await;
        let created = person.post(&contacts, &[("name", "My Own")]).await;
        assert_eq!(created.status, in_workspace(creates, 303), "{subject} creates: {}", created.text());
        assert_eq!(world.state().await == before, !creates);

        if creates {
            let own = created.location().to_owned();
            let form = [("name", "My Own Changed"), ("version", "1")];
            assert_eq!(person.get(&format!("{own}/edit")).await.status, status(changes_own, 200), "{subject}");
            assert_eq!(person.post(&own, &form).await.status, status(changes_own, 303), "{subject} changes their own");
            let shown = person.get(&own).await;
            assert_eq!(shown.body.contains("/delete\""), changes_own, "{subject} is offered to delete their own");
            assert_eq!(person.post(&format!("{own}/delete"), &[]).await.status, status(changes_own, 303));
        }
        let before = world.state().await;
        let form = [("name", "Of Olivia Changed"), ("version", "1")];
        assert_eq!(person.get(&format!("{others}/edit")).await.status, status(changes_others, 200), "{subject}");
        assert_eq!(person.get(&format!("{others}/delete")).await.status, status(changes_others, 200), "{subject}");
        assert_eq!(
            person.post(&others, &form).await.status,
            status(changes_others, 303),
            "{subject} changes another's"
        );
        assert_eq!(world.state().await == before, !changes_others);
        if sees {
            let shown = person.get(&others).await;
            assert_eq!(shown.body.contains("/edit\""), changes_others, "{subject} is offered what they may");
        }
        let before = world.state().await;
        assert_eq!(
            person.post(&format!("{others}/delete"), &[]).await.status,
            status(changes_others, 303),
            "{subject}"
        );
        assert_eq!(world.state().await == before, !changes_others);
        let home = person.get(&world.acme.url()).await;
        assert_eq!(home.body.contains(" contacts</span>"), sees, "{subject} sees how many there are");
    }
}
