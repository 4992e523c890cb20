use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

/// Encrypts with a key derived from `token`. The token has 256 random bits, encrypts nothing else, and is not in the
/// database.
#[must_use]
pub fn encrypt_with_token(token: &str, plain: &[u8]) -> Vec<u8> {
    encrypt(&key_of(token), plain)
}

/// Decrypts what [`encrypt_with_token`] encrypted with the same token. Returns `None` for another token or a changed
/// ciphertext.
#[must_use]
pub fn decrypt_with_token(token: &str, encrypted: &[u8]) -> Option<Vec<u8>> {
    decrypt(&key_of(token), encrypted)
}

fn key_of(token: &str) -> Zeroizing<[u8; 32]> {
    // This hash differs from the hash of the token that the database stores.
    Zeroizing::new(Sha256::new().chain_update("sealed with ").chain_update(token).finalize().into())
}

/// Encrypts with a key that encrypts nothing else, so the nonce may be constant (NIST SP 800-38D, section 8).
pub(crate) fn encrypt(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let encrypted = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).encrypt(&Nonce::default(), plain);
    // Encryption fails from 64 GiB on. An empty ciphertext never decrypts.
    encrypted.unwrap_or_default()
}

pub(crate) fn decrypt(key: &[u8; 32], encrypted: &[u8]) -> Option<Vec<u8>> {
    decrypt_with(key, [0; 12], encrypted)
}

fn decrypt_with(key: &[u8; 32], nonce: [u8; 12], encrypted: &[u8]) -> Option<Vec<u8>> {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).decrypt(&Nonce::from(nonce), encrypted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_decrypts_only_with_its_token_and_unchanged() {
        let encrypted = encrypt_with_token("one token", b"role=owner");
        assert_eq!(decrypt_with_token("one token", &encrypted).as_deref(), Some(&b"role=owner"[..]));
        assert_eq!(decrypt_with_token("another token", &encrypted), None);
        let mut changed = encrypted.clone();
        changed[0] ^= 1;
        assert_eq!(decrypt_with_token("one token", &changed), None);
        assert!(!encrypted.windows(4).any(|part| part == b"role"));
    }

    // control: SUP-12
    #[test]
    fn wycheproof_ciphertexts_decrypt_as_expected() {
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
