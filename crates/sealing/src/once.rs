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
    decrypt_with(key, [0; 12], sealed)
}

fn decrypt_with(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).decrypt(&Nonce::from(nonce), sealed).ok()
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

    // control: SUP-12
    #[test]
    fn what_wycheproof_has_sealed_opens_or_does_not_as_it_says() {
        let text = include_str!("../../../tests/vectors/aes_256_gcm.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut seen = 0;
        for case in vectors["groups"].as_array().unwrap().iter().flat_map(|group| group["tests"].as_array().unwrap()) {
            let bytes = |name: &str| {
                let hex = case[name].as_str().unwrap();
                (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect::<Vec<_>>()
            };
            let (key, nonce) = (bytes("key").try_into().unwrap(), bytes("iv").try_into().unwrap());
            let expected = (case["result"] == "valid").then(|| bytes("msg"));
            assert_eq!(decrypt_with(&key, nonce, &bytes("sealed")), expected, "{}", case["id"]);
            seen += 1;
        }
        assert_eq!(seen, 48);
    }
}
