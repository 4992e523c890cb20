use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

/// Seals with a key made of `token`: 256 random bits that seal nothing else and that the database does not hold.
#[must_use]
pub fn seal_once(token: &str, plain: &[u8]) -> Vec<u8> {
    encrypt(&key_of(token), plain)
}

/// Opens what [`seal_once`] sealed, if `token` is the same.
#[must_use]
pub fn open_once(token: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    decrypt(&key_of(token), sealed)
}

fn key_of(token: &str) -> Zeroizing<[u8; 32]> {
    // Another hash of the token than the one that is stored.
    Zeroizing::new(Sha256::new().chain_update("sealed with ").chain_update(token).finalize().into())
}

/// With a key that encrypts this and nothing else, so that the nonce may be constant (NIST SP 800-38D, section 8).
pub(crate) fn encrypt(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let sealed = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).encrypt(&Nonce::default(), plain);
    // Fails from 64 GiB on. What is no ciphertext never opens.
    sealed.unwrap_or_default()
}

pub(crate) fn decrypt(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).decrypt(&Nonce::default(), sealed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_token_alone_and_whole() {
        let sealed = seal_once("one token", b"role=owner");
        assert_eq!(open_once("one token", &sealed).as_deref(), Some(&b"role=owner"[..]));
        assert_eq!(open_once("another token", &sealed), None);
        let mut changed = sealed.clone();
        changed[0] ^= 1;
        assert_eq!(open_once("one token", &changed), None);
        assert!(!sealed.windows(4).any(|part| part == b"role"));
    }
}
