use std::ops::RangeInclusive;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, json};
use sha2::{Digest, Sha256};
use tenancy::{Identity, Tx, Write};
use url::Url;
use web::Error;

use crate::jwt::{self, Unverified};
use crate::replay_guard::{self, SingleUse};

/// How old a proof may be, and how far ahead the clock of the client may be.
pub const PROOF_SECONDS: i64 = 60;
/// Length of the `jti` of a proof.
pub const JTI: RangeInclusive<usize> = 8..=200;

/// Accepted algorithms. `Ed25519` is the name in RFC 9864 for what `EdDSA` means here.
pub const ALGORITHMS: [&str; 3] = ["ES256", "Ed25519", "EdDSA"];

/// Unknown members are ignored (RFC 7515, section 4), unless the header marks them as critical.
#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    #[serde(default, rename = "crit", deserialize_with = "never")]
    _crit: (),
}

/// A public key (RFC 7517). Unknown members are ignored (section 4), because `WebCrypto` exports `ext` and `key_ops`.
/// SECURITY: a private or symmetric part (RFC 7518, section 6) is refused, because the client has given the key away.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: Option<String>,
    #[serde(default, rename = "d", deserialize_with = "never")]
    _d: (),
    #[serde(default, rename = "p", deserialize_with = "never")]
    _p: (),
    #[serde(default, rename = "q", deserialize_with = "never")]
    _q: (),
    #[serde(default, rename = "dp", deserialize_with = "never")]
    _dp: (),
    #[serde(default, rename = "dq", deserialize_with = "never")]
    _dq: (),
    #[serde(default, rename = "qi", deserialize_with = "never")]
    _qi: (),
    #[serde(default, rename = "oth", deserialize_with = "never")]
    _oth: (),
    #[serde(default, rename = "k", deserialize_with = "never")]
    _k: (),
}

/// A member that must be absent, with any value.
fn never<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(D::Error::custom("a member that must not be there"))
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: Number,
    ath: Option<String>,
}

impl Claims {
    /// A `NumericDate` may have a fraction (RFC 7519, section 2).
    fn issued_at(&self) -> Option<i64> {
        self.iat.to_string().split('.').next()?.parse().ok()
    }
}

/// Proof that the client has a key (RFC 9449, section 4.3). [`Proof::take`] checks that it was not used before.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Thumbprint of the key (RFC 7638).
    pub(crate) jkt: String,
    jti: String,
}

/// The request that a proof is for.
#[derive(Clone, Copy)]
pub(crate) struct RequestTarget<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
}

impl Proof {
    /// The only proof of a request, for `token` if there is one. `Err` if it is not valid.
    pub(crate) fn of(
        headers: &HeaderMap,
        request: RequestTarget<'_>,
        token: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, ()> {
        let mut given = headers.get_all("dpop").iter();
        let Some(proof) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(());
        }
        verify(proof.to_str().map_err(drop)?, request, token, now.timestamp()).map(Some).ok_or(())
    }

    /// Uses up the proof. `false` if it was used before.
    pub(crate) async fn take(&self, tx: &mut Tx<Write, Identity>, now: DateTime<Utc>) -> Result<bool, Error> {
        let value = SingleUse { kind: "dpop", owner: &self.jkt, value: &self.jti };
        replay_guard::is_first_use(tx, value, now + replay_guard::retention(PROOF_SECONDS)).await
    }
}

fn verify(proof: &str, request: RequestTarget<'_>, token: Option<&str>, now: i64) -> Option<Proof> {
    let RequestTarget { method, url } = request;
    let unverified = Unverified::split(proof)?;
    let Header { typ, alg, jwk, .. } = unverified.header()?;
    if typ != "dpop+jwt" {
        return None;
    }
    let jkt = jwk.thumbprint_if_signed(&alg, unverified.signed.as_bytes(), &unverified.signature)?;
    let claims: Claims = unverified.claims()?;
    let ath = token.map(|token| jwt::encode(&Sha256::digest(token)));
    let holds = claims.htm == method
        && address_of(&claims.htu)? == address_of(url)?
        && claims.issued_at()?.abs_diff(now) <= PROOF_SECONDS.unsigned_abs()
        && JTI.contains(&claims.jti.len())
        && (ath.is_none() || claims.ath == ath);
    holds.then_some(Proof { jkt, jti: claims.jti })
}

impl Jwk {
    /// The thumbprint of the key (RFC 7638), if it made the signature.
    pub(crate) fn thumbprint_if_signed(&self, alg: &str, signed: &[u8], signature: &[u8]) -> Option<String> {
        let x: [u8; 32] = jwt::decode(&self.x)?.try_into().ok()?;
        let members = match (alg, &*self.kty, &*self.crv, &self.y) {
            ("EdDSA" | "Ed25519", "OKP", "Ed25519", None) => {
                let key = VerifyingKey::from_bytes(&x).ok()?;
                jwt::is_signed(&key, signed, signature)
                    .then(|| json!({ "crv": "Ed25519", "kty": "OKP", "x": self.x }))?
            }
            ("ES256", "EC", "P-256", Some(y)) => {
                let point = [&[4][..], &x, &jwt::decode(y)?].concat();
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
                key.verify(signed, &p256::ecdsa::Signature::from_slice(signature).ok()?).ok()?;
                json!({ "crv": "P-256", "kty": "EC", "x": self.x, "y": y })
            }
            _ => return None,
        };
        // In alphabetical order, which `json!` keeps: RFC 7638, section 3.
        Some(jwt::encode(&Sha256::digest(members.to_string())))
    }
}

/// Without query and fragment, normalized: RFC 9449, section 4.3.
fn address_of(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}
