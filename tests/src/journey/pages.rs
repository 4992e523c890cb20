use std::path::Path;

use super::{make_passkey, sign_in};
use crate::browser::{Browser, Page};
use crate::harness::World;

/// Saves pictures of the page, wide and narrow, light and dark, where `HOLDFAST_SCREENSHOTS` names a directory for them.
pub(super) async fn look(page: &Page, path: &str) {
    let Ok(directory) = std::env::var("HOLDFAST_SCREENSHOTS") else { return };
    let name: String =
        path.split('/').map(|part| if part.len() == 36 { "x" } else { part }).collect::<Vec<_>>().join("-");
    for (size, (width, height)) in [("narrow", (360, 800)), ("wide", (1280, 900))] {
        page.set_size(width, height).await;
        for (light, dark) in [("light", false), ("dark", true)] {
            page.set_dark(dark).await;
            while page.eval("document.getAnimations().length").await != 0 {} // colours that are still changing
            page.screenshot(&Path::new(&directory).join(format!("page{name}-{size}-{light}.png"))).await;
        }
    }
    page.set_dark(false).await;
}

#[tokio::test]
async fn every_control_has_a_name_and_the_keyboard_reaches_the_content() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    page.goto(&world.url("/sign-in")).await;
    look(&page, "/sign-in").await;
    for path in ["/sign-in/organization", "/sign-in/link", "/sign-in/link/confirm?token=x"] {
        page.goto(&world.url(path)).await;
        assert_eq!(page.unlabeled_controls().await, Vec::<String>::new(), "{path}");
        look(&page, path.split('?').next().unwrap()).await;
    }
    sign_in(&page, &world, "olivia").await;
    page.goto(&world.url(&world.acme.url())).await;
    look(&page, "/first-passkey").await;
    make_passkey(&page).await;
    let passkey = format!("/account/passkeys/{}", world.first_passkey("olivia").await);
    let contacts = world.acme.contacts();
    let contact = format!("{contacts}/{}", world.contact(world.acme).await);
    let invitation = world.new_invitation(world.acme).await;
    let domain = world.new_domain(world.acme).await;
    world.new_provider(world.acme).await;
    world.new_client(world.acme).await;
    world.new_invitation_to("olivia").await;
    world.new_elevation(world.acme).await;
    world.new_approval(world.acme).await;
    world.new_failed_job(world.acme).await;
    world.manage_viewer(world.acme).await;
    world.new_members(world.acme, &["Many Members"; 20]).await;
    let invitations = format!("{}/invitations", world.acme.url());
    let vera = format!("{}/members/{}", world.acme.url(), world.user("vera").await);
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    let another_owner = format!("{}/members/{}", world.acme.url(), world.user("adam").await);
    for path in [
        "/api",
        "/account",
        "/account/passkeys",
        "/account/passkeys/new",
        &format!("{passkey}/rename"),
        &format!("{passkey}/remove"),
        "/account/email",
        "/account/sessions",
        "/account/recovery",
        "/account/authenticator",
        "/invitations",
        "/recovery",
        "/step-up",
        "/resume",
        "/organizations",
        "/organizations/new",
        &world.acme.url(),
        &format!("{}/workspaces/new", world.acme.url()),
        &format!("{}/members", world.acme.url()),
        &invitations,
        &format!("{invitations}/new"),
        &format!("{invitations}/{invitation}/revoke"),
        &format!("{}/settings", world.acme.url()),
        &format!("{}/clients", world.acme.url()),
        &format!("{}/clients/new", world.acme.url()),
        &format!("{}/settings/sign-in", world.acme.url()),
        &format!("{}/settings/provider", world.acme.url()),
        &format!("{}/settings/provider/remove", world.acme.url()),
        &format!("{}/settings/domains/new", world.acme.url()),
        &format!("{}/settings/domains/{domain}/remove", world.acme.url()),
        &format!("{vera}/role"),
        &format!("{vera}/end-sessions"),
        &format!("{vera}/remove"),
        &format!("{vera}/reset-factors"),
        &format!("{another_owner}/role"),
        &format!("{another_owner}/remove"),
        &format!("{}/approvals", world.acme.url()),
        &format!("{}/delete", world.acme.url()),
        &format!("{}/elevations", world.acme.url()),
        &format!("{}/elevations/new", world.acme.url()),
        &format!("{}/activity", world.acme.url()),
        &format!("{}/failed-jobs", world.acme.url()),
        &contacts,
        &format!("{contacts}/new"),
        &contact,
        &format!("{contact}/edit"),
        &format!("{contact}/delete"),
    ] {
        page.goto(&world.url(path)).await;
        assert_eq!(page.unlabeled_controls().await, Vec::<String>::new(), "{path}");
        page.press("Tab").await;
        assert!(page.exists("a.skip:focus-visible").await, "{path}: the first stop skips to the content");
        assert_eq!(page.eval("document.querySelectorAll('h1').length").await, 1, "{path}");
        page.set_size(360, 800).await;
        let wide = page.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wide, 0, "{path} scrolls sideways on a telephone");
        // In Safari another display takes the meaning of a table from screen readers.
        let others = "[...document.querySelectorAll('table, table *')].filter(e => /^(TABLE|T[RHD]|THEAD|TBODY)$/.test(e.tagName) \
                      && !getComputedStyle(e).display.startsWith('table')).length";
        assert_eq!(page.eval(others).await, 0, "{path}: a table is none on a telephone");
        look(&page, path).await;
        page.set_size(1280, 900).await;
    }
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
}
