use super::{look, make_passkey, sign_in};
use crate::browser::Browser;
use crate::harness::World;
use crate::sso::{SECRET, provider};

// control: IDN-15
#[tokio::test]
async fn an_organization_connects_its_provider_and_people_sign_in_with_it_without_script() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    sign_in(&page, &world, "olivia").await;
    let settings = format!("{}/settings", world.acme.url());
    page.goto(&world.url(&settings)).await;
    make_passkey(&page).await;
    page.wait_for_url("/settings").await;

    page.loads(page.click_text("a", "Add a domain")).await;
    page.fill("#f-name", "acme.test").await;
    page.fill("#f-reason", "Everybody has an address in it").await;
    page.loads(page.click_text("button", "Add domain")).await;
    page.loads(page.click_text("button", "Verify")).await;
    assert!(!page.text("main").await.contains("Verified"), "its DNS has no record yet");
    page.goto(&world.url(&settings)).await;
    let codes = page.text("main").await;
    let record = codes.split_whitespace().find(|word| word.starts_with("holdfast-domain=")).unwrap().to_owned();
    world.dns.say("_holdfast.acme.test", &[&record]);
    page.loads(page.click_text("button", "Verify")).await;
    assert!(page.text("main").await.contains("Verified"), "{}", page.text("main").await);

    let idp = provider(&world, world.acme).await;
    page.loads(page.click_text("a", "Connect your identity provider")).await;
    page.fill("#f-issuer", &idp.issuer()).await;
    page.fill("#f-client_id", "holdfast at acme").await;
    page.fill("#f-client_secret", SECRET).await;
    page.fill("#f-reason", "Everybody has an account there").await;
    page.loads(page.click_text("button", "Test and save")).await;
    assert!(page.text("main").await.contains(&idp.issuer()), "{}", page.text("main").await);
    look(&page, "/settings-with-provider").await;
    page.goto(&world.url(&format!("{}/invitations/new", world.acme.url()))).await;
    page.fill("#f-email", "wanda@acme.test").await;
    page.click("#f-role-viewer").await;
    page.fill("#f-reason", "Works here").await;
    page.loads(page.click_text("button", "Send invitation")).await;
    // One error: the verification that failed was answered with its status.
    let errors: Vec<_> = page.console_errors().into_iter().filter(|error| !error.contains("/verify")).collect();
    assert!(errors.is_empty(), "{errors:?}");

    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.disable_script(true).await;
    page.goto(&world.url("/sign-in")).await;
    page.loads(page.click_text("a", "Sign in with your organization")).await;
    page.fill("#f-email", "wanda@acme.test").await;
    page.loads(page.click_text("button", "Continue")).await;
    // Whose provider it is, before the browser goes there.
    page.click(".gate button[type=submit]").await;
    page.wait_for_url(&idp.issuer()).await;
    page.click("[data-person=wanda]").await;
    page.wait_for_url("/organizations").await;
    page.goto(&world.url("/invitations")).await;
    page.loads(page.click_text("button", "Join")).await;
    page.goto(&world.url(&world.acme.contacts())).await;
    page.wait_for("main table").await;
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
    let session = world.sessions().await.pop().unwrap();
    assert_eq!(session["sso_tenant_id"], world.acme.organization.to_string());
}
