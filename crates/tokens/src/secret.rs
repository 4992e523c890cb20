use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use sealing::Place;
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use web::Error;

use crate::Tokens;

/// Age at which a secret of a client is not taken any more.
pub const AGES: Duration = Duration::days(90);
/// Age from which people are told to renew it.
pub const FLAGGED: Duration = Duration::days(75);

/// SHA-256 of a token. What is random needs no salt and no slow hash.
pub(crate) type Hash = [u8; 32];

/// A new secret of a client.
pub struct NewSecret {
    /// For the page that answers, and nowhere after it.
    pub shown: Zeroizing<String>,
    /// For the row of the client.
    pub stored: Vec<u8>,
}

pub(crate) fn random() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut bytes[..])?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..])))
}

pub(crate) fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

/// Where the secret of a client that signs is sealed.
pub(crate) fn place(client: Uuid) -> Place {
    Place { column: "tenant.api_clients.secret", row: client }
}

pub(crate) fn is_too_old(since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - since >= AGES
}

impl Tokens {
    /// A secret of 256 random bits for a client: kept as a hash, or sealed for one that signs.
    pub fn new_secret(&self, client: Uuid, signs: bool) -> Result<NewSecret, Error> {
        let shown = random()?;
        let stored = if signs { self.0.keys.seal(place(client), shown.as_bytes())? } else { hash(&shown).to_vec() };
        Ok(NewSecret { shown, stored })
    }
}
