//! Authenticators in software, and what a browser's script does between them and the application.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_authenticator_rs::WebauthnAuthenticator;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::{Answer, Client, World};

/// People whose role can do nothing without a passkey.
const PRIVILEGED: [&str; 5] = ["olivia", "adam", "bella", "fiona", "gus"];

/// An authenticator that says of each signature that its holder was verified.
pub(crate) struct Authenticator {
    device: SoftPasskey,
    origin: String,
    /// Id of its credential, and the handle of whose it is.
    holds: Option<(String, String)>,
}

impl Authenticator {
    pub(crate) fn new(world: &World) -> Self {
        Self { device: SoftPasskey::new(true), origin: world.url(""), holds: None }
    }

    /// In a page of another origin.
    pub(crate) fn at(&mut self, origin: &str) {
        self.origin = origin.to_owned();
    }

    /// Answers the options of an enrolment.
    pub(crate) fn create(&mut self, options: &Value) -> Value {
        let asked = serde_json::from_value(json!({ "publicKey": options })).unwrap();
        let made = self.device.do_registration(self.origin.parse().unwrap(), asked).unwrap();
        self.holds = Some((URL_SAFE_NO_PAD.encode(&made.raw_id), options["user"]["id"].as_str().unwrap().to_owned()));
        serde_json::to_value(made).unwrap()
    }

    /// Responds to the options of a sign-in or step-up with its credential, even if the options do not allow it.
    pub(crate) fn get(&mut self, options: &Value) -> Value {
        let (credential, user) = self.holds.clone().expect("a credential");
        let mut options = options.clone();
        options["allowCredentials"] = json!([{ "type": "public-key", "id": credential }]);
        let asked = serde_json::from_value(json!({ "publicKey": options })).unwrap();
        let answer = self.device.do_authentication(self.origin.parse().unwrap(), asked).unwrap();
        let mut answer = serde_json::to_value(answer).unwrap();
        answer["response"]["userHandle"] = json!(user);
        answer
    }
}

/// The options that a route answers with.
pub(crate) async fn options(client: &mut Client, path: &str) -> Value {
    let answer = client.clone().program().post(path, &[]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    client.take_cookies(&answer);
    serde_json::from_str(&answer.body).unwrap()
}

/// Makes a passkey named `name` on `device`.
pub(crate) async fn enrol(client: &mut Client, device: &mut Authenticator, name: &str) -> Answer {
    let credential = device.create(&options(client, "/account/passkeys/options").await).to_string();
    client.post("/account/passkeys", &[("name", name), ("credential", &credential)]).await
}

/// Proves the passkey of `device` in the session of `client`.
pub(crate) async fn step_up(client: &mut Client, device: &mut Authenticator, then: (&str, &str)) -> Answer {
    let credential = device.get(&options(client, "/step-up/options").await).to_string();
    client.post("/step-up", &[("credential", &credential), then]).await
}

/// Signs in with the passkey of `device` alone.
pub(crate) async fn sign_in(client: &mut Client, device: &mut Authenticator) -> Answer {
    let credential = device.get(&options(client, "/sign-in/passkey/options").await).to_string();
    client.post("/sign-in/passkey", &[("credential", &credential), ("return_to", "/account")]).await
}

impl World {
    /// A browser in which `subject` has signed in, with a passkey where their role needs one.
    pub(crate) async fn sign_in(&self, subject: &str) -> Client {
        let mut client = self.sign_in_at_provider(subject).await;
        if PRIVILEGED.contains(&subject) {
            self.prove(&mut client, subject).await;
        }
        client
    }

    /// Proves the passkey of a person, which the first time is made.
    pub(crate) async fn prove(&self, client: &mut Client, subject: &str) {
        let mut devices = self.devices.lock().await;
        let answer = match devices.get_mut(subject) {
            Some(device) => step_up(client, device, ("return_to", "/account")).await,
            None => {
                let mut device = Authenticator::new(self);
                let answer = enrol(client, &mut device, "First").await;
                devices.insert(subject.to_owned(), device);
                answer
            }
        };
        assert_eq!(answer.status, 303, "{}", answer.text());
        client.remove_cookie("flash");
    }

    /// Answers with the passkey of a person.
    pub(crate) async fn device_answers(&self, subject: &str, options: &Value) -> Value {
        self.devices.lock().await.get_mut(subject).expect("they have signed in").get(options)
    }

    /// The id of a person's first passkey, which is made if there is none.
    pub(crate) async fn passkey(&self, subject: &str) -> Uuid {
        if let Some(first) = self.find_passkey(subject).await {
            return first;
        }
        self.sign_in(subject).await;
        self.first_passkey(subject).await
    }

    /// The id of a person's first passkey.
    pub(crate) async fn first_passkey(&self, subject: &str) -> Uuid {
        self.find_passkey(subject).await.unwrap_or_else(|| panic!("{subject} has no passkey"))
    }

    async fn find_passkey(&self, subject: &str) -> Option<Uuid> {
        let first = "select p.id from identity.passkeys p join identity.accounts a using (user_id)
                      where a.subject = $1 order by p.id limit 1";
        sqlx::query_scalar(first).bind(subject).fetch_optional(&mut self.database.owner().await).await.unwrap()
    }
}
