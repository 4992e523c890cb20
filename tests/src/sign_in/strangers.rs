//! Unauthenticated requests never lock out anybody else, not even behind the same address.

use reqwest::Method;

use super::proof_of_work::solve;
use crate::api::ApiClient;
use crate::harness::changes::form_for;
use crate::harness::passkey::{Authenticator, enrol};
use crate::harness::{Answer, Client, World, registry};

const FORM: &str = "application/x-www-form-urlencoded";

/// Method, path, headers, form.
type Nonsense = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Requests that show nothing. `{n}` is another number each time.
const NONSENSE: [Nonsense; 20] = [
    ("POST", "/sign-in/dev", &[], ""),
    ("POST", "/sign-in/dev", &[], "challenge=x{n}&solution=1"),
    ("POST", "/sign-in/o-018f0000-0000-7000-8000-000000000000", &[], ""),
    ("GET", "/sign-in/dev/callback?state=x{n}&code=y", &[], ""),
    ("GET", "/sign-in/dev/callback?state=x{n}&code=y", &[("cookie", "__Host-Http-login=x{n}")], ""),
    ("POST", "/sign-in/passkey/options", &[], ""),
    ("POST", "/sign-in/passkey", &[("cookie", "__Host-Http-ceremony-sign_in=x{n}")], "credential={}"),
    ("POST", "/sign-in/link", &[], "email=vera@example.com"),
    ("POST", "/sign-in/link", &[], "email=x{n}@example.com"),
    ("POST", "/sign-in/link/confirm", &[("cookie", "__Host-Http-link=x{n}")], "token=x{n}"),
    ("POST", "/sign-in/organization", &[], "email=vera@x{n}.example"),
    ("POST", "/sign-in/dev/back-channel-logout", &[], "logout_token=x.y{n}.z"),
    (
        "POST",
        "/api/oauth/token",
        &[],
        "grant_type=client_credentials&client_id=018f0000-0000-7000-8000-{n}&client_secret=x",
    ),
    ("POST", "/api/oauth/token", &[], "grant_type=client_credentials&client_id=x{n}"),
    ("POST", "/api/oauth/token", &[("authorization", "Basic x{n}")], "grant_type=client_credentials"),
    ("POST", "/api/oauth/revoke", &[], "token=x&client_id=018f0000-0000-7000-8000-{n}&client_secret=x"),
    ("GET", "/api/v1/o/x/w/x/contacts", &[("authorization", "Bearer x.y.{n}")], ""),
    ("GET", "/api/v1/o/x/w/x/contacts", &[("authorization", "DPoP x.y.{n}"), ("dpop", "x.y.{n}")], ""),
    ("GET", "/api/v1/o/x/w/x/contacts", &[("signature-input", "sig=()"), ("signature", "sig=:x{n}:")], ""),
    ("POST", "/recovery", &[], "code=AAAA-BBBB-CCCC-DDDD"),
];

/// 2.5 requests a second, for a minute.
async fn flood(world: &World, (method, path, headers, form): (&str, &str, &[(&str, &str)], &str)) {
    let mut stranger = world.stranger();
    let own = format!("http://localhost:{}", world.address.port());
    for n in 0..150 {
        // The next request finds the limit after the last five.
        if n % 5 == 0 {
            world.wait(2);
        }
        let fill = |text: &str| text.replace("{n}", &format!("{n:012}"));
        let mut request = stranger.request(Method::from_bytes(method.as_bytes()).unwrap(), &fill(path));
        for (name, value) in headers {
            request = request.header(*name, fill(value));
        }
        if method == "POST" {
            request =
                request.header("content-type", FORM).header("origin", &own).header("sec-fetch-site", "same-origin");
            request = request.body(fill(form));
        }
        let answer = stranger.send(request).await;
        assert!(answer.status < 500, "{method} {path}: {}", answer.text());
        stranger = world.stranger();
    }
}

/// Sends a form as a browser with script does: where work is asked for, it is done.
async fn send(client: &mut Client, path: &str, form: &[(&str, &str)]) -> Answer {
    let answer = client.clone().program().post(path, form).await;
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let work = &document["proof_of_work"];
    let Some(challenge) = work["challenge"].as_str() else {
        client.take_cookies(&answer);
        return answer;
    };
    let solution = solve(challenge, work["bits"].as_u64().unwrap().try_into().unwrap(), true);
    client.post(path, &[form, &[("challenge", challenge), ("solution", &solution)]].concat()).await
}

