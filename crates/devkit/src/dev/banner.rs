//! The message when everything runs.

use std::time::Duration;

use devkit::idp::Person;
use devkit::seed;
use url::Url;

use super::services::Services;

/// The addresses, the people who can sign in, and how long it took.
pub(super) fn banner(public_url: &str, services: &Services, owner: &str, took: Duration) -> String {
    format!(
        "
Holdfast is running.

  App       {public_url}
  Sign-in   {}
  Mail      http://{}   (SMTP at {})
  Database  {}   (with its password: .dev/env)
{}
  First page after {:.1} s. The app's log is in .dev/app.log; its warnings and errors also follow here.
  Edits rebuild and restart the app and reload its pages. Ctrl-C stops everything.
",
        services.issuer,
        services.mail,
        services.smtp,
        without_password(owner),
        personas(&seed::people()),
        took.as_secs_f64(),
    )
}

fn personas(people: &[Person]) -> String {
    let width = people.iter().map(|person| person.name.chars().count()).max().unwrap_or(0);
    let line = |person: &Person| format!("    {:width$}  {}\n", person.name, person.about);
    if people.is_empty() {
        String::new()
    } else {
        "\n  Sign in as\n".to_owned() + &people.iter().map(line).collect::<String>()
    }
}

fn without_password(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "as in DATABASE_URL".to_owned() };
    let _ = url.set_password(None);
    url.set_query(None);
    url.into()
}
