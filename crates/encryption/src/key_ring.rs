use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use hkdf::hmac::{self, Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::{Config, ConfigError};
use crate::one_time_key;

/// The length of a key id. A ciphertext begins with the id of its key, followed by the salt.
const KEY_ID_LENGTH: usize = 4;
const SALT_LENGTH: usize = 32;
/// The minimum number of different bytes in a random key. A random key has fewer with a probability below 10^-20.
const MIN_DISTINCT_BYTES: usize = 16;

/// A column that holds encrypted secrets. Add a new column here. `holdfast re-encrypt` does not compile until it covers
/// the new column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `identity.totp.secret`, of a person.
    Totp,
    /// `tenant.identity_providers.client_secret`, of an organization.
    IdentityProvider,
    /// `identity.signing_keys.private`.
    SigningKey,
    /// `tenant.api_clients.secret`, of a client that signs its requests.
    ApiClient,
}

impl Column {
    /// All columns.
    pub const ALL: [Self; 4] = [Self::Totp, Self::IdentityProvider, Self::SigningKey, Self::ApiClient];

    /// Returns schema, table and column. The name is part of the key derivation, so it cannot change without
    /// re-encryption.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Totp => "identity.totp.secret",
            Self::IdentityProvider => "tenant.identity_providers.client_secret",
            Self::SigningKey => "identity.signing_keys.private",
            Self::ApiClient => "tenant.api_clients.secret",
        }
    }
}

/// The place where an encrypted secret is stored. A ciphertext decrypts only in the context it was encrypted with.
#[derive(Clone, Copy, Debug)]
pub struct EncryptionContext {
    /// The column.
    pub column: Column,
    /// The key of the row.
    pub row: Uuid,
}

/// The ciphertext does not decrypt: it was changed, it belongs to another context, or its key is not configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an encrypted secret does not decrypt: it was changed, moved, or encrypted under a key that is no longer configured"
)]
pub struct DecryptError;

/// The configured keys. Cloning is cheap. `Debug` shows none of the keys.
#[derive(Clone)]
pub struct KeyRing(Arc<ConfiguredKeys>);

struct ConfiguredKeys {
    current: Key,
    previous: Option<Key>,
}

struct Key {
    id: [u8; KEY_ID_LENGTH],
    bytes: SecretBox<[u8; 32]>,
}

impl KeyRing {
    /// Creates a key ring from the configured keys.
    ///
    /// # Errors
    ///
    /// A key is not 32 bytes in base64, is not random, or is configured twice.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let current = Key::parse("key", &config.key)?;
        let previous = config.previous_key.as_ref().map(|key| Key::parse("previous_key", key)).transpose()?;
        if previous.as_ref().is_some_and(|previous| previous.id == current.id) {
            return Err(ConfigError::Same);
        }
        Ok(Self(Arc::new(ConfiguredKeys { current, previous })))
    }

    /// Encrypts a secret for its context with AES-256-GCM.
    ///
    /// Each ciphertext has its own key. It is derived from the configured key, the context and 32 random bytes (HKDF,
    /// RFC 5869). A key never uses a nonce twice, however many secrets there are (NIST SP 800-38D, section 8).
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub fn encrypt(&self, context: EncryptionContext, plain: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let mut salt = [0; SALT_LENGTH];
        getrandom::fill(&mut salt)?;
        let Key { id, bytes } = &self.0.current;
        Ok([&id[..], &salt, &one_time_key::encrypt(&derived_key(bytes, &salt, context), plain)].concat())
    }

    /// Returns the id of the current key. Every ciphertext under the current key begins with it. No other ciphertext
    /// does.
    #[must_use]
    pub fn current_id(&self) -> &[u8] {
        &self.0.current.id
    }

    /// Decrypts what was encrypted in this context, under the current key or the previous one.
    ///
    /// # Errors
    ///
    /// The ciphertext was changed, belongs to another context, or its key is not configured.
    pub fn decrypt(&self, context: EncryptionContext, encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let (id, rest) = encrypted.split_at_checked(KEY_ID_LENGTH).ok_or(DecryptError)?;
        let (salt, ciphertext) = rest.split_at_checked(SALT_LENGTH).ok_or(DecryptError)?;
        let key = self.keys().find(|key| key.id == id).ok_or(DecryptError)?;
        let derived = derived_key(&key.bytes, salt, context);
        one_time_key::decrypt(&derived, ciphertext).map(Zeroizing::new).ok_or(DecryptError)
    }

    /// Authenticates a text for one purpose with HMAC-SHA-256 (RFC 2104). The key is derived for that purpose.
    #[must_use]
    pub fn mac(&self, purpose: &'static str, text: &[u8]) -> [u8; 32] {
        hmac(&self.0.current, purpose).chain_update(text).finalize().into_bytes().into()
    }

    /// Verifies a MAC of the current key or the previous one, in constant time.
    #[must_use]
    pub fn verify_mac(&self, purpose: &'static str, text: &[u8], mac: &[u8; 32]) -> bool {
        self.keys().any(|key| hmac(key, purpose).chain_update(text).verify(&(*mac).into()).is_ok())
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.0.current).chain(self.0.previous.as_ref())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

impl Key {
    fn parse(name: &'static str, text: &SecretString) -> Result<Self, ConfigError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose_secret()).map_err(|_| ConfigError::Key(name))?);
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| ConfigError::Key(name))?;
        if bytes.iter().collect::<BTreeSet<_>>().len() < MIN_DISTINCT_BYTES {
            return Err(ConfigError::Weak(name));
        }
        let mut id = [0; KEY_ID_LENGTH];
        let hash = Sha256::new().chain_update("id of a key\0").chain_update(bytes).finalize();
        id.copy_from_slice(&hash[..KEY_ID_LENGTH]);
        Ok(Self { id, bytes: SecretBox::new(Box::new(*bytes)) })
    }
}

