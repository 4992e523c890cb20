//! What production refuses to start with, and what is not in its program at all.

use std::collections::BTreeSet;
use std::process::Command;

use super::read;

#[test]
fn production_is_the_default_and_starts_on_nothing_unsafe() {
    assert!(read(None, &[]).unwrap().production());
    let no_provider: Vec<_> = super::PROVIDER.iter().map(|(key, _)| (*key, "")).collect();
    for (changes, named) in [
        (vec![("HTTP__PUBLIC_URL", "")], "http.public_url"),
        (vec![("HTTP__PUBLIC_URL", "http://app.acme.example")], "http.public_url"),
        (vec![("HTTP__PUBLIC_URL", "https://app.acme.example/")], "http.public_url"),
        (vec![("HTTP__PUBLIC_URL", "https://app.acme.example/base")], "http.public_url"),
        (vec![("HTTP__PUBLIC_URL", "https://me@app.acme.example")], "http.public_url"),
        (vec![("HTTP__PUBLIC_URL", "https://")], "http.public_url"),
        (vec![("HTTP__PROXIES", "")], "http.proxies"),
        (vec![("SECURITY__CONTACT", "")], "security.contact"),
        (vec![("SECURITY__CONTACT", "security@acme.example")], "security.contact"),
        (no_provider, "authn.providers"),
    ] {
        let error = read(None, &changes).unwrap_err();
        assert!(error.starts_with("profile production: ") && error.contains(named), "{changes:?}: {error}");
        let mut changes = changes;
        changes.push(("PROFILE", "development"));
        assert!(!read(None, &changes).unwrap().production(), "{changes:?}");
    }
}

#[tokio::test]
async fn production_takes_no_issuer_without_tls_and_no_session_without_end() {
    let world = crate::harness::World::start().await;
    let with = |changes: &[(&str, &str)]| read(None, changes).unwrap();
    let database = with(&[("DATABASE__URL", &world.database.web_url)]).database;
    let db = tenancy::Db::connect(&database, true).await.unwrap();
    let start = |changes: &[(&str, &str)], production| {
        let config = with(changes);
        let (url, clock) = (config.http.public_url.clone(), authn::Clock::system());
        authn::Authn::new(
            config.authn,
            &url,
            app::ADDRESSES,
            production,
            crate::harness::encryption_keys(),
            db.clone(),
            clock,
        )
        .map(drop)
        .map_err(|error| error.to_string())
    };
    assert_eq!(start(&[], true), Ok(()));
    const ISSUER: &str = "AUTHN__PROVIDERS__ACME__ISSUER";
    for issuer in [
        "http://id.acme.example",
        "http://127.0.0.1:8081",
        "ftp://id.acme.example",
        "id.acme.example",
        "https://id.acme.example?a",
    ] {
        let error = start(&[(ISSUER, issuer)], true).unwrap_err();
        assert!(error.contains("authn.providers.acme.issuer"), "{issuer}: {error}");
    }
    assert_eq!(start(&[(ISSUER, "http://127.0.0.1:8081")], false), Ok(()), "development, on loopback");
    assert!(start(&[(ISSUER, "http://id.acme.example")], false).is_err(), "development, elsewhere");
    for (key, value) in [
        ("AUTHN__SESSION__IDLE_SECONDS", "59"),
        ("AUTHN__SESSION__IDLE_SECONDS", "43201"),
        ("AUTHN__SESSION__ABSOLUTE_SECONDS", "2592001"),
        ("AUTHN__SESSION__ROTATE_SECONDS", "0"),
        ("AUTHN__SESSION__GRACE_SECONDS", "301"),
    ] {
        assert!(read(None, &[(key, value)]).unwrap_err().contains("authn.session"), "{key} {value}");
    }
}

#[tokio::test]
async fn production_accepts_no_login_that_can_bypass_row_level_security() {
    let world = crate::harness::World::start().await;
    let database = read(None, &[("DATABASE__URL", &world.database.owner_url)]).unwrap().database;
    let error = tenancy::Db::connect(&database, true).await.unwrap_err().to_string();
    assert!(error.contains("superuser"), "{error}");
}

// control: API-10
#[test]
fn what_is_for_development_is_not_in_the_production_program() {
    let tree = |package: &str| -> BTreeSet<String> {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--locked",
                "--package",
                package,
                "--edges",
                "normal,build",
                "--prefix",
                "none",
            ])
            .args(["--target", "all", "--all-features", "--format", "{p}"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect()
    };
    let app = tree("app");
    for ours in ["app", "authz", "authn", "audit", "tenancy", "web"] {
        assert!(app.contains(ours), "{ours}");
    }
    for development in ["devkit", "tests", "insta", "openssl", "openssl-sys", "native-tls"] {
        assert!(!app.contains(development), "{development} is in the program");
    }
    assert!(tree("devkit").contains("devkit"));
}

#[tokio::test]
async fn production_takes_no_mail_server_without_tls_and_no_sender_who_is_nobody() {
    let world = crate::harness::World::start().await;
    let database = read(None, &[("DATABASE__URL", &world.database.web_url)]).unwrap().database;
    let db = tenancy::Db::connect(&database, true).await.unwrap();
    let start = |url: &str, from: &str, production: bool| {
        let profile = if production { "production" } else { "development" };
        let config = read(None, &[("MAIL__URL", url), ("MAIL__FROM", from), ("PROFILE", profile)])?;
        mail::Sender::new(&config.mail, production, db.clone()).map(drop).map_err(|error| error.to_string())
    };
    let (smtps, from) = ("smtps://me:a-word@mail.acme.example", "Acme <no-reply@acme.example>");
    assert_eq!(start(smtps, from, true), Ok(()));
    assert_eq!(start("smtp://me:a-word@mail.acme.example:587?tls=required", from, true), Ok(()));
    for url in [
        "smtp://me:a-word@mail.acme.example",
        "smtp://me:a-word@mail.acme.example?tls=opportunistic",
        "http://me:a-word@mail.acme.example",
        "smtps://",
    ] {
        let error = start(url, from, true).unwrap_err();
        assert!(error.contains("mail.url") && !error.contains("a-word"), "{url}: {error}");
    }
    assert_eq!(start("smtp://127.0.0.1:2525", "Holdfast <no-reply@example.com>", false), Ok(()));
    for from in ["nobody", "Holdfast <no-reply@example.com>"] {
        let error = start(smtps, from, true).unwrap_err();
        assert!(error.contains("mail.from") && error.contains("an address of yours"), "{from}: {error}");
    }
}