/// Signs in through the provider, with a passkey and with a link, and gets a token for the API.
async fn everybody_else(world: &World, device: &mut Authenticator, program: &ApiClient, after: &str) {
    let mut client = world.stranger();
    let started = send(&mut client, "/sign-in/dev", &[("return_to", "/account")]).await;
    assert_eq!(started.status, 200, "{after}: {}", started.text());
    let location = world.idp.sign_in(&started.moves_on_to(), "nora").await.unwrap();
    let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!(answer.status, 200, "{after}: {}", answer.text());

    let mut client = world.stranger();
    let options = send(&mut client, "/sign-in/passkey/options", &[]).await;
    assert_eq!(options.status, 200, "{after}: {}", options.text());
    let credential = device.get(&serde_json::from_str(&options.body).unwrap()).to_string();
    let answer = client.post("/sign-in/passkey", &[("credential", &credential), ("return_to", "/account")]).await;
    assert_eq!(answer.status, 303, "{after}: {}", answer.text());

    let mut client = world.stranger();
    let sent = send(&mut client, "/sign-in/link", &[("email", "vera@example.com"), ("return_to", "/account")]).await;
    assert_eq!(sent.status, 200, "{after}: {}", sent.text());
    world.told("vera@example.com", "Your link to sign in").await;
    let opened = async {
        loop {
            for mail in world.mailbox.messages() {
                let Some((_, rest)) = mail.text.split_once("/sign-in/link/confirm?token=") else { continue };
                let token = rest.lines().next().unwrap();
                if client.post("/sign-in/link/confirm", &[("token", token)]).await.status == 303 {
                    return;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let opened = tokio::time::timeout(std::time::Duration::from_secs(30), opened).await;
    opened.unwrap_or_else(|_| panic!("{after}: no link"));

    program.token(world).await;
}

// control: API-01
// control: IDN-13
#[tokio::test]
async fn nonsense_of_a_neighbour_keeps_nobody_from_signing_in_nor_from_tokens() {
    let limits = [("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "60"), ("TOKENS__REQUESTS_PER_MINUTE", "60")];
    let world = World::start_with(&limits).await;
    let (mut vera, mut device) = (world.sign_in("vera").await, Authenticator::new(&world));
    assert_eq!(enrol(&mut vera, &mut device, "Hers").await.status, 303);
    world.change("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}' where name = 'Acme'").await;
    let program = ApiClient::editor(&world).await;
    for nonsense in NONSENSE {
        flood(&world, nonsense).await;
        everybody_else(&world, &mut device, &program, &format!("{nonsense:?}")).await;
        // They do not sign in with links every minute.
        world.wait(600);
    }
}

// control: API-01
#[tokio::test]
async fn wrong_secrets_count_for_their_client_alone() {
    let world = World::start().await;
    let (one, other) = (ApiClient::editor(&world).await, ApiClient::editor(&world).await);
    for _ in 0..50 {
        assert_ne!(one.with_secret("wrong").ask(&world, &[("grant_type", "client_credentials")]).await.status, 200);
    }
    other.token(&world).await;
    let refused = one.ask(&world, &[("grant_type", "client_credentials")]).await;
    assert_eq!(refused.status, 429, "of one client nobody tries without end: {}", refused.body);
    assert_eq!(world.events("api_token.refused").await.len(), 3, "and fills no trail");
}

/// Routes that begin a sign-in. What they let in is counted for the network, and after its first part needs work.
const BEGIN: [&str; 4] = ["/sign-in/{provider}", "/sign-in/passkey/options", "/sign-in/link", "/sign-in/organization"];

// control: API-01
#[tokio::test]
async fn what_a_stranger_sends_anywhere_else_is_counted_nowhere_and_leaves_no_event() {
    let world = World::start().await;
    let samples = world.samples().await;
    world.change("delete from identity.rate_limits").await;
    let traces = "select (select count(*) from identity.rate_limits) + (select count(*) from audit.events)";
    let before = world.database.count(traces).await;
    let mut asked = 0;
    for row in registry().table().to_vec() {
        if row.method == "POST" && BEGIN.contains(&&*row.path) {
            continue;
        }
        let mut stranger = world.stranger();
        for cookie in ["login", "link", "ceremony-sign_in", "session", "recovery", "step-up"] {
            stranger.set_cookie(cookie, "invented");
        }
        let path = samples.path(&row.path);
        let answer = match row.method {
            "POST" if !row.api => stranger.post(&path, &form_for(&row.path)).await,
            "GET" if row.path.ends_with("/callback") => {
                stranger.get_from_elsewhere(&format!("{path}?state=invented&code=invented")).await
            }
            method => {
                let request = stranger.request(Method::from_bytes(method.as_bytes()).unwrap(), &path);
                stranger.send(request.header("authorization", "Bearer invented")).await
            }
        };
        assert!(answer.status < 500, "{} {path}: {}", row.method, answer.text());
        assert_eq!(world.database.count(traces).await, before, "{} {path}: {}", row.method, answer.text());
        asked += 1;
    }
    assert_eq!(asked, registry().table().len() - BEGIN.len());
}
