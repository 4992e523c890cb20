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
