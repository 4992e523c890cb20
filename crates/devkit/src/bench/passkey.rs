//! Sign-ins with a passkey, as in a browser: a challenge, a signature over it, and a new session.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded::Serializer;

use super::Failure;
use super::http::post;
use super::lane::Run;

/// User present and verified (WebAuthn, section 6.1), and that a new credential follows.
const VERIFIED: u8 = 0x05;
const ATTESTED: u8 = 0x40;

/// A passkey in software, and its owner.
pub(super) struct Passkey {
    key: SigningKey,
    id: [u8; 16],
    user: Value,
    port: u16,
}

impl Passkey {
    /// Creates a passkey, and enrols it in a session.
    pub(super) async fn enrol(port: u16, session: &str) -> Result<Self, Failure> {
        let (mut secret, mut id) = ([0; 32], [0; 16]);
        getrandom::fill(&mut secret)?;
        getrandom::fill(&mut id)?;
        let asked = post(port, "/account/passkeys/options", session, "").await?;
        let (options, cookies) = (asked.json()?, format!("{session}; {}", asked.cookies()));
        let passkey = Self { key: SigningKey::from_slice(&secret)?, id, user: options["user"]["id"].clone(), port };
        let client = passkey.client_data("webauthn.create", &options);
        // CBOR: no attestation, and the public key in COSE form (RFC 9053, section 7.1.1).
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        let point = passkey.key.verifying_key().to_sec1_point(false);
        let mut data = Self::authenticator_data(VERIFIED | ATTESTED);
        data.extend([0; 16]);
        data.extend([0, 16]);
        data.extend(passkey.id);
        data.extend(b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20");
        data.extend(point.as_bytes().get(1..33).ok_or("a point has two parts")?);
        data.extend(b"\x22\x58\x20");
        data.extend(point.as_bytes().get(33..).ok_or("a point has two parts")?);
        object.push(u8::try_from(data.len())?);
        object.extend(data);
        let response = json!({ "attestationObject": encode(&object), "clientDataJSON": encode(client.as_bytes()) });
        let form = passkey.form(&response, ("name", "Benchmark"));
        let answer = post(port, "/account/passkeys", &cookies, &form).await?;
        if ![200, 303].contains(&answer.status) {
            return Err(format!("no passkey was created: {} {}", answer.status, answer.body).into());
        }
        Ok(passkey)
    }

    /// Signs in with it.
    async fn sign_in(&self) -> Result<(), Failure> {
        let asked = post(self.port, "/sign-in/passkey/options", "", "").await?;
        let options = asked.json()?;
        let client = self.client_data("webauthn.get", &options);
        let data = Self::authenticator_data(VERIFIED);
        let signature: Signature = self.key.sign(&[&data[..], &Sha256::digest(&client)].concat());
        let response = json!({
            "authenticatorData": encode(&data),
            "clientDataJSON": encode(client.as_bytes()),
            "signature": encode(signature.to_der().as_bytes()),
            "userHandle": self.user,
        });
        let form = self.form(&response, ("return_to", "/account"));
        let answer = post(self.port, "/sign-in/passkey", &asked.cookies(), &form).await?;
        if !answer.cookies().contains("session=") {
            return Err(format!("no sign-in: {} {}", answer.status, answer.body).into());
        }
        Ok(())
    }

    fn client_data(&self, kind: &str, options: &Value) -> String {
        let origin = format!("http://localhost:{}", self.port);
        json!({ "type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": false }).to_string()
    }

    /// The authenticator data for our host, without a counter.
    fn authenticator_data(flags: u8) -> Vec<u8> {
        let mut data = Sha256::digest("localhost").to_vec();
        data.extend([flags, 0, 0, 0, 0]);
        data
    }

    fn form(&self, response: &Value, (name, value): (&str, &str)) -> String {
        let id = encode(&self.id);
        let credential = json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "extensions": {} });
        let mut form = Serializer::new(String::new());
        form.append_pair("credential", &credential.to_string()).append_pair(name, value).finish()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs in with all passkeys in parallel, each one repeatedly.
pub(super) async fn measure(passkeys: Vec<Passkey>, time: Duration) -> Result<Run, Failure> {
    let until = Instant::now() + time;
    let mut people = tokio::task::JoinSet::new();
    for passkey in passkeys {
        people.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                let began = Instant::now();
                passkey.sign_in().await.map_err(|error| error.to_string())?;
                took.push(began.elapsed());
            }
            Ok::<_, String>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(one) = people.join_next().await {
        took.extend(one??);
    }
    took.sort_unstable();
    let slow = took.get(took.len() * 99 / 100).ok_or("nobody signed in")?;
    let count = u32::try_from(took.len())?;
    Ok(Run { per_second: f64::from(count) / time.as_secs_f64(), p99_ms: slow.as_secs_f64() * 1000.0 })
}
