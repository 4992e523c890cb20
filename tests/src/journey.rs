//! What a person does, in a real Chromium: the application on one site, the identity provider on another, script off.

mod client;
mod organization;
mod pages;

use crate::browser::{Browser, Page};
use crate::harness::World;
use crate::harness::totp::App;

use pages::look;

async fn sign_in(page: &Page, world: &World, subject: &str) {
    sign_in_until(page, world, subject, "/organizations").await;
}

/// Signs in, up to the page that follows.
async fn sign_in_until(page: &Page, world: &World, subject: &str, arrives: &str) {
    page.goto(&world.url("/")).await;
    page.loads(page.click_text("a", "Sign in")).await;
    page.click_text("button", "Continue with Development sign-in").await;
    // The page in between moves on to the provider by itself. There it takes a click: a provider that answers by itself
    // would hide what happens to the strict cookie.
    page.wait_for_url(&world.idp.issuer()).await;
    page.click(&format!("[data-person={subject}]")).await;
    page.wait_for_url(arrives).await;
}

/// Creates a passkey on the page that asks for one. The page then continues by itself.
async fn make_passkey(page: &Page) {
    page.wait_for_url("/account/passkeys/new").await;
    page.fill("#f-name", "This laptop").await;
    page.loads(page.click_text("button", "Create passkey")).await;
}

// control: IDN-04
#[tokio::test]
async fn somebody_works_without_script() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.disable_script(true).await;

    sign_in(&page, &world, "erin").await;
    let cookies = page.cookies().await;
    let session = cookies.iter().find(|cookie| cookie.name == "__Host-Http-session").expect("a session cookie");
    assert!(session.http_only && session.secure, "{session:?}");
    assert_eq!(session.same_site.as_deref(), Some("Strict"));
    assert!(!cookies.iter().any(|cookie| cookie.name == "__Host-Http-login"), "the login cookie is used up");

    page.loads(page.click_text("a", "Acme")).await;
    page.loads(page.click_text("a", "Main")).await;
    page.loads(page.click_text("a", "New contact")).await;
    page.loads(page.click_text("button", "Add contact")).await;
    assert!(page.text("#f-name-error").await.contains("Enter a name."), "an empty form says what is missing");
    page.fill("#f-name", "Ada <b>Lovelace</b>").await;
    page.fill("#f-email", "ada@example.com").await;
    page.loads(page.click_text("button", "Add contact")).await;
    assert_eq!(page.text("h1").await, "Ada <b>Lovelace</b>");

    page.goto(&world.url("/account/passkeys/new")).await;
    assert!(page.text("main").await.contains("Passkeys need JavaScript"), "what cannot work without says so");
    page.fill("#f-name", "Nothing").await;
    page.loads(page.click_text("button", "Create passkey")).await;
    assert!(page.text("[role=alert]").await.contains("No passkey was created"), "and tells of it");

    page.click_text("header button", "Sign out").await;
    page.wait_for_url("/end-session").await;
    page.click("#confirm").await;
    page.wait_for_url("/signed-out").await;
    assert!(page.text("main").await.contains("at your sign-in provider"));
    assert!(!page.cookies().await.iter().any(|cookie| cookie.name == "__Host-Http-session"));
    page.goto(&world.url("/organizations")).await;
    assert!(page.url().contains("/sign-in"), "{}", page.url());

    // Pages with an error status are errors of the console; nothing else is.
    let errors: Vec<_> = page.console_errors().into_iter().filter(|error| !error.contains("422")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

// control: IDN-08
// control: IDN-09
// control: IDN-10
#[tokio::test]
async fn an_owner_makes_a_passkey_signs_in_with_it_alone_and_steps_up_for_a_change_of_role() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    let device = page.add_authenticator().await;

    sign_in(&page, &world, "nora").await;
    assert!(page.text("main").await.contains("You are not in an organization yet"));
    page.loads(page.click_text("a", "Create an organization")).await;
    page.fill("#f-name", "Nora’s Nursery").await;
    page.loads(page.click_text("button", "Create organization")).await;
    // An owner can do nothing without a passkey. With one, she gets to the page that she opened.
    make_passkey(&page).await;
    assert_eq!(page.text("h1").await, "Nora’s Nursery");
    let credentials = device.credentials().await;
    assert_eq!(credentials.len(), 1);
    assert_eq!(credentials[0]["isResidentCredential"], true);
    assert_eq!(world.database.count("select count(*) from identity.passkeys where discoverable").await, 1);
    page.loads(page.click_text("a", "Activity")).await;
    let trail = page.text("table").await;
    assert!(trail.contains("created the organization Nora’s Nursery") && trail.contains("Nora Newcomer"), "{trail}");
    page.click_text("header button", "Sign out").await;
    page.wait_for_url("/end-session").await;

    // The passkey alone; also one whose holder has turned synchronization on since it was made.
    let of_one_device =
        "update identity.passkeys set credential = jsonb_set(credential, '{cred,backup_eligible}', 'false')
                          where credential->'cred'->>'backup_eligible' = 'true'";
    assert_eq!(world.change(of_one_device).await, 1);
    page.goto(&world.url("/organizations")).await;
    page.loads(page.click_text("button", "Sign in with a passkey")).await;
    page.wait_for_url("/organizations").await;
    page.loads(page.click_text("a", "Nora’s Nursery")).await;
    assert_eq!(page.text("h1").await, "Nora’s Nursery");
    let session = world.sessions().await.pop().unwrap();
    assert_eq!(session["methods"], serde_json::json!(["passkey"]));

    // A holder who is not verified is nobody.
    page.loads(page.click_text("header button", "Sign out")).await;
    page.goto(&world.url("/sign-in")).await;
    device.verify_holder(false).await;
    page.click_text("button", "Sign in with a passkey").await;
    page.wait_for("[role=alert]:not([hidden])").await;
    assert!(page.text("[role=alert]").await.contains("cancelled, or it took too long"));
    assert!(page.url().ends_with("/sign-in"), "{}", page.url());
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
}

