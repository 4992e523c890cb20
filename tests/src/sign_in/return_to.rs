//! The redirect after a sign-in leads only to pages of this site.

use crate::harness::World;

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    let world = World::start().await;
    for evil in [
        "https://evil.example/",
        "http:evil.example",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/%0d%0aLocation:%20https://evil.example/\r\n",
        " //evil.example",
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "/account#\"><script>",
        "/ü",
        "@evil.example",
        "",
        &format!("/{}", "a".repeat(512)),
    ] {
        let mut client = world.stranger();
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", evil).finish();
        let choose = client.get(&format!("/sign-in?{query}")).await;
        assert_eq!(choose.status, 200, "{evil:?}");
        assert!(choose.body.contains("name=\"return_to\" value=\"/\""), "{evil:?}: {}", choose.body);

        let started = client.post("/sign-in/dev", &[("return_to", evil)]).await;
        let location = world.idp.sign_in(&started.moves_on_to(), "nora").await.unwrap();
        let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
        assert_eq!((answer.status, answer.moves_on_to().as_str()), (200, "/"), "{evil:?}");
    }
}

#[tokio::test]
async fn a_page_of_this_site_is_returned_to_as_it_was_asked_for() {
    let world = World::start().await;
    for path in ["/organizations", "/o/1/members?x=1&y=%2F%22%3E", "/a'b;url=https:x,c", "/account?\"q\"=<b>&r"] {
        let mut client = world.stranger();
        let started = client.post("/sign-in/dev", &[("return_to", path)]).await;
        let location = world.idp.sign_in(&started.moves_on_to(), "nora").await.unwrap();
        let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
        let escaped = path.replace('&', "&#38;").replace('"', "&#34;").replace('\'', "&#39;");
        let escaped = escaped.replace('<', "&#60;").replace('>', "&#62;");
        if url::Url::parse(&format!("http://x{path}")).is_ok() && !path.contains(['"', '<']) {
            assert!(answer.body.contains(&format!("content=\"0;url={escaped}\"")), "{path}: {}", answer.body);
        } else {
            assert_eq!(answer.moves_on_to(), "/", "{path}: what is no plain path is not kept");
        }
    }
    let mut client = world.stranger();
    let unknown = client.post("/sign-in/dev", &[("return_to", "/"), ("provider", "x")]).await;
    assert_eq!(unknown.status, 422, "unknown fields are refused");
    let twice = client.post("/sign-in/dev", &[("return_to", "/"), ("return_to", "/account")]).await;
    assert_eq!(twice.status, 422);
    assert_eq!(client.get("/sign-in?return_to=/&x=1").await.status, 200, "what a page does not know is ignored");
    assert_eq!(client.get("/sign-in?return_to=/&return_to=/").await.status, 422);
    assert_eq!(world.traces().await.logins, 0);
}

#[tokio::test]
async fn the_pages_that_ask_for_an_address_keep_the_page_to_return_to() {
    let world = World::start().await;
    for path in ["/sign-in/link", "/sign-in/organization"] {
        for (return_to, kept) in [("%2Forganizations", "/organizations"), ("https%3A%2F%2Fevil.example", "/")] {
            let page = world.stranger().get(&format!("{path}?return_to={return_to}")).await;
            assert!(page.body.contains(&format!("name=\"return_to\" value=\"{kept}\"")), "{path}: {}", page.body);
        }
    }
}
