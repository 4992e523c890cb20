use std::path::Path;

use super::{make_passkey, sign_in};
use crate::browser::{Browser, Page};
use crate::harness::{World, browser_routes};

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

/// Pages that Olivia is not shown, though she is signed in. This list only shrinks.
const NOT_SHOWN: [&str; 1] = [
    // She has no authenticator app.
    "/account/authenticator/remove",
];

#[tokio::test]
async fn every_control_has_a_name_and_the_keyboard_reaches_the_content() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    let mut stranger = world.stranger();
    let (public, own): (Vec<_>, Vec<_>) =
        browser_routes().into_iter().filter(|row| row.method == "GET").partition(|row| row.guard == "Public");
    let public = public.iter().map(|row| &*row.path).filter(|path| !path.contains('{'));
    for path in public.chain(["/sign-in/link/confirm?token=x"]) {
        let answer = stranger.get(path).await;
        if answer.status == 200 && answer.header("content-type").starts_with("text/html") {
            look_through(&page, &world, path).await;
        }
    }
    page.goto(&world.url("/sign-in")).await;
    sign_in(&page, &world, "olivia").await;
    page.goto(&world.url(&world.acme.url())).await;
    look(&page, "/first-passkey").await;
    make_passkey(&page).await;
    let samples = world.samples().await;
    world.new_members(world.acme, &["Many Members"; 20]).await;
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    // An owner is changed and removed by two people, and the pages say so.
    let of_an_owner = samples.with("member", world.user("adam").await);
    let mut erin = world.sign_in("erin").await;
    for row in own {
        let path = samples.path(&row.path);
        if NOT_SHOWN.contains(&&*row.path) {
            assert_ne!(erin.get(&path).await.status, 200, "{path} is shown: it is no exception any more");
            continue;
        }
        look_through(&page, &world, &path).await;
        if ["ChangeMemberRole", "RemoveMember"].contains(&row.guard) {
            look_through(&page, &world, &of_an_owner.path(&row.path)).await;
        }
    }
    assert!(page.console_errors().is_empty(), "{:?}", page.console_errors());
}

/// One page, wide and narrow.
async fn look_through(page: &Page, world: &World, path: &str) {
    page.goto(&world.url(path)).await;
    let shown = "performance.getEntriesByType('navigation')[0].responseStatus + ' ' + location.pathname";
    let expected = format!("200 {}", path.split('?').next().unwrap());
    assert_eq!(page.eval(shown).await, expected, "the page that is looked at");
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
    look(page, path.split('?').next().unwrap()).await;
    page.set_size(1280, 900).await;
}
