//! The subset of JWS (RFC 7515) that is needed here: compact serialization, Ed25519, and no choices for the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest token that is parsed.
const MAX_LENGTH: usize = 4096;

/// A token whose signature is not verified yet.
pub(crate) struct Unverified<'a> {
    /// The signed part.
    pub(crate) signed: &'a str,
    pub(crate) signature: [u8; 64],
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Parses three parts in canonical base64url, with nothing after them.
    pub(crate) fn split(token: &'a str) -> Option<Self> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let signature = decode(signature)?.try_into().ok()?;
        Some(Self { signed, signature, header: decode(header)?, payload: decode(payload)? })
    }

    /// The header, which only selects the key.
    pub(crate) fn header<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.header).ok()
    }

    /// The claims. Call it only after the signature is verified.
    pub(crate) fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.payload).ok()
    }
}

pub(crate) fn sign(
    key: &SigningKey,
    header: &impl Serialize,
    claims: &impl Serialize,
) -> Result<String, serde_json::Error> {
    let signed = format!("{}.{}", encode(&serde_json::to_vec(header)?), encode(&serde_json::to_vec(claims)?));
    let signature = encode(&key.sign(signed.as_bytes()).to_bytes());
    Ok(format!("{signed}.{signature}"))
}

/// Verifies the signature by the strict rules of RFC 8032, by which each key has one signature for a text.
pub(crate) fn is_signed(key: &VerifyingKey, signed: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok())
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