// control: IDN-08
#[tokio::test]
async fn a_key_that_keeps_no_passkeys_is_a_second_factor_and_the_pages_say_so() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    let key = page.add_small_key().await;
    sign_in(&page, &world, "erin").await;
    page.goto(&world.url("/account/passkeys/new")).await;
    make_passkey(&page).await;
    assert_eq!(key.credentials().await[0]["isResidentCredential"], false);
    let said = page.text("[role=status]").await;
    assert!(said.contains("as a second factor") && said.contains("can't sign you in alone"), "{said}");
    let list = page.text("main").await;
    assert!(list.contains("Second factor only") && list.contains("your sign-in provider first"), "{list}");
    look(&page, "/passkeys-second-factor").await;
    page.loads(page.click_text("a", "Rename")).await;
    page.click_text("header button", "Sign out").await;
    page.wait_for_url("/end-session").await;

    // Alone it does not sign in, and the page says why that can be.
    page.goto(&world.url("/sign-in")).await;
    page.click_text("button", "Sign in with a passkey").await;
    page.wait_for("[role=alert]:not([hidden])").await;
    let why = page.text("[role=alert]").await;
    assert!(why.contains("second factor only, sign in another way first"), "{why}");
    look(&page, "/sign-in-second-factor").await;
    // After the provider it does.
    page.click_text("button", "Continue with Development sign-in").await;
    page.wait_for_url(&world.idp.issuer()).await;
    page.click("[data-person=erin]").await;
    page.wait_for_url("/step-up").await;
    page.loads(page.click_text("button", "Use your passkey")).await;
    page.wait_for_url("/organizations").await;
    page.goto(&world.url("/account/passkeys")).await;
    assert!(
        page.text("main").await.contains("Second factor only"),
        "used as one, it is still none that signs in alone"
    );
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
}

// control: IDN-11
#[tokio::test]
async fn a_person_who_has_lost_their_phone_recovers_with_a_code() {
    let world = World::start_with(&[("AUTHN__RECOVERY__WAIT_SECONDS", "0")]).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    sign_in(&page, &world, "erin").await;
    page.goto(&world.url("/account/passkeys/new")).await;
    make_passkey(&page).await;
    page.loads(page.click_text("a", "Recovery")).await;
    page.loads(page.click_text("button", "Generate recovery codes")).await;
    let code = page.text(".codes code").await;
    look(&page, "/codes").await;

    // Another browser, on a new device.
    let page = browser.page().await;
    page.add_authenticator().await;
    page.goto(&world.url("/sign-in")).await;
    page.click_text("button", "Continue with Development sign-in").await;
    page.wait_for_url(&world.idp.issuer()).await;
    page.click("[data-person=erin]").await;
    page.wait_for_url("/step-up").await;
    page.loads(page.click_text("a", "Lost your passkeys?")).await;
    page.fill("#f-code", &code.to_lowercase()).await;
    page.loads(page.click_text("button", "Use the code")).await;
    make_passkey(&page).await;
    page.wait_for_url("/account/passkeys").await;
    page.goto(&world.url(&world.acme.contacts())).await;
    page.wait_for("table").await;
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
}

