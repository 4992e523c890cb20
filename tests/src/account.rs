//! The page of the own account.

mod samples;

use crate::harness::{Client, World};

#[tokio::test]
async fn the_account_page_shows_the_person_and_how_they_signed_in() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let page = olivia.get("/account").await;
    assert_eq!(page.status, 200);
    for shown in
        ["Olivia Owner", "olivia@example.com", "Chrome on Linux", "127.0.0.0/24", &world.idp.issuer(), "a provider"]
    {
        assert!(page.body.contains(shown), "{shown}: {}", page.text());
    }
}

const UNVERIFIED: &str = "update identity.users set email_verified = false where email = 'erin@example.com'";

/// Asks for a code and returns the one that the mail brings.
async fn code(world: &World, client: &mut Client) -> String {
    world.mailbox.clear();
    let sent = client.post("/account/email", &[]).await;
    assert_eq!((sent.status, sent.location()), (303, "/account/email"), "{}", sent.text());
    let mail = world.mail_to("erin@example.com").await;
    let (_, rest) = mail.text.split_once("Your code is ").unwrap();
    rest.split('.').next().unwrap().to_owned()
}

async fn confirm(client: &mut Client, code: &str) -> u16 {
    client.post("/account/email/confirm", &[("code", code)]).await.status
}

// control: IDN-21
#[tokio::test]
async fn an_address_is_verified_with_a_code_that_is_sent_to_it() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    assert_eq!(erin.post("/account/email", &[]).await.status, 409, "the provider vouches for it");
    assert_eq!(world.change(UNVERIFIED).await, 1);
    let page = erin.get("/account").await;
    assert!(page.body.contains("Not verified") && page.body.contains("href=\"/account/email\""), "{}", page.text());
    let code = code(&world, &mut erin).await;
    assert_eq!(code.len(), "1234 5678".len());
    for none in ["", "1234567", "123456789", "1234567a"].repeat(3) {
        assert_eq!(confirm(&mut erin, none).await, 422, "{none} costs no try");
    }
    let code: String = code.chars().map(|c| c.to_digit(10).map_or(c, |d| char::from_u32(0x6f0 + d).unwrap())).collect();
    assert_eq!(confirm(&mut erin, &format!(" {code} ")).await, 303);
    assert!(!erin.get("/account").await.body.contains("Not verified"));
    assert_eq!(confirm(&mut erin, &code).await, 409, "once");
    // Another address is another matter.
    let moved = "update identity.users set email = 'erin@example.net' where email = 'erin@example.com'";
    assert_eq!(world.change(moved).await, 1);
    assert!(erin.get("/account").await.body.contains("Not verified"));
}

// control: IDN-21
// control: IDN-13
#[tokio::test]
async fn a_code_is_of_its_person_and_is_tried_five_times() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    assert_eq!(world.change("update identity.users set email_verified = false").await, 9);
    let first = code(&world, &mut erin).await;
    let mut carl = world.sign_in("carl").await;
    assert_eq!(world.change("update identity.users set email_verified = false").await, 9);
    assert_eq!(carl.post("/account/email", &[]).await.status, 303, "one of his own is out as well");
    assert_eq!(confirm(&mut carl, &first).await, 422, "somebody else's");
    let second = code(&world, &mut erin).await;
    assert_eq!(confirm(&mut erin, &first).await, 422, "an older one");
    let wrong = || {
        let mut erin = erin.clone();
        async move { confirm(&mut erin, "0000 0000").await }
    };
    assert_eq!(tokio::join!(wrong(), wrong(), wrong(), wrong()), (422, 422, 422, 422));
    assert_eq!(confirm(&mut erin, &second).await, 422, "the sixth try of it");
    let third = code(&world, &mut erin).await;
    world.wait(15 * 60);
    assert_eq!(confirm(&mut erin, &third).await, 422, "too old");
    let verified = "select count(*) from identity.users where verified_email is not null";
    assert_eq!(world.database.count(verified).await, 0);
    assert_eq!(erin.post("/account/email", &[]).await.status, 303, "one more after ten minutes");
    let refused = erin.post("/account/email", &[]).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    // Several accounts with the same address do not cause more emails to it.
    let same = "update identity.users set email = 'erin@example.com' where email = 'carl@example.com'";
    assert_eq!(world.change(same).await, 1);
    assert_eq!(carl.post("/account/email", &[]).await.status, 429);
}

// control: IDN-11
#[tokio::test]
async fn an_address_that_changes_at_the_provider_is_told_so_and_no_proof_goes_over_to_another() {
    let world = World::start().await;
    let erin = world.sign_in("erin").await;
    // What was stored when she signed in before; the provider gives erin@example.com.
    let before = "update identity.users set email = 'erin@example.org', confirmed_email = 'erin@example.org',
                  email_verified = false where email = 'erin@example.com'";
    assert_eq!(world.change(before).await, 1);
    drop(erin);
    let mut erin = world.sign_in_at_provider("erin").await;
    let mail = world.mail_to("erin@example.org").await;
    assert_eq!(mail.subject, "We no longer write to this address");
    assert!(!erin.get("/account").await.body.contains("Not verified"), "the provider vouches for the new one");
    assert_eq!(world.database.count("select count(*) from identity.users where confirmed_email <> ''").await, 0);
    world.mailbox.clear();
    world.sign_in_at_provider("erin").await;
    assert_eq!(world.database.count("select count(*) from jobs.queue where about = 'erin@example.org'").await, 0);
}
