use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::*;

#[tokio::test]
async fn a_click_leads_to_an_id_token() {
    let idp = provider().await;
    let metadata = json(&get(&idp, "/.well-known/openid-configuration").await.body);
    assert_eq!(metadata["issuer"], idp.issuer());
    let page = send("GET", &authorize_url(&idp, &[("login_hint", "bob@acme.test")]), "", "").await.unwrap();
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self' http://127.0.0.1:1"));
    assert!(page.body.contains("Development sign-in: not for production"));
    assert!(page.body.contains("owner of &lt;Acme&gt;") && page.body.contains("Ann &quot;A&quot; Arbor"));
    assert!(page.body.find("data-person=\"bob\"").unwrap() < page.body.find("data-person=\"ann\"").unwrap());

    let callback = idp.sign_in(&authorize_url(&idp, &[("acr_values", "urn:x:mfa urn:x:pwd")]), "ann").await.unwrap();
    assert!(callback.starts_with(CALLBACK), "{callback}");
    assert_eq!(parameter(&callback, "state"), ["the state"]);
    assert_eq!(parameter(&callback, "iss"), [idp.issuer()]);

    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode("app:s%26cret%3A+%3D%25"));
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &parameter(&callback, "code")[0]),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let answer = send("POST", &format!("{}/token", idp.issuer()), &basic, &form(&fields)).await.unwrap();
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.body);
    let tokens = json(&answer.body);
    let token = tokens["id_token"].as_str().unwrap();
    assert!(verified(&idp, token).await);
    let claims = part(token, 1);
    assert_eq!(claims["iss"], idp.issuer());
    assert_eq!((&claims["sub"], &claims["aud"], &claims["nonce"]), (&"ann".into(), &"app".into(), &"the-nonce".into()));
    assert_eq!((&claims["acr"], &claims["email"]), (&"urn:x:mfa".into(), &"ann@acme.test".into()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    let hash = Sha256::digest(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims["at_hash"], keys::base64url(&hash[..16]));
    assert_eq!(idp.sign_ins()[0].sid, claims["sid"].as_str().unwrap());
    let counts = idp.counts();
    assert_eq!((counts.discovery, counts.jwks, counts.authorize, counts.token), (1, 1, 2, 1));
}

#[tokio::test]
async fn a_wrong_request_never_leaves_the_provider() {
    let idp = provider().await;
    let longer = format!("{CALLBACK}&more");
    for changes in [("redirect_uri", longer.as_str()), ("redirect_uri", ""), ("client_id", "other"), ("client_id", "")]
    {
        let url = authorize_url(&idp, &[changes]);
        let posted = send("POST", &url, "", "person=ann").await.unwrap();
        for answer in [send("GET", &url, "", "").await.unwrap(), posted] {
            assert_eq!((answer.status, answer.header("location")), (400, None), "{changes:?}");
        }
    }
    let twice = format!("{}&state=again", authorize_url(&idp, &[]));
    assert_eq!(send("GET", &twice, "", "").await.unwrap().status, 400);
    let from_elsewhere = send("POST", &authorize_url(&idp, &[]), "Sec-Fetch-Site: cross-site\r\n", "person=ann").await;
    assert_eq!(from_elsewhere.unwrap().status, 403);
    let renamed = send("GET", &format!("{}/jwks.json", idp.issuer()), "Host: evil.test\r\n", "").await;
    assert_eq!(renamed.unwrap().status, 421);
}

#[tokio::test]
async fn other_mistakes_go_back_to_the_client() {
    let idp = provider().await;
    for (change, expected) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "profile"), "invalid_scope"),
        (("state", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("max_age", "soon"), "invalid_request"),
        (("prompt", "none"), "login_required"),
    ] {
        let answer = send("GET", &authorize_url(&idp, &[change]), "", "").await.unwrap();
        let target = answer.header("location").unwrap();
        assert_eq!((answer.status, parameter(target, "error")), (303, vec![expected.to_owned()]), "{change:?}");
        assert_eq!(parameter(target, "iss"), [idp.issuer()]);
    }
    let answer = send("POST", &authorize_url(&idp, &[]), "", "cancel=1").await.unwrap();
    let target = answer.header("location").unwrap();
    assert_eq!(
        (parameter(target, "error"), parameter(target, "state")),
        (vec!["access_denied".into()], vec!["the state".into()])
    );
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_verifier_and_minute() {
    let idp = provider().await;
    let used = code(&idp).await;
    assert_eq!(redeem(&idp, &used, &[]).await.status, 200);
    assert_eq!(error(&redeem(&idp, &used, &[]).await), (400, "invalid_grant".into()));
    let other_verifier = "another-horse-battery-staple-0123456789-abcdefg";
    for (change, expected) in [
        (("code_verifier", other_verifier), (400, "invalid_grant")),
        (("code_verifier", ""), (400, "invalid_request")),
        (("redirect_uri", "http://127.0.0.1:1/callback"), (400, "invalid_grant")),
        (("client_secret", "wrong"), (401, "invalid_client")),
        (("client_secret", ""), (401, "invalid_client")),
        (("grant_type", "password"), (400, "unsupported_grant_type")),
    ] {
        let (status, name) = error(&redeem(&idp, &code(&idp).await, &[change]).await);
        assert_eq!((status, name.as_str()), expected, "{change:?}");
    }
    let late = code(&idp).await;
    idp.set_clock_offset(61);
    assert_eq!(error(&redeem(&idp, &late, &[]).await), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn sign_out_returns_only_to_a_registered_address() {
    let idp = provider().await;
    let bye = form(&[("client_id", "app"), ("post_logout_redirect_uri", "http://127.0.0.1:1/bye"), ("state", "s 1")]);
    for (query, target) in [
        (bye.as_str(), Some("http://127.0.0.1:1/bye?state=s+1")),
        ("post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fother", None),
        ("", None),
    ] {
        let page = get(&idp, &format!("/end-session?{query}")).await;
        assert!(page.status == 200 && page.body.contains("Sign out of the development provider?"));
        let url = format!("{}/end-session?{query}", idp.issuer());
        let answer = send("POST", &url, "", "confirm=1").await.unwrap();
        assert_eq!(answer.header("location"), target);
        assert_eq!(answer.status, if target.is_some() { 303 } else { 200 });
    }
    let posted = send("POST", &format!("{}/end-session", idp.issuer()), "", &bye).await.unwrap();
    assert!(posted.status == 200 && posted.body.contains("state=s+1"));
}
