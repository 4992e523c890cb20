use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use encryption::{Column, EncryptionContext};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use web::Error;

use crate::Tokens;

/// Longest lifetime of a client secret.
pub(crate) const MAX_AGE: Duration = Duration::days(90);

/// SHA-256 of a token. A random value needs no salt and no slow hash.
pub(crate) type Hash = [u8; 32];

/// A new secret of a client.
pub struct NewSecret {
    /// For the page that shows it once.
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

/// The context in which the secret of a signing client is encrypted.
pub(crate) fn encryption_context(client: Uuid) -> EncryptionContext {
    EncryptionContext { column: Column::ApiClient, row: client }
}

/// When a secret expires that was created at `since` with a lifetime of so many days.
#[must_use]
pub fn ends_at(since: DateTime<Utc>, days: i32) -> DateTime<Utc> {
    since + Duration::days(days.into()).min(MAX_AGE)
}

impl Tokens {
    /// Generates a secret of 256 random bits. It is stored as a hash, or encrypted for a client that signs.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub fn new_secret(&self, client: Uuid, signs: bool) -> Result<NewSecret, Error> {
        let shown = random()?;
        let stored = if signs {
            self.0.keys.encrypt(encryption_context(client), shown.as_bytes())?
        } else {
            hash(&shown).to_vec()
        };
        Ok(NewSecret { shown, stored })
    }
}
