//! The work that is asked for where many come from one network.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{Answer, Client, World};

const PROXY: (&str, &str) = ("HTTP__PROXIES", "1");
const FEW: (&str, &str) = ("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "6");

/// A number whose hash with the challenge begins with so many zero bits, and no more if it is not to do.
pub(super) fn solve(challenge: &str, bits: u32, enough: bool) -> String {
    let challenge = URL_SAFE_NO_PAD.decode(challenge).unwrap();
    let mark = &challenge[challenge.len() - 32..];
    let zeros = |number: u32| {
        let hash = Sha256::new().chain_update(mark).chain_update(number.to_be_bytes()).finalize();
        u64::from_be_bytes(hash[..8].try_into().unwrap()).leading_zeros()
    };
    let fits = |number: &u32| if enough { zeros(*number) >= bits } else { zeros(*number) == bits - 1 };
    (0..).find(fits).unwrap().to_string()
}

/// The challenge that a program is given, and its bits.
async fn asked(client: &Client, path: &str) -> (String, u32) {
    let answer = client.clone().program().post(path, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (429, "application/problem+json"), "{}", answer.body);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let work = &document["proof_of_work"];
    (work["challenge"].as_str().unwrap().to_owned(), work["bits"].as_u64().unwrap().try_into().unwrap())
}

/// A challenge and its solution.
async fn solved(client: &Client, path: &str) -> (String, String) {
    let (challenge, bits) = asked(client, path).await;
    let solution = solve(&challenge, bits, true);
    (challenge, solution)
}

async fn send(client: &Client, path: &str, work: &(String, String)) -> Answer {
    client.clone().post(path, &[("challenge", &work.0), ("solution", &work.1)]).await
}

/// A world, and a client whose network has used up the sign-ins without a proof of work: three of six.
async fn busy() -> (World, Client) {
    let world = World::start_with(&[PROXY, FEW]).await;
    let client = world.stranger().at_address("198.51.100.7");
    for _ in 0..3 {
        assert_eq!(client.clone().post("/sign-in/dev", &[]).await.status, 200);
    }
    (world, client)
}

// control: IDN-14
#[tokio::test]
async fn sign_ins_after_the_first_part_of_the_limit_need_a_proof_of_work_and_none_exceed_it() {
    let (world, mut client) = busy().await;
    let page = client.post("/sign-in/dev", &[("return_to", "/account?a=\"b"), ("reauthenticate", "yes")]).await;
    assert_eq!((page.status, page.header("retry-after")), (429, "10"), "{}", page.text());
    assert_eq!(page.header("ratelimit"), "\"start\";r=3;t=10", "what is left for those who work");
    for part in [
        "data-bits=\"18\"",
        "action=\"/sign-in/dev\"",
        "name=\"reauthenticate\" value=\"yes\"",
        "try again in 10 seconds",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(page.body.contains("name=\"return_to\" value=\"/account?a=&#34;b\""), "{}", page.body);
    assert_eq!(world.stranger().at_address("203.0.113.9").post("/sign-in/dev", &[]).await.status, 200, "elsewhere");

    let before = world.everything_stored().await;
    let mut works = Vec::new();
    for path in ["/sign-in/dev", "/sign-in/passkey/options", "/sign-in/dev", "/sign-in/dev"] {
        works.push((path, solved(&client, path).await));
    }
    assert_eq!(world.everything_stored().await, before, "to be asked leaves nothing behind");
    for (number, (path, work)) in works.iter().enumerate() {
        let answer = send(&client, path, work).await;
        assert_eq!(answer.status, if number < 3 { 200 } else { 429 }, "{number}: {}", answer.text());
        assert_eq!(answer.header("ratelimit"), format!("\"start\";r={};t=10", 2_usize.saturating_sub(number)));
    }
    let refused = client.clone().program().post("/sign-in/dev", &[]).await;
    assert!(refused.status == 429 && !refused.body.contains("proof_of_work"), "{}", refused.body);
    world.wait(10);
    assert_eq!(send(&client, works[3].0, &works[3].1).await.status, 200, "what was refused is not used up");
}

// control: IDN-14
#[tokio::test]
async fn a_solution_counts_once_in_any_spelling() {
    let (_world, client) = busy().await;
    let work = solved(&client, "/sign-in/dev").await;
    let (one, two) = tokio::join!(send(&client, "/sign-in/dev", &work), send(&client, "/sign-in/dev", &work));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429], "two at once");
    assert_eq!(send(&client, "/sign-in/dev", &work).await.status, 429, "again");
    let mut end = work.0.clone();
    let last = end.pop().unwrap();
    let neighbour = char::from_u32(u32::from(last) + 1).unwrap();
    for (challenge, number) in [
        (format!("{end}{neighbour}"), work.1.clone()),
        (format!("{}=", work.0), work.1.clone()),
        (work.0.clone(), format!("0{}", work.1)),
        (work.0.clone(), format!("+{}", work.1)),
    ] {
        let answer = send(&client, "/sign-in/dev", &(challenge, number)).await;
        assert_eq!(answer.status, 429, "{}", answer.text());
    }
}

