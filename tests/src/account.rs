//! The page of the own account.

use crate::harness::World;

#[tokio::test]
async fn the_account_page_shows_who_one_is_and_how_one_came() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let page = olivia.get("/account").await;
    assert_eq!(page.status, 200);
    for shown in
        ["Olivia Owner", "olivia@example.com", "Chrome on Linux", "127.0.0.0/24", &world.idp.issuer(), "oidc, pwd"]
    {
        assert!(page.body.contains(shown), "{shown}: {}", page.text());
    }
}
