//! How often anybody may try to sign in.

use devkit::idp::LogoutFault;

use crate::harness::passkey::options;
use crate::harness::{Answer, Client, World};

const PROXY: (&str, &str) = ("HTTP__PROXIES", "1");
const FEW: (&str, &str) = ("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "4");
const NO_PROOF_OF_WORK: (&str, &str) = ("AUTHN__LIMITS__FREE_PERCENT", "100");

async fn start(client: &Client) -> (u16, String) {
    let answer = client.clone().post("/sign-in/dev", &[("return_to", "/account")]).await;
    (answer.status, answer.header("retry-after").to_owned())
}

// control: IDN-13
// control: API-01
#[tokio::test]
async fn a_network_starts_so_many_sign_ins_at_once_and_then_one_after_the_other() {
    let world = World::start_with(&[PROXY, FEW, NO_PROOF_OF_WORK]).await;
    let one = world.stranger().at_address("198.51.100.7");
    let neighbour = world.stranger().at_address("198.51.100.200");
    let (a, b, c, d, e, f) =
        tokio::join!(start(&one), start(&one), start(&neighbour), start(&one), start(&one), start(&neighbour));
    let mut statuses = [a.0, b.0, c.0, d.0, e.0, f.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429], "of one network together, even in parallel");
    assert_eq!(start(&one).await, (429, "15".to_owned()));
    assert_eq!(start(&world.stranger().at_address("203.0.113.9")).await.0, 200, "others are not held up");
    world.wait(14);
    assert_eq!(start(&one).await.0, 429);
    world.wait(1);
    assert_eq!([start(&one).await.0, start(&one).await.0], [200, 429], "one more");
    world.wait(600);
    for expected in [200, 200, 200, 200, 429] {
        assert_eq!(start(&one).await.0, expected, "never more at once, even after a long pause");
    }
    assert_eq!(world.traces().await.logins, 10, "what was refused left nothing behind");
}

// control: API-01
#[tokio::test]
async fn an_answer_says_what_is_left_and_when_there_is_more() {
    let world = World::start_with(&[PROXY, FEW, NO_PROOF_OF_WORK]).await;
    let mut client = world.stranger().at_address("198.51.100.7");
    let told = |answer: &Answer| {
        let fields = ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| answer.header(name).to_owned());
        fields.join(" | ")
    };
    let started = client.post("/sign-in/dev", &[]).await;
    assert_eq!(told(&started), "\"start\";q=4;w=60 | \"start\";r=3;t=15 | ");
    world.wait(5);
    let options = client.clone().program().post("/sign-in/passkey/options", &[]).await;
    assert_eq!(told(&options), "\"start\";q=4;w=60 | \"start\";r=2;t=10 | ");
    for left in [1, 0] {
        let started = client.post("/sign-in/dev", &[]).await;
        assert_eq!(started.header("ratelimit"), format!("\"start\";r={left};t=10"));
    }
    for mut refused in [client.clone(), client.clone().program()] {
        let refused = refused.post("/sign-in/dev", &[]).await;
        assert_eq!(told(&refused), "\"start\";q=4;w=60 | \"start\";r=0;t=10 | 10");
    }
    world.wait(10);
    let answer = client.get_from_elsewhere("/sign-in/dev/callback?state=x&code=y").await;
    assert!(
        answer.status == 400 && told(&answer).starts_with("\"network\";q="),
        "an answer to nothing has no limit of its own"
    );
    let started = client.post("/sign-in/dev", &[]).await;
    assert_eq!(told(&started), "\"start\";q=4;w=60 | \"start\";r=0;t=15 | ", "one more, as was said");
    let page = told(&client.get("/sign-in").await);
    assert!(page.starts_with("\"network\";q="), "where nothing else is counted: {page}");
}

