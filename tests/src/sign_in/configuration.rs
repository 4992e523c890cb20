//! What can be configured about a sign-in, and what stops the start instead.

use app::config::Config;
use authn::{Authn, Clock};
use chrono::Utc;

use crate::harness::{Database, encryption_keys};

const GOOD: &str = r#"
profile = "development"
[http]
public_url = "http://localhost:1"
[database]
url = "postgres://web@localhost/none"

[mail]
url = "smtp://127.0.0.1:2525"
[encryption]
key = "cw1DPw0ZtC8uGWuH1nXGQbUlCTmvJHYB8vXtGQyXy2E="

[authn.providers.acme]
name = "Acme"
issuer = "https://id.acme.example"
client_id = "holdfast"
client_secret = "a secret"
"#;

/// Why the start stops with this file, or nothing if it does not.
fn read(file: &str) -> Result<Config, String> {
    let path = std::env::temp_dir().join(format!("holdfast-test-{}.toml", uuid::Uuid::now_v7().simple()));
    std::fs::write(&path, file).unwrap();
    let config = Config::from_parts(Some(&path), std::iter::empty());
    std::fs::remove_file(path).unwrap();
    config.map_err(|error| error.to_string())
}

// control: IDN-01
#[test]
fn no_other_flow_than_code_with_pkce_can_be_configured() {
    assert_eq!(read(GOOD).map(|config| config.authn.providers.len()), Ok(1));
    for key in [
        "response_type = \"id_token\"",
        "response_types = [\"code id_token\"]",
        "response_mode = \"fragment\"",
        "flow = \"implicit\"",
        "grant_type = \"password\"",
        "pkce = false",
        "code_challenge_method = \"plain\"",
        "algorithms = [\"HS256\"]",
        "insecure_skip_verify = true",
        "redirect_uri = \"https://evil.example/\"",
    ] {
        let stops = read(&format!("{GOOD}{key}\n")).map(|_| ()).unwrap_err();
        let name = key.split(' ').next().unwrap();
        assert!(stops.contains("unknown field") && stops.contains(name), "{key}: {stops}");
    }
    let session = read(&format!("{GOOD}[authn.session]\nsame_site = \"None\"\n")).map(|_| ()).unwrap_err();
    assert!(session.contains("unknown field `same_site`"), "{session}");
}

#[tokio::test]
async fn a_provider_that_cannot_be_trusted_stops_the_start() {
    let database = Database::create().await;
    let config = read(&GOOD.replace("postgres://web@localhost/none", &database.web_url)).unwrap();
    let db = tenancy::Db::connect(&config.database, true).await.unwrap();
    let start = |file: String, production: bool| {
        let config = read(&file)?;
        Authn::new(
            config.authn,
            "https://app.example",
            app::ADDRESSES,
            production,
            encryption_keys(),
            db.clone(),
            Clock::fixed_at(Utc::now()),
        )
        .map(|_| ())
        .map_err(|error| error.to_string())
    };
    assert_eq!(start(GOOD.to_owned(), true), Ok(()));
    assert_eq!(start(GOOD.replace("https://id.acme.example", "http://127.0.0.1:8000"), false), Ok(()));
    for (issuer, production) in [
        ("http://127.0.0.1:8000", true),
        ("http://id.acme.example", false),
        ("http://localhost.evil.example", false),
        ("https://user:password@id.acme.example", true),
        ("https://id.acme.example/?tenant=1", true),
        ("https://id.acme.example/#fragment", true),
        ("ftp://id.acme.example", false),
        ("not an address", false),
        ("", false),
    ] {
        let stops = start(GOOD.replace("https://id.acme.example", issuer), production).unwrap_err();
        assert!(stops.contains("providers.acme.issuer"), "{issuer}: {stops}");
    }
    for (from, to) in
        [("\"a secret\"", "\"\""), ("\"holdfast\"", "\"\""), (".acme]", ".\"a/b\"]"), (".acme]", ".\"A\"]")]
    {
        assert!(start(GOOD.replace(from, to), true).unwrap_err().contains("authn.providers."), "{to}");
    }
}

#[tokio::test]
async fn lifetimes_that_make_no_sound_session_stop_the_start() {
    let database = Database::create().await;
    let config = read(&GOOD.replace("postgres://web@localhost/none", &database.web_url)).unwrap();
    let db = tenancy::Db::connect(&config.database, true).await.unwrap();
    let start = |line: &str| {
        let config = read(&format!("{GOOD}[authn.session]\n{line}\n")).unwrap();
        Authn::new(
            config.authn,
            "https://app.example",
            app::ADDRESSES,
            true,
            encryption_keys(),
            db.clone(),
            Clock::fixed_at(Utc::now()),
        )
        .map(|_| ())
    };
    for sound in ["idle_seconds = 300", "grace_seconds = 10", "absolute_seconds = 604800", "rotate_seconds = 60"] {
        assert!(start(sound).is_ok(), "{sound}");
    }
    for unsound in [
        "idle_seconds = 0",
        "idle_seconds = 60",
        "idle_seconds = 43201",
        "absolute_seconds = 604801",
        "absolute_seconds = 604800\nidle_seconds = 86401",
        "rotate_seconds = 0",
        "rotate_seconds = 43201",
        "grace_seconds = 9",
        "grace_seconds = 301",
    ] {
        assert!(start(unsound).is_err(), "{unsound}");
    }
}
