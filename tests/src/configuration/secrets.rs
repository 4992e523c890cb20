//! Secrets and people: not in logs, not in errors, not in answers, not in the audit trail.

use secrecy::ExposeSecret;

use super::{file, read};
use crate::harness::{World, browser_routes, log};

const SECRET: &str = "CANARY-SECRET";

// control: SUP-12
#[test]
fn a_secret_comes_from_a_file_or_the_environment_as_it_is() {
    let path = file("secret", "CANARY-SECRET from a file\n");
    let from = ("AUTHN__PROVIDERS__ACME__CLIENT_SECRET_FILE", path.to_str().unwrap());
    let config = read(None, &[("AUTHN__PROVIDERS__ACME__CLIENT_SECRET", ""), from]).unwrap();
    assert_eq!(config.authn.providers["acme"].client_secret.expose_secret(), "CANARY-SECRET from a file");
    // Text stays text, even if it looks like another type.
    for secret in ["1234567890", "0012", "true", "1e9", "-5", "[1]"] {
        let changes =
            [("AUTHN__PROVIDERS__ACME__CLIENT_SECRET", secret), ("AUTHN__PROVIDERS__ACME__CLIENT_ID", secret)];
        let provider = &read(None, &changes).unwrap().authn.providers["acme"];
        assert_eq!(provider.client_secret.expose_secret(), secret);
        assert_eq!(provider.client_id, secret);
    }
}

#[test]
fn a_setting_that_would_lead_nowhere_stops_the_start() {
    let error = read(None, &[("LOG__FILTER__X", "info")]).unwrap_err();
    assert_eq!(error, "HOLDFAST__LOG__FILTER__X: there is no such section");
    let number = file("number.toml", "[database]\nurl_file = 7\n");
    let error = read(Some(&number), &[("DATABASE__URL", "")]).unwrap_err();
    assert_eq!(error, "database.url_file: this names a file and must be text in quotes");
}

