use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// SHA-256 of a token. What is random needs no salt and no slow hash.
pub(crate) type Hash = [u8; 32];

/// 256 random bits that prove something by being shown. They live in a cookie or an address; we keep the hash.
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(base64url(&bytes)))
    }

    /// For the cookie or the address, and nowhere else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> Hash {
        hash(&self.0)
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

/// Seals with a key made of `token`, which seals nothing else: so the nonce may stay the same (NIST SP 800-38D, section 8).
pub(crate) fn seal_once(token: &Token, plain: &[u8]) -> Result<Vec<u8>, aes_gcm::Error> {
    cipher(&token.0).encrypt(&Nonce::default(), plain)
}

/// Opens what [`seal_once`] sealed, if `token` is the same.
pub(crate) fn open_once(token: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    cipher(token).decrypt(&Nonce::default(), sealed).ok()
}

fn cipher(token: &str) -> Aes256Gcm {
    // Another hash of the token than the one that is stored.
    let key: Hash = Sha256::new().chain_update("sealed with ").chain_update(token).finalize().into();
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_token_alone_and_whole() {
        let (token, other) = (Token::new().unwrap(), Token::new().unwrap());
        let sealed = seal_once(&token, b"role=owner").unwrap();
        assert_eq!(open_once(token.reveal(), &sealed).as_deref(), Some(&b"role=owner"[..]));
        assert_eq!(open_once(other.reveal(), &sealed), None);
        let mut changed = sealed.clone();
        changed[0] ^= 1;
        assert_eq!(open_once(token.reveal(), &changed), None);
        assert!(!sealed.windows(4).any(|part| part == b"role"));
    }
}
