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
use crate::once;

/// Bytes in front of what is sealed: which key, and what the key of this one is made of.
const ID: usize = 4;
const SALT: usize = 32;
/// Random bytes of this number with fewer different ones among them: less than once in 10^20 keys.
const FEWEST: usize = 16;

/// A column that holds sealed secrets. A new one gets a line here, and `holdfast reseal` does not compile until it goes
/// through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `identity.totp.secret`, of a person.
    Totp,
    /// `tenant.sign_on.client_secret`, of an organization.
    SignOn,
    /// `identity.signing_keys.private`.
    SigningKey,
    /// `tenant.api_clients.secret`, of a client that signs.
    ApiClient,
}

impl Column {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Totp, Self::SignOn, Self::SigningKey, Self::ApiClient];

    /// Schema, table and column. What is sealed is sealed for this name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Totp => "identity.totp.secret",
            Self::SignOn => "tenant.sign_on.client_secret",
            Self::SigningKey => "identity.signing_keys.private",
            Self::ApiClient => "tenant.api_clients.secret",
        }
    }
}

/// Where a sealed secret stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// In which column.
    pub column: Column,
    /// Key of the row.
    pub row: Uuid,
}

/// It was not sealed for this place, not under a key that is configured, or it has been changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open: changed, moved, or sealed under a key that is not configured any more")]
pub struct NotOpened;

/// The keys of the configuration. Cheap to clone; shows none of them.
#[derive(Clone)]
pub struct Keys(Arc<Ring>);

struct Ring {
    current: Key,
    previous: Option<Key>,
}

struct Key {
    id: [u8; ID],
    bytes: SecretBox<[u8; 32]>,
}

impl Keys {
    /// Checks the keys.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let current = Key::parse("key", &config.key)?;
        let previous = config.previous_key.as_ref().map(|key| Key::parse("previous_key", key)).transpose()?;
        if previous.as_ref().is_some_and(|previous| previous.id == current.id) {
            return Err(ConfigError::Same);
        }
        Ok(Self(Arc::new(Ring { current, previous })))
    }

    /// Seals a secret for its place: AES-256-GCM under a key of its own, made of the configured one, the place and 32
    /// random bytes (HKDF, RFC 5869). So no nonce is ever used twice, however much is sealed (NIST SP 800-38D, section 8).
    pub fn seal(&self, place: Place, plain: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt)?;
        let Key { id, bytes } = &self.0.current;
        Ok([&id[..], &salt, &once::encrypt(&own_key(bytes, &salt, place), plain)].concat())
    }

    /// What everything begins with that is sealed under the configured key, and nothing that is under the one before it.
    #[must_use]
    pub fn current(&self) -> &[u8] {
        &self.0.current.id
    }

    /// Opens what was sealed for this place, under the configured key or the one before it.
    pub fn open(&self, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let (id, rest) = sealed.split_at_checked(ID).ok_or(NotOpened)?;
        let (salt, ciphertext) = rest.split_at_checked(SALT).ok_or(NotOpened)?;
        let Ring { current, previous } = &*self.0;
        let key = [Some(current), previous.as_ref()].into_iter().flatten().find(|key| key.id == id);
        let own = own_key(&key.ok_or(NotOpened)?.bytes, salt, place);
        once::decrypt(&own, ciphertext).map(Zeroizing::new).ok_or(NotOpened)
    }
}

impl Keys {
    /// A mark on a text, for one purpose, that nobody else can make: HMAC-SHA-256 (RFC 2104) under a key of its own.
    #[must_use]
    pub fn mark(&self, purpose: &'static str, text: &[u8]) -> [u8; 32] {
        marking(&self.0.current, purpose).chain_update(text).finalize().into_bytes().into()
    }

