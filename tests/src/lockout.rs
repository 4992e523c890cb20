//! Guessing the codes of one person, ever more slowly.

use futures_util::future::join_all;

use crate::harness::{Client, World};
use crate::recovery::{lost, try_code};

/// Another wrong code, whose beginning is that of a right one.
async fn guess(client: &Client, codes: &[String]) -> u16 {
    let wrong = format!("{}-AAAA-AAAA-AAAA", &codes[0][..4]);
    try_code(&mut client.clone(), &wrong).await.status
}

async fn wait_told(client: &Client, codes: &[String]) -> i64 {
    let refused = try_code(&mut client.clone(), &codes[0]).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.body.contains("Try again in"), "{}", refused.text());
    refused.header("retry-after").parse().unwrap()
}

async fn mails(world: &World) -> i64 {
    // Those that were sent are gone from the outbox.
    world.until("select count(*) from jobs.queue where kind = 'mail' and failed_at is null", 0).await;
    let told = world.mailbox.messages().into_iter().filter(|mail| mail.subject.contains("Wrong codes were tried"));
    i64::try_from(told.count()).unwrap()
}

// control: IDN-13
#[tokio::test]
async fn five_wrong_codes_are_free_and_each_further_one_doubles_the_wait_up_to_a_day() {
    let world = World::start().await;
    let (codes, mut erin) = lost(&world, "erin").await;
    for _ in 0..6 {
        assert_eq!(guess(&erin, &codes).await, 422);
    }
    for minutes in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440] {
        assert_eq!(wait_told(&erin, &codes).await, minutes * 60);
        world.wait(minutes * 60 - 1);
        erin = world.sign_in_at_provider("erin").await;
        assert_eq!(guess(&erin, &codes).await, 429, "a session more is no try more");
        world.wait(1);
        assert_eq!(guess(&erin, &codes).await, 422, "{minutes} minutes later");
    }
    let (other, mut vera) = lost(&world, "vera").await;
    assert_eq!(try_code(&mut vera, &other[0]).await.status, 200, "others are not affected");
}

// control: IDN-13
#[tokio::test]
async fn what_others_in_the_network_try_keeps_nobody_from_their_own_codes() {
    let few = [("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "8"), ("AUTHN__LIMITS__FREE_PERCENT", "100")];
    let world = World::start_with(&few).await;
    let ((codes, erin), (other, mut vera)) = (lost(&world, "erin").await, lost(&world, "vera").await);
    for right in 0..3 {
        for _ in 0..5 {
            assert_eq!(guess(&erin, &codes).await, 422);
        }
        // A right one forgets the wrong ones, so one person tries as many as they have codes for.
        assert_eq!(try_code(&mut erin.clone(), &codes[right]).await.status, 200);
        world.wait(30);
    }
    assert_eq!(try_code(&mut vera, &other[0]).await.status, 200);
}

// control: IDN-13
#[tokio::test]
async fn many_wrong_codes_at_once_are_no_more_than_one_after_the_other() {
    let world = World::start().await;
    let (codes, erin) = lost(&world, "erin").await;
    let mut statuses = join_all((0..10).map(|_| guess(&erin, &codes))).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [422, 422, 422, 422, 422, 422, 429, 429, 429, 429]);
    assert_eq!(
        world.database.count("select failures::bigint from identity.lockouts").await,
        6,
        "what is refused is no failure"
    );
}

// control: IDN-13
#[tokio::test]
async fn what_is_tried_while_locked_changes_nothing_and_a_right_code_forgets_the_wrong_ones() {
    let world = World::start().await;
    let (codes, mut erin) = lost(&world, "erin").await;
    for _ in 0..6 {
        assert_eq!(guess(&erin, &codes).await, 422);
    }
    world.until("select count(*) from jobs.queue where kind = 'mail' and failed_at is null", 0).await;
    let before = world.everything_stored().await;
    assert_eq!(wait_told(&erin, &codes).await, 60, "also for a right one, which is not used up");
    assert_eq!(world.everything_stored().await, before, "nor is what others in the network share");
    world.wait(60);
    assert_eq!(try_code(&mut erin, &codes[0]).await.status, 200);
    assert_eq!(world.database.count("select count(*) from identity.lockouts").await, 0);
    for _ in 0..6 {
        assert_eq!(guess(&erin, &codes[1..]).await, 422, "five are free again");
    }
    assert_eq!(wait_told(&erin, &codes[1..]).await, 60);
}

// control: IDN-13
#[tokio::test]
async fn the_owner_hears_of_it_once_a_day_and_each_lock_is_recorded() {
    let world = World::start().await;
    let (codes, erin) = lost(&world, "erin").await;
    let locked = async || world.events("account.locked_out").await;
    for _ in 0..5 {
        assert_eq!(guess(&erin, &codes).await, 422);
    }
    assert_eq!((locked().await.len(), mails(&world).await), (0, 0), "nobody is told of what is free");
    assert_eq!(guess(&erin, &codes).await, 422);
    assert_eq!((locked().await.len(), mails(&world).await), (1, 1));
    let event = locked().await.pop().unwrap();
    assert_eq!(event["details"]["failures"], 6);
    assert_eq!(event["actor"], world.user("erin").await.to_string());
    assert!(world.mail_to("erin@example.com").await.text.contains("No codes are accepted"));
    for (count, minutes) in [(2, 1), (3, 2)] {
        world.wait(minutes * 60);
        assert_eq!(guess(&erin, &codes).await, 422);
        assert_eq!((locked().await.len(), mails(&world).await), (count, 1), "not again on the same day");
    }
    world.wait(86_400);
    let erin = world.sign_in_at_provider("erin").await;
    assert_eq!(guess(&erin, &codes).await, 422);
    assert_eq!((locked().await.len(), mails(&world).await), (4, 2));
}

// control: IDN-13
#[tokio::test]
async fn guessing_codes_does_not_lock_out_a_person_with_a_passkey() {
    let world = World::start().await;
    let (codes, erin) = lost(&world, "erin").await;
    let lock = async || {
        for _ in 0..6 {
            assert_eq!(guess(&erin, &codes).await, 422);
        }
        assert_eq!(guess(&erin, &codes).await, 429);
    };
    lock().await;
    let mut owner = world.sign_in_at_provider("erin").await;
    world.prove(&mut owner, "erin").await;
    assert_eq!(guess(&erin, &codes).await, 422, "a passkey forgets them");
    for _ in 0..5 {
        guess(&erin, &codes).await;
    }
    assert_eq!(guess(&erin, &codes).await, 429);
    let made = owner.post("/account/recovery/codes", &[]).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(guess(&erin, &codes).await, 422, "and so do new codes");
}