fn derived_key(key: &SecretBox<[u8; 32]>, salt: &[u8], context: EncryptionContext) -> Zeroizing<[u8; 32]> {
    let EncryptionContext { column, row } = context;
    let mut derived = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(Some(salt), key.expose_secret())
        .expand_multi_info(&[column.name().as_bytes(), b"\0", row.as_bytes()], &mut derived[..]);
    debug_assert!(expanded.is_ok(), "HKDF makes up to 8160 bytes");
    derived
}

fn hmac(key: &Key, purpose: &'static str) -> Hmac<Sha256> {
    let mut derived = hmac::digest::Key::<Hmac<Sha256>>::default();
    // `encrypt` cannot produce this salt, because its salts are 32 bytes long.
    let expanded =
        Hkdf::<Sha256>::new(Some(b"mark"), key.bytes.expose_secret()).expand(purpose.as_bytes(), &mut derived);
    debug_assert!(expanded.is_ok(), "HKDF makes up to 8160 bytes");
    Hmac::new(&derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(first: u8) -> SecretString {
        let bytes: Vec<u8> = (0..32).map(|n| first.wrapping_add(n)).collect();
        STANDARD.encode(bytes).into()
    }

    fn keys(key: u8, previous: Option<u8>) -> KeyRing {
        KeyRing::new(&Config { key: text(key), previous_key: previous.map(text) }).unwrap()
    }

    fn context(row: u128) -> EncryptionContext {
        EncryptionContext { column: Column::Totp, row: Uuid::from_u128(row) }
    }

    // control: IDN-11
    #[test]
    fn a_secret_decrypts_only_in_its_context_and_unchanged() {
        let keys = keys(1, None);
        let encrypted = keys.encrypt(context(1), b"a secret").unwrap();
        assert_eq!(keys.decrypt(context(1), &encrypted).unwrap().as_slice(), b"a secret");
        assert!(!encrypted.windows(6).any(|part| part == b"secret"));
        assert_eq!(keys.decrypt(context(2), &encrypted), Err(DecryptError), "another row");
        let elsewhere = EncryptionContext { column: Column::SigningKey, ..context(1) };
        assert_eq!(keys.decrypt(elsewhere, &encrypted), Err(DecryptError), "another column");
        for changed in 0..encrypted.len() {
            let mut encrypted = encrypted.clone();
            encrypted[changed] ^= 1;
            assert_eq!(keys.decrypt(context(1), &encrypted), Err(DecryptError), "byte {changed}");
            assert_eq!(keys.decrypt(context(1), &encrypted[..changed]), Err(DecryptError), "cut at {changed}");
        }
        assert_ne!(keys.encrypt(context(1), b"a secret").unwrap(), encrypted, "no two are alike");
    }

    // control: IDN-11
    #[test]
    fn the_previous_key_decrypts_and_no_longer_encrypts() {
        let (old, both, new) = (keys(1, None), keys(2, Some(1)), keys(2, None));
        let encrypted = old.encrypt(context(1), b"a secret").unwrap();
        assert_eq!(both.decrypt(context(1), &encrypted).unwrap().as_slice(), b"a secret");
        assert_eq!(new.decrypt(context(1), &encrypted), Err(DecryptError));
        let encrypted = both.encrypt(context(1), b"a secret").unwrap();
        assert_eq!(new.decrypt(context(1), &encrypted).unwrap().as_slice(), b"a secret");
        assert_eq!(old.decrypt(context(1), &encrypted), Err(DecryptError));
    }

    // control: IDN-13
    #[test]
    fn a_mac_is_valid_only_for_its_text_and_purpose() {
        let (old, both, new) = (keys(1, None), keys(2, Some(1)), keys(2, None));
        let mac = old.mac("work", b"text");
        assert!(old.verify_mac("work", b"text", &mac));
        assert!(!old.verify_mac("work", b"texts", &mac), "another text");
        assert!(!old.verify_mac("other", b"text", &mac), "another purpose");
        assert!(both.verify_mac("work", b"text", &mac) && !new.verify_mac("work", b"text", &mac));
        let mut changed = mac;
        changed[31] ^= 1;
        assert!(!old.verify_mac("work", b"text", &changed));
    }

    // control: SUP-12
    #[test]
    fn a_bad_key_stops_the_start_and_is_not_repeated() {
        let start = |key: &str, previous: Option<&str>| {
            let config = Config { key: key.into(), previous_key: previous.map(SecretString::from) };
            KeyRing::new(&config).map(drop).map_err(|error| error.to_string())
        };
        let good = text(1).expose_secret().to_owned();
        assert_eq!(start(&good, None), Ok(()));
        for bad in ["", "hunter2", &good[..40], &format!("{good}AAAA"), &STANDARD.encode([7; 32])] {
            let error = start(bad, None).unwrap_err();
            assert!(error.starts_with("encryption.key: ") && (bad.is_empty() || !error.contains(bad)), "{error}");
            let error = start(&good, Some(bad)).unwrap_err();
            assert!(error.starts_with("encryption.previous_key: "), "{error}");
        }
        assert!(start(&good, Some(&good)).unwrap_err().contains("this is encryption.key"));
        assert_eq!(format!("{:?}", keys(1, None)), "KeyRing");
    }
}
