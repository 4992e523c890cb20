//! Errors: the right class, a page or a problem document by what was asked for, the id of the request, nothing else.

use serde_json::Value;
use sqlx::Executor;

use super::assert_one_line;
use super::headers::assert_guarded;
use crate::harness::{Answer, Client, World, log};

/// Asks the same as a person and as a program, and checks both answers.
async fn assert_error(status: u16, as_person: Answer, as_program: Answer) {
    for answer in [&as_person, &as_program] {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_guarded(answer);
        assert_one_line(answer);
    }
    assert_eq!(as_person.header("content-type"), "text/html; charset=utf-8");
    assert!(as_person.body.contains(&format!("Error {status}")), "{}", as_person.text());
    assert!(as_person.body.contains(as_person.request_id()), "{}", as_person.text());

    assert_eq!(as_program.header("content-type"), "application/problem+json");
    let problem: Value = serde_json::from_str(&as_program.body).unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["instance"], format!("urn:uuid:{}", as_program.request_id()));
    assert!(problem["title"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
}

async fn get_both(status: u16, client: &Client, path: &str) -> Answer {
    let (person, program) = (client.clone().get(path).await, client.clone().program().get(path).await);
    let again = client.clone().program().get(path).await;
    assert_error(status, person, program).await;
    again
}

async fn post_both(status: u16, client: &Client, path: &str, kind: &'static str, body: &str) {
    let person = client.clone().post_body(path, kind, body.to_owned()).await;
    let program = client.clone().program().post_body(path, kind, body.to_owned()).await;
    assert_error(status, person, program).await;
}

const FORM: &str = "application/x-www-form-urlencoded";

// control: API-02
#[tokio::test]
async fn each_kind_of_error_has_its_status_its_page_and_its_problem_document() {
    let world = World::start().await;
    let (olivia, vera, stranger) = (world.sign_in("olivia").await, world.sign_in("vera").await, world.stranger());
    let contacts = world.acme.contacts();
    get_both(400, &stranger, "/signed-out?state=made-up").await;
    post_both(400, &stranger, "/sign-in/dev", FORM, "return_to=%ff").await;
    post_both(401, &stranger, "/organizations", FORM, "name=x").await;
    get_both(403, &vera, &format!("{contacts}/new")).await;
    get_both(404, &olivia, "/nowhere").await;
    get_both(404, &olivia, &world.globex.url()).await;
    post_both(405, &olivia, "/account", FORM, "").await;
    let last_owner = format!("{}/members/{}/remove", world.acme.url(), world.user("olivia").await);
    post_both(409, &olivia, &last_owner, FORM, "reason=going+away").await;
    post_both(413, &olivia, &contacts, FORM, &format!("name={}", "x".repeat(65_536))).await;
    post_both(415, &olivia, &contacts, "application/json", "{\"name\":\"x\"}").await;
    post_both(422, &olivia, &contacts, FORM, "name=x&colour=red").await;

    let refused = stranger.clone().program().get("/account").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Session"));
    let sent = stranger.clone().get("/account?a=b").await;
    assert_eq!((sent.status, sent.location()), (303, "/sign-in?return_to=%2Faccount%3Fa%3Db"));
    let refused = olivia.clone().post("/account", &[]).await;
    assert_eq!(refused.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_fault_of_ours_tells_the_log_everything_and_the_client_its_reference() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    world.database.owner().await.execute("alter table tenant.contacts rename column email to email_was").await.unwrap();
    let answer = get_both(500, &olivia, &world.acme.contacts()).await;
    let page = olivia.clone().get(&world.acme.contacts()).await;
    for told in [&answer.body, &page.body] {
        for inside in ["column", "email", "select", "tenant.", "postgres", "sqlx", "crates/", "panicked"] {
            assert!(!told.to_ascii_lowercase().contains(inside), "{inside}: {told}");
        }
    }
    let errors: Vec<_> =
        log::lines_of(answer.request_id()).into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0]["error"].as_str().unwrap().contains("email"), "{errors:?}");
}

#[tokio::test]
async fn a_field_error_names_the_field_for_programs_too() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await.program();
    let answer = olivia.post(&world.acme.contacts(), &[("name", ""), ("email", "nobody")]).await;
    assert_eq!(answer.status, 422);
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["email", "name"]);
}