// control: IDN-14
#[tokio::test]
async fn a_solution_is_for_its_network_its_endpoint_and_five_minutes() {
    let (world, client) = busy().await;
    let neighbour = world.stranger().at_address("203.0.113.9");
    for _ in 0..3 {
        assert_eq!(neighbour.clone().post("/sign-in/dev", &[]).await.status, 200);
    }
    let (challenge, bits) = asked(&client, "/sign-in/dev").await;
    let work = (challenge.clone(), solve(&challenge, bits, true));
    assert_eq!(send(&neighbour, "/sign-in/dev", &work).await.status, 429, "another network");
    assert_eq!(send(&client, "/sign-in/passkey/options", &work).await.status, 429, "another endpoint");
    let little = (challenge.clone(), solve(&challenge, bits, false));
    assert_eq!(send(&client, "/sign-in/dev", &little).await.status, 429, "too little work");
    let mut forged = URL_SAFE_NO_PAD.decode(&challenge).unwrap();
    forged[7] ^= 1; // a second more or less
    let forged = (URL_SAFE_NO_PAD.encode(forged), work.1.clone());
    assert_eq!(send(&client, "/sign-in/dev", &forged).await.status, 429, "a challenge that was changed");
    for (challenge, solution) in
        [("", ""), ("x", "y"), (&*challenge, ""), (&*challenge, "-1"), (&"A".repeat(60_000), "1")]
    {
        let nonsense = (challenge.to_owned(), solution.to_owned());
        assert_eq!(send(&client, "/sign-in/dev", &nonsense).await.status, 429, "{solution}");
    }
    let late = solved(&client, "/sign-in/dev").await;
    assert_eq!(send(&client, "/sign-in/dev", &work).await.status, 200);
    world.wait(300);
    for _ in 0..3 {
        assert_eq!(client.clone().post("/sign-in/dev", &[]).await.status, 200);
    }
    assert_eq!(send(&client, "/sign-in/dev", &late).await.status, 429, "too old");
    world.wait(1);
    let work = solved(&client, "/sign-in/dev").await;
    assert_eq!(send(&client, "/sign-in/dev", &work).await.status, 200);
}

// control: IDN-14
#[tokio::test]
async fn without_script_somebody_waits_and_sends_the_same_form() {
    let (world, mut client) = busy().await;
    let page = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
    let challenge = page.body.split("name=\"challenge\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = [("return_to", "/account"), ("reauthenticate", ""), ("challenge", challenge), ("solution", "")];
    assert_eq!(client.post("/sign-in/dev", &form).await.status, 429);
    world.wait(10);
    assert_eq!(client.post("/sign-in/dev", &form).await.status, 200);
}

#[tokio::test]
async fn work_is_asked_of_nobody_where_it_is_turned_off() {
    let world = World::start_with(&[PROXY, FEW, ("AUTHN__LIMITS__FREE_PERCENT", "100")]).await;
    let client = world.stranger().at_address("198.51.100.7");
    for _ in 0..6 {
        assert_eq!(client.clone().post("/sign-in/dev", &[]).await.status, 200);
    }
    let refused = client.clone().program().post("/sign-in/dev", &[]).await;
    assert!(refused.status == 429 && !refused.body.contains("proof_of_work"), "{}", refused.body);
}

// control: IDN-14
#[tokio::test]
async fn a_link_by_mail_takes_the_work_as_well() {
    let (_world, mut client) = busy().await;
    let page = client.post("/sign-in/link", &[("email", "vera@example.com"), ("return_to", "/account")]).await;
    assert_eq!(page.status, 429, "{}", page.text());
    for part in ["action=\"/sign-in/link\"", "name=\"email\" value=\"vera@example.com\""] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    let challenge =
        page.body.split("name=\"challenge\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let solution = solve(&challenge, 18, true);
    let fields = [("email", "vera@example.com"), ("challenge", &*challenge), ("solution", &*solution)];
    assert_eq!(client.clone().post("/sign-in/dev", &[fields[1], fields[2]]).await.status, 429, "it is for the link");
    assert_eq!(client.post("/sign-in/link", &fields).await.status, 200);
}