// control: IDN-14
#[tokio::test]
async fn a_browser_solves_the_proof_of_work_and_continues_by_itself() {
    let few = [("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "8"), ("AUTHN__LIMITS__FREE_PERCENT", "25")];
    let world = World::start_with(&few).await;
    for _ in 0..2 {
        assert_eq!(world.stranger().post("/sign-in/dev", &[]).await.status, 200);
    }
    let browser = Browser::launch().await;
    let page = browser.page().await;
    let device = page.add_authenticator().await;
    sign_in(&page, &world, "erin").await;
    page.goto(&world.url("/account/passkeys/new")).await;
    make_passkey(&page).await;
    assert_eq!(device.credentials().await.len(), 1);
    page.click_text("header button", "Sign out").await;
    page.wait_for_url("/end-session").await;
    page.goto(&world.url("/sign-in")).await;
    page.loads(page.click_text("button", "Sign in with a passkey")).await;
    page.wait_for_url("/organizations").await;
    assert_eq!(world.database.count("select count(*) from identity.proof_of_work_solutions").await, 2);
    let errors: Vec<_> = page.console_errors().into_iter().filter(|error| !error.contains("429")).collect();
    assert!(errors.is_empty(), "{errors:?}");

    // Without script it says how long to wait.
    let page = browser.page().await;
    page.disable_script(true).await;
    page.goto(&world.url("/sign-in")).await;
    page.loads(page.click_text("button", "Continue with Development sign-in")).await;
    assert!(page.text("main").await.contains("try again in 23 seconds"), "{}", page.text("main").await);
    look(&page, "/work").await;
    world.wait(23);
    page.click_text("button", "Try again").await;
    page.wait_for_url(&world.idp.issuer()).await;
}

// control: IDN-10
#[tokio::test]
async fn a_form_waits_while_its_sender_proves_a_passkey() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    sign_in(&page, &world, "olivia").await;
    let role = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    page.goto(&world.url(&role)).await;
    make_passkey(&page).await;
    page.wait_for_url("/role").await;
    page.click("#f-role-editor").await;
    page.fill("#f-reason", "She edits “now” & then").await;
    world.wait(360);
    page.loads(page.click_text("button", "Change role")).await;
    assert!(page.text("main").await.contains("Confirm to change member role. Nothing has changed yet."));
    look(&page, "/step-up").await;
    page.loads(page.click_text("button", "Use your passkey")).await;
    page.wait_for_url("/members").await;
    assert!(page.text("[role=status]").await.contains("Vera Viewer is now Editor."));
    let event = world.events("member.role_changed").await.pop().unwrap();
    assert_eq!(event["details"]["reason"], "She edits “now” & then");
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
}

// case: A15
// control: IDN-10
#[tokio::test]
async fn a_form_that_comes_after_the_end_of_its_session_waits_for_its_person_without_script() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.disable_script(true).await;
    sign_in(&page, &world, "erin").await;
    let new = format!("{}/new", world.acme.contacts());
    page.goto(&world.url(&new)).await;
    page.fill("#f-name", "Ada “Lovelace” & Söhne").await;
    world.wait(1_801);
    page.loads(page.click_text("button", "Add contact")).await;
    assert!(page.text("main").await.contains("We saved what you sent for ten minutes."));
    look(&page, "/sign-in-kept").await;
    page.click_text("button", "Continue with Development sign-in").await;
    page.wait_for_url(&world.idp.issuer()).await;
    page.click("[data-person=erin]").await;
    page.wait_for_url("/resume").await;
    assert!(page.text("main").await.contains("You sent this form after your session had ended: create contact."));
    look(&page, "/resume-kept").await;
    page.loads(page.click_text("button", "Send it now")).await;
    assert_eq!(page.text("h1").await, "Ada “Lovelace” & Söhne");
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());

    // What cannot be kept is said to be lost, and the way back leads to the page with the form.
    page.goto(&world.url(&new)).await;
    page.fill("#f-name", "Somebody else").await;
    world.change("update identity.sessions set ended_at = now(), ended_reason = 'used from elsewhere'").await;
    page.loads(page.click_text("button", "Add contact")).await;
    assert_eq!(page.text("h1").await, "You are signed out");
    look(&page, "/not-kept").await;
    page.loads(page.click_text("a", "Sign in")).await;
    assert!(page.url().ends_with(&format!("/sign-in?return_to={}", new.replace('/', "%2F"))), "{}", page.url());
}

