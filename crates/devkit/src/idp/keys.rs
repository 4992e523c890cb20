//! Signing keys and the compact form of a signed token.
//!
//! Written by hand and not with the application's OpenID Connect library: two implementations that agree are a test,
//! one that agrees with itself is not.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use rsa::pkcs8::EncodePublicKey as _;
use rsa::rand_core::{OsRng, RngCore as _};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{pkcs1v15, pss};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// An algorithm the provider signs with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alg {
    /// RSA 2048, PKCS #1 v1.5, SHA-256.
    #[default]
    Rs256,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// Ed25519, under its old name.
    EdDsa,
    /// RSA 2048, PSS, SHA-256.
    Ps256,
    /// Ed25519, under the name of RFC 9864.
    Ed25519,
}

impl Alg {
    /// The name of RFC 7518 and RFC 8037.
    fn name(self) -> &'static str {
        match self {
            Alg::Rs256 => "RS256",
            Alg::Es256 => "ES256",
            Alg::EdDsa => "EdDSA",
            Alg::Ps256 => "PS256",
            Alg::Ed25519 => "Ed25519",
        }
    }

    /// `at_hash` of an access token: the left half of the hash the algorithm uses (OpenID Connect Core 3.1.3.6).
    pub(super) fn at_hash(self, access_token: &str) -> String {
        match self {
            Alg::Rs256 | Alg::Es256 | Alg::Ps256 => base64url(&Sha256::digest(access_token)[..16]),
            Alg::EdDsa | Alg::Ed25519 => base64url(&Sha512::digest(access_token)[..32]),
        }
    }
}

/// A key pair with its name.
pub(super) struct Key {
    kid: String,
    alg: Alg,
    private: Private,
}

enum Private {
    Rsa(Box<rsa::RsaPrivateKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl Key {
    /// Takes a fraction of a second for RSA.
    pub(super) fn generate(alg: Alg) -> Arc<Key> {
        let private = match alg {
            Alg::Rs256 | Alg::Ps256 => Private::Rsa(Box::new(until_ok(|| rsa::RsaPrivateKey::new(&mut OsRng, 2048)))),
            Alg::Es256 => Private::P256(Box::new(until_ok(|| p256::ecdsa::SigningKey::from_slice(&random::<32>())))),
            Alg::EdDsa | Alg::Ed25519 => Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&random()))),
        };
        Arc::new(Key { kid: token(), alg, private })
    }

    /// The RSA keys every provider of this process starts with, one for each algorithm, made once: a test binary starts
    /// many. Where two providers meet, only their issuers tell their tokens apart, which is the harder case for a client.
    pub(super) fn first_rsa() -> [Arc<Key>; 2] {
        static FIRST: OnceLock<[Arc<Key>; 2]> = OnceLock::new();
        let first = || {
            let key = Key::generate(Alg::Rs256);
            let private = match &key.private {
                Private::Rsa(private) => Private::Rsa(private.clone()),
                Private::P256(private) => Private::P256(private.clone()),
                Private::Ed25519(private) => Private::Ed25519(private.clone()),
            };
            [key, Arc::new(Key { kid: token(), alg: Alg::Ps256, private })]
        };
        FIRST.get_or_init(first).clone()
    }

    pub(super) fn alg(&self) -> Alg {
        self.alg
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, as an entry of the key set (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.private {
            Private::Rsa(key) => {
                let public = key.to_public_key();
                json!({ "kty": "RSA", "n": base64url(&public.n().to_bytes_be()), "e": base64url(&public.e().to_bytes_be()) })
            }
            Private::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
            }
            Private::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key.verifying_key().as_bytes()) })
            }
        };
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.alg().name());
        jwk["kid"] = json!(self.kid);
        jwk
    }

    /// The public half as PEM text: what somebody confused about algorithms would use as an HMAC secret.
    pub(super) fn public_pem(&self) -> String {
        let der = match &self.private {
            Private::Rsa(key) => {
                key.to_public_key().to_public_key_der().map(|der| der.as_bytes().to_vec()).unwrap_or_default()
            }
            Private::P256(key) => [P256_SPKI, key.verifying_key().to_sec1_point(false).as_bytes()].concat(),
            Private::Ed25519(key) => [ED25519_SPKI, key.verifying_key().as_bytes()].concat(),
        };
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (at, char) in STANDARD.encode(der).char_indices() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(char);
        }
        pem + "\n-----END PUBLIC KEY-----\n"
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Private::Rsa(key) if self.alg == Alg::Ps256 => {
                pss::SigningKey::<Sha256>::new(key.as_ref().clone()).sign_with_rng(&mut OsRng, message).to_vec()
            }
            Private::Rsa(key) => pkcs1v15::SigningKey::<Sha256>::new(key.as_ref().clone()).sign(message).to_vec(),
            Private::P256(key) => {
                use p256::ecdsa::signature::Signer as _;
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Private::Ed25519(key) => {
                use ed25519_dalek::Signer as _;
                key.sign(message).to_bytes().to_vec()
            }
        }
    }
}

/// `SubjectPublicKeyInfo` of a P-256 key, up to the point (RFC 5480).
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// `SubjectPublicKeyInfo` of an Ed25519 key, up to the key (RFC 8410).
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How a token is closed.
pub(super) enum Seal<'a> {
    /// Signed, with this `kid` in the header.
    Signed(&'a Key, Option<&'a str>),
    /// Signed, then one bit of the signature flipped.
    Broken(&'a Key),
    /// `alg` none.
    Unsigned,
    /// HS256 with these bytes as the secret, under the name of this key.
    Hmac(&'a [u8], &'a Key),
}

/// The compact form of a token: header, claims and signature, each base64url (RFC 7515).
pub(super) fn jws(typ: &str, claims: &Claims, seal: &Seal) -> String {
    let (alg, kid) = match seal {
        Seal::Signed(key, kid) => (key.alg().name(), *kid),
        Seal::Broken(key) => (key.alg().name(), Some(key.kid())),
        Seal::Unsigned => ("none", None),
        Seal::Hmac(_, key) => ("HS256", Some(key.kid())),
    };
    let mut header = json!({ "typ": typ, "alg": alg });
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let message = [base64url(header.to_string().as_bytes()), base64url(json!(claims).to_string().as_bytes())].join(".");
    let mut signature = match seal {
        Seal::Signed(key, _) | Seal::Broken(key) => key.sign(message.as_bytes()),
        Seal::Unsigned => Vec::new(),
        Seal::Hmac(secret, _) => hmac(secret, message.as_bytes()),
    };
    if let (Seal::Broken(_), Some(byte)) = (seal, signature.last_mut()) {
        *byte ^= 1;
    }
    [message, base64url(&signature)].join(".")
}

fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).map(|mac| mac.chain_update(message).finalize());
    mac.map(|mac| mac.into_bytes().to_vec()).unwrap_or_default()
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// 192 random bits as text: codes, tokens, key names.
pub(super) fn token() -> String {
    base64url(&random::<24>())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// Making a key fails only by bad luck (a scalar out of range), so the next try is the remedy.
fn until_ok<T, E>(mut make: impl FnMut() -> Result<T, E>) -> T {
    loop {
        if let Ok(made) = make() {
            return made;
        }
    }
}
