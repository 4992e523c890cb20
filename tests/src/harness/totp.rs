//! Authenticator apps.

use totp_rs::{Algorithm, Builder, Secret, Totp};

use super::{Answer, Client, World};

/// An app that holds a secret.
pub(crate) struct App(Totp);

impl App {
    /// One that has read the page which shows a secret.
    pub(crate) fn of(page: &Answer) -> Self {
        let (_, rest) = page.body.split_once("<code class=\"mono\">").unwrap_or_else(|| panic!("{}", page.text()));
        Self::holding(rest.split('<').next().unwrap())
    }

    /// One that a key was typed into.
    pub(crate) fn holding(key: &str) -> Self {
        let secret = Secret::try_from_base32(key.split_whitespace().collect::<String>()).unwrap();
        let builder = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_step_duration(30);
        Self(builder.with_secret(secret).with_account_name("me").build().unwrap())
    }

    pub(crate) fn secret(&self) -> &[u8] {
        self.0.secret().as_bytes()
    }

    /// What it shows now, or so many steps of 30 seconds later.
    pub(crate) fn code(&self, world: &World, later: i64) -> String {
        let at = world.clock.now().timestamp() + 30 * later;
        self.0.generate(at.try_into().unwrap()).to_string()
    }
}

/// Sets up an app in the session of `client`.
pub(crate) async fn add(world: &World, client: &mut Client) -> App {
    let app = App::of(&client.post("/account/authenticator", &[]).await);
    let confirmed = client.post("/account/authenticator/confirm", &[("code", &app.code(world, 0))]).await;
    assert_eq!(confirmed.status, 303, "{}", confirmed.text());
    client.remove_cookie("flash");
    app
}