// control: IDN-13
#[tokio::test]
async fn somebody_signed_in_proves_passkeys_so_often_at_once() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let answers: [(_, &[_]); 2] =
        [("/step-up", &[("credential", "{}")]), ("/account/passkeys", &[("credential", "{}"), ("name", "One")])];
    for number in 0..30 {
        let (path, form) = answers[number % 2];
        let answer = erin.post(path, form).await;
        assert_eq!(answer.status, 400, "{number}: {}", answer.text());
    }
    for (path, form) in answers {
        let refused = erin.post(path, form).await;
        assert_eq!((refused.status, refused.header("ratelimit")), (429, "\"proof\";r=0;t=20"), "{path}");
    }
    for number in 0..30 {
        let path = ["/step-up/options", "/account/passkeys/options"][number % 2];
        let asked = erin.clone().program().post(path, &[]).await;
        assert_ne!(asked.status, 429, "{number}");
    }
    for path in ["/step-up/options", "/account/passkeys/options"] {
        assert_eq!(erin.clone().program().post(path, &[]).await.status, 429, "{path}");
    }
    let mut vera = world.sign_in("vera").await;
    assert_eq!(vera.post("/step-up", &[("credential", "{}")]).await.status, 400, "others are not affected");
}

// control: API-01
#[tokio::test]
async fn a_provider_has_its_own_limit_of_logout_tokens() {
    let world = World::start().await;
    let post = async |token: &str| {
        let form = [("logout_token", token)];
        world.stranger().program().post("/sign-in/dev/back-channel-logout", &form).await
    };
    let notice = || world.idp.logout_token("holdfast", Some("olivia"), None, LogoutFault::None);
    let nonsense = post("x.y.z").await;
    assert_eq!(nonsense.status, 400);
    assert!(nonsense.header("ratelimit").starts_with("\"network\""), "{}", nonsense.header("ratelimit"));
    let first = post(&notice()).await;
    assert_eq!((first.status, first.header("ratelimit")), (200, "\"logout notice\";r=5999;t=1"));
    assert_eq!(world.change("update identity.rate_limits set tat = tat + interval '1 minute'").await, 1);
    assert_eq!((post(&notice()).await.status, post("x.y.z").await.status), (429, 400));
}

// control: API-01
#[tokio::test]
async fn what_others_have_done_with_an_address_is_told_to_nobody() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let form = [("email", "new@example.org"), ("role", "viewer"), ("reason", "Helps with the move")];
    let invited = olivia.post(&format!("{}/invitations", world.acme.url()), &form).await;
    assert_eq!(invited.header("ratelimit"), "\"invitation\";r=29;t=120", "{}", invited.text());
}

// control: IDN-13
// control: API-01
#[tokio::test]
async fn the_other_ways_in_are_limited_alike_and_say_the_same_to_everybody() {
    let world = World::start_with(&[PROXY, FEW, NO_PROOF_OF_WORK]).await;
    let client = world.stranger().at_address("198.51.100.7");
    for _ in 0..4 {
        options(&mut client.clone(), "/sign-in/passkey/options").await;
    }
    let refused = client.clone().post("/sign-in/passkey/options", &[]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("Too many attempts"), "{}", refused.text());
    let program = client.clone().program().post("/sign-in/passkey/options", &[]).await;
    assert_eq!((program.status, program.header("content-type")), (429, "application/problem+json"));
    assert_eq!(client.clone().get("/sign-in").await.status, 200, "pages are shown all the same");
}

// control: API-01
#[tokio::test]
async fn limits_hold_across_instances_and_leave_one_row() {
    let world = World::start_with(&[FEW, NO_PROOF_OF_WORK]).await;
    let other = World::start_on(world.database.clone(), "", &[FEW, NO_PROOF_OF_WORK]).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(start(&world.stranger()).await.0);
        statuses.push(start(&other.stranger()).await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    world.wait(60);
    for _ in 0..2 {
        assert_eq!(start(&world.stranger()).await.0, 200);
    }
    assert_eq!(world.database.count("select count(*) from identity.rate_limits").await, 1, "one row for the network");
}