// control: SUP-12
#[test]
fn no_secret_is_in_what_is_printed_of_the_configuration_or_of_what_is_wrong_with_it() {
    let url = format!("postgres://web:{SECRET}@db.example/x?sslmode=verify-full");
    let secrets = [("DATABASE__URL", &*url), ("AUTHN__PROVIDERS__ACME__CLIENT_SECRET", SECRET)];
    let config = read(None, &secrets).unwrap();
    let printed = format!("{config:?} {config:#?}");
    assert!(!printed.contains(SECRET), "{printed}");
    assert!(printed.contains("holdfast"), "the rest is there: {printed}");

    let wrong = |name: &str, text: &str| {
        read(Some(&file(name, text)), &[("AUTHN__PROVIDERS__ACME__CLIENT_SECRET", ""), ("DATABASE__URL", "")])
            .unwrap_err()
    };
    for text in [
        "[authn.providers.acme]\nclient_secret = \"CANARY-SECRET\n",
        "[authn.providers.acme]\nclient_secret = CANARY-SECRET\n",
        "[authn.providers.acme]\nclient_secret = \"CANARY-SECRET\" x\n",
        "[authn.providers.acme]\nclient_secret = [\"CANARY-SECRET\"]\n",
        "[authn.providers.acme]\nclient_secret = { a = \"CANARY-SECRET\" }\n",
        "[database]\nurl = \"postgres://web:CANARY-SECRET@db\"\nurl = \"\"\n",
        "[database]\nurl = { password = \"CANARY-SECRET\" }\n",
    ] {
        let error = wrong("secret.toml", text);
        assert!(!error.contains("CANARY-SECRET"), "{text}: {error}");
    }
    for number in ["[authn.providers.acme]\nclient_secret = 48151623\n", "[database]\nurl = 48151623\n"] {
        let error = wrong("secret.toml", number);
        assert!(!error.contains("48151623"), "{error}");
        assert!(error.contains("client_secret") || error.contains("database.url"), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_told_of_without_its_password() {
    for url in ["postgres://web:CANARY-SECRET@127.0.0.1:1/x", "postgres://web:CANARY-SECRET@[::1/x", "CANARY-SECRET"] {
        let config = read(None, &[("DATABASE__URL", url)]).unwrap();
        let error = tenancy::Db::connect(&config.database, true).await.unwrap_err();
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains(SECRET), "{printed}");
    }
}

// control: OBS-01
// control: SUP-12
#[tokio::test]
async fn a_whole_day_of_work_leaves_no_secret_and_nobody_in_the_log() {
    let world = World::start().await;
    let samples = world.samples().await;
    let mut answers = Vec::new();
    let mut olivia = world.stranger();
    let callback = world.click_at_provider(&mut olivia, "olivia").await;
    let login = olivia.cookie("login").unwrap_or_default().to_owned();
    let query = callback.split_once('?').unwrap().1;
    let spent: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == "code" || key == "state")
        .map(|(_, value)| value.into_owned())
        .collect();
    assert_eq!(spent.len(), 2, "{callback}");
    answers.push(olivia.get_from_elsewhere(&callback).await);
    answers.push(world.stranger().get_from_elsewhere(&callback).await);
    let session = olivia.cookie("session").unwrap().to_owned();

    let person = [
        ("name", "Canary Contact"),
        ("email", "canary.contact@people.example"),
        ("phone", "+99 CANARY 1"),
        ("notes", "CANARY-NOTES"),
    ];
    let contact = olivia.post(&world.acme.contacts(), &person).await;
    let address = contact.location().to_owned();
    answers.push(contact);
    let full =
        [("name", "Canary Contact"), ("version", "1"), ("tax_id", "CANARY-TAX"), ("bank_account", "CANARY-BANK")];
    answers.push(olivia.post(&address, &full).await);
    answers.push(olivia.post(&address, &full).await);
    answers.push(olivia.post(&world.acme.contacts(), &[("name", "Canary Contact"), ("email", "wrong CANARY")]).await);
    answers.push(olivia.post_body(&world.acme.contacts(), "text/plain", "CANARY-BODY").await);
    answers.push(olivia.get(&format!("{}?q=canary.contact%40people.example", world.acme.contacts())).await);
    answers.push(olivia.get(&format!("{}?CANARY-QUERY=1", world.acme.contacts())).await);
    answers.push(olivia.get("/CANARY-PATH").await);
    for row in browser_routes().iter().filter(|row| row.method == "GET") {
        answers.push(olivia.get(&samples.path(&row.path)).await);
    }
    let mut forged = world.stranger();
    forged.set_cookie("session", &"CANARYx".repeat(7)[..43]);
    answers.push(forged.get("/account").await);
    answers.push(olivia.post(&format!("{address}/delete"), &[]).await);
    answers.push(olivia.post("/sign-out", &[]).await);
    world.settle_decisions().await;

    let ours: Vec<_> =
        answers.iter().flat_map(|answer| log::lines_of(answer.request_id())).map(|line| line.to_string()).collect();
    assert!(ours.len() >= answers.len(), "{} lines", ours.len());
    let logged = ours.concat();
    let people = ["Canary", "CANARY", "canary", "people.example", "olivia@example.com", "Olivia", "127.0.0.1"];
    for hidden in people.into_iter().chain([&*session, &login]).chain(spent.iter().map(|secret| &**secret)) {
        assert!(
            hidden.is_empty() || !logged.contains(hidden),
            "{hidden}: {:?}",
            ours.iter().find(|line| line.contains(hidden))
        );
    }

    // The world has these secrets; the log of every other world is looked through with them.
    let web_password = url::Url::parse(&world.database.web_url).unwrap().password().unwrap().to_owned();
    let secrets = [&*web_password, "a secret of the client", &session];
    let everything = log::everything();
    let mut kept = String::new();
    for table in [
        "select e::text from audit.events e",
        "select d::text from audit.decisions d",
        "select s::text from identity.sessions s",
        "select l::text from identity.login_flows l",
    ] {
        let rows: Vec<String> = sqlx::query_scalar(table).fetch_all(&mut world.database.owner().await).await.unwrap();
        kept += &rows.concat();
    }
    for secret in secrets {
        assert!(!everything.contains(secret), "in the log");
        assert!(!kept.contains(secret), "in the database");
        for answer in &answers {
            assert!(!answer.body.contains(secret), "{}", answer.text());
        }
    }
    for restricted in ["CANARY-TAX", "CANARY-BANK", "CANARY-NOTES", "canary.contact@people.example"] {
        assert!(!kept.contains(restricted), "{restricted} is content, and no part of the record");
    }
}