// control: IDN-12
#[tokio::test]
async fn a_link_that_arrives_by_mail_signs_in_without_script() {
    let world = World::start().await;
    world.sign_in("vera").await;
    sqlx::query("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}'")
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.disable_script(true).await;
    page.goto(&world.url("/sign-in")).await;
    page.loads(page.click_text("a", "Sign in by email")).await;
    page.fill("#f-email", "vera@example.com").await;
    page.loads(page.click_text("button", "Send the link")).await;
    assert_eq!(page.text("h1").await, "Check your email");
    look(&page, "/link-sent").await;
    let mail = world.mail_to("vera@example.com").await;
    page.goto(mail.text.lines().find(|line| line.starts_with("http")).unwrap()).await;
    page.loads(page.click_text("button", "Sign in")).await;
    assert_eq!(page.text("h1").await, "Your organizations");
    page.goto(&world.url(&world.acme.contacts())).await;
    page.wait_for("table").await;
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
}

// control: IDN-11
#[tokio::test]
async fn an_authenticator_app_is_set_up_and_its_code_lets_a_second_browser_in_without_script() {
    let world = World::start().await;
    let (here, there) = (Browser::launch().await, Browser::launch().await);
    let (first, second) = (here.page().await, there.page().await);
    sign_in(&first, &world, "erin").await;
    first.goto(&world.url("/account/authenticator")).await;
    first.loads(first.click_text("button", "Set up an app")).await;
    look(&first, "/authenticator-add").await;
    first.set_size(360, 800).await;
    let wide = first.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(wide, 0, "scrolls sideways on a telephone");
    let app = App::holding(&first.text("code").await);
    first.fill("#f-code", &app.code(&world, 0)).await;
    first.loads(first.click_text("button", "Verify")).await;
    assert!(first.text("[role=status]").await.contains("ready to use"));
    look(&first, "/authenticator-used").await;

    world.wait(30);
    second.disable_script(true).await;
    sign_in_until(&second, &world, "erin", "/step-up").await;
    look(&second, "/step-up-code").await;
    second.fill("#f-code", &app.code(&world, 0)).await;
    second.loads(second.click_text("button", "Use the code")).await;
    assert_eq!(second.text("h1").await, "Your organizations");
    assert_eq!((first.console_errors(), second.console_errors()), (vec![], vec![]));
}

// control: IDN-20
#[tokio::test]
async fn a_session_that_is_ended_in_one_browser_is_over_in_another() {
    let world = World::start().await;
    let (here, there) = (Browser::launch().await, Browser::launch().await);
    let (mine, lost) = (here.page().await, there.page().await);
    sign_in(&lost, &world, "erin").await;
    lost.goto(&world.url(&world.acme.contacts())).await;
    lost.wait_for("table").await;
    sign_in(&mine, &world, "erin").await;
    mine.goto(&world.url("/account/sessions")).await;
    mine.loads(mine.click_text("button", "Sign out other sessions")).await;
    mine.goto(&world.url(&world.acme.contacts())).await;
    mine.wait_for("table").await;
    lost.goto(&world.url(&world.acme.contacts())).await;
    lost.wait_for_url("/sign-in").await;
    assert!(!lost.text("main").await.contains("Contacts"));
}

// control: IDN-21
#[tokio::test]
async fn somebody_is_invited_and_joins() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    sign_in(&page, &world, "olivia").await;
    page.goto(&world.url(&format!("{}/invitations", world.acme.url()))).await;
    make_passkey(&page).await;
    page.wait_for_url("/invitations").await;
    page.loads(page.click_text("a", "Invite member")).await;
    page.fill("#f-email", "nora@example.com").await;
    page.click("#f-role-editor").await;
    page.fill("#f-reason", "Joins the team").await;
    page.loads(page.click_text("button", "Send invitation")).await;
    assert!(page.text("[role=status]").await.contains("nora@example.com is invited."));
    let mail = world.mail_to("nora@example.com").await;
    let link = mail.text.lines().find(|line| line.starts_with("http")).unwrap().to_owned();
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());

    let browser = Browser::launch().await;
    let page = browser.page().await;
    sign_in(&page, &world, "nora").await;
    page.goto(&link).await;
    page.loads(page.click_text("button", "Join")).await;
    assert!(page.text("[role=status]").await.contains("You’ve joined Acme."));
    assert!(page.text("main").await.contains("Acme"));
}

#[tokio::test]
async fn a_link_on_another_site_finds_the_person_still_signed_in() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    sign_in(&page, &world, "olivia").await;
    page.goto(&world.url(&world.acme.url())).await;
    make_passkey(&page).await;
    // A page of the provider's site, with a link to us in it.
    page.goto(&format!("{}/end-session", world.idp.issuer())).await;
    let link = format!(
        "document.body.innerHTML = '<a id=link href=\"{}\">Members</a>'",
        world.url(&format!("{}/members", world.acme.url()))
    );
    page.eval(&link).await;
    page.click("#link").await;
    page.wait_for_url("/members").await;
    page.wait_for("table").await;
    assert!(page.text("table").await.contains("Olivia Owner"));
}