    /// Whether the mark is ours, under the configured key or the one before it. Compares in constant time.
    #[must_use]
    pub fn is_marked(&self, purpose: &'static str, text: &[u8], mark: &[u8; 32]) -> bool {
        let Ring { current, previous } = &*self.0;
        let ours = |key: &Key| marking(key, purpose).chain_update(text).verify(&(*mark).into()).is_ok();
        [Some(current), previous.as_ref()].into_iter().flatten().any(ours)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Key {
    fn parse(name: &'static str, text: &SecretString) -> Result<Self, ConfigError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose_secret()).map_err(|_| ConfigError::Key(name))?);
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| ConfigError::Key(name))?;
        if bytes.iter().collect::<BTreeSet<_>>().len() < FEWEST {
            return Err(ConfigError::Weak(name));
        }
        let mut id = [0; ID];
        id.copy_from_slice(&Sha256::new().chain_update("id of a key\0").chain_update(bytes).finalize()[..ID]);
        Ok(Self { id, bytes: SecretBox::new(Box::new(*bytes)) })
    }
}

fn own_key(key: &SecretBox<[u8; 32]>, salt: &[u8], Place { column, row }: Place) -> Zeroizing<[u8; 32]> {
    let mut own = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(Some(salt), key.expose_secret())
        .expand_multi_info(&[column.name().as_bytes(), b"\0", row.as_bytes()], &mut own[..]);
    debug_assert!(expanded.is_ok(), "HKDF makes up to 8160 bytes");
    own
}

fn marking(key: &Key, purpose: &'static str) -> Hmac<Sha256> {
    let mut own = hmac::digest::Key::<Hmac<Sha256>>::default();
    // Another salt than any secret is sealed with: those have 32 bytes.
    let expanded = Hkdf::<Sha256>::new(Some(b"mark"), key.bytes.expose_secret()).expand(purpose.as_bytes(), &mut own);
    debug_assert!(expanded.is_ok(), "HKDF makes up to 8160 bytes");
    Hmac::new(&own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(first: u8) -> SecretString {
        let bytes: Vec<u8> = (0..32).map(|n| first.wrapping_add(n)).collect();
        STANDARD.encode(bytes).into()
    }

    fn keys(key: u8, previous: Option<u8>) -> Keys {
        Keys::new(&Config { key: text(key), previous_key: previous.map(text) }).unwrap()
    }

    fn place(row: u128) -> Place {
        Place { column: Column::Totp, row: Uuid::from_u128(row) }
    }

    // control: IDN-11
    #[test]
    fn what_is_sealed_opens_in_its_place_alone_and_whole() {
        let keys = keys(1, None);
        let sealed = keys.seal(place(1), b"a secret").unwrap();
        assert_eq!(keys.open(place(1), &sealed).unwrap().as_slice(), b"a secret");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(keys.open(place(2), &sealed), Err(NotOpened), "another row");
        let elsewhere = Place { column: Column::SigningKey, ..place(1) };
        assert_eq!(keys.open(elsewhere, &sealed), Err(NotOpened), "another column");
        for changed in 0..sealed.len() {
            let mut sealed = sealed.clone();
            sealed[changed] ^= 1;
            assert_eq!(keys.open(place(1), &sealed), Err(NotOpened), "byte {changed}");
            assert_eq!(keys.open(place(1), &sealed[..changed]), Err(NotOpened), "cut at {changed}");
        }
        assert_ne!(keys.seal(place(1), b"a secret").unwrap(), sealed, "no two are alike");
    }

    // control: IDN-11
    #[test]
    fn the_key_before_still_opens_and_seals_nothing_any_more() {
        let (old, both, new) = (keys(1, None), keys(2, Some(1)), keys(2, None));
        let sealed = old.seal(place(1), b"a secret").unwrap();
        assert_eq!(both.open(place(1), &sealed).unwrap().as_slice(), b"a secret");
        assert_eq!(new.open(place(1), &sealed), Err(NotOpened));
        let sealed = both.seal(place(1), b"a secret").unwrap();
        assert_eq!(new.open(place(1), &sealed).unwrap().as_slice(), b"a secret");
        assert_eq!(old.open(place(1), &sealed), Err(NotOpened));
    }

    // control: IDN-13
    #[test]
    fn a_mark_is_for_its_text_and_purpose_alone() {
        let (old, both, new) = (keys(1, None), keys(2, Some(1)), keys(2, None));
        let mark = old.mark("work", b"text");
        assert!(old.is_marked("work", b"text", &mark));
        assert!(!old.is_marked("work", b"texts", &mark), "another text");
        assert!(!old.is_marked("other", b"text", &mark), "another purpose");
        assert!(both.is_marked("work", b"text", &mark) && !new.is_marked("work", b"text", &mark));
        let mut changed = mark;
        changed[31] ^= 1;
        assert!(!old.is_marked("work", b"text", &changed));
    }

    // control: SUP-12
    #[test]
    fn what_is_no_key_stops_the_start_and_is_not_repeated() {
        let start = |key: &str, previous: Option<&str>| {
            let config = Config { key: key.into(), previous_key: previous.map(SecretString::from) };
            Keys::new(&config).map(drop).map_err(|error| error.to_string())
        };
        let good = text(1).expose_secret().to_owned();
        assert_eq!(start(&good, None), Ok(()));
        for bad in ["", "hunter2", &good[..40], &format!("{good}AAAA"), &STANDARD.encode([7; 32])] {
            let error = start(bad, None).unwrap_err();
            assert!(error.starts_with("sealing.key: ") && (bad.is_empty() || !error.contains(bad)), "{error}");
            let error = start(&good, Some(bad)).unwrap_err();
            assert!(error.starts_with("sealing.previous_key: "), "{error}");
        }
        assert!(start(&good, Some(&good)).unwrap_err().contains("this is sealing.key"));
        assert_eq!(format!("{:?}", keys(1, None)), "Keys");
    }
}
