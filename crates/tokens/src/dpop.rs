use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use p256::ecdsa::signature::Verifier as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use sha2::{Digest, Sha256};
use tenancy::{Identity, Tx, Write};
use web::Error;

use crate::jwt::{self, Unverified};
use crate::once;

/// How old a proof may be, and how far the clock of whoever made it may be ahead.
const FRESH: i64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
}

/// A public key (RFC 7517). A private part is an unknown field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: Option<String>,
    #[serde(rename = "alg")]
    _alg: Option<IgnoredAny>,
    #[serde(rename = "use")]
    _use: Option<IgnoredAny>,
    #[serde(rename = "kid")]
    _kid: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    ath: Option<String>,
}

/// A proof that whoever sends a request has a key (RFC 9449, section 4.3). That it was not used before is checked with
/// [`Proof::take`].
#[derive(Debug)]
pub(crate) struct Proof {
    /// Thumbprint of the key (RFC 7638).
    pub(crate) jkt: String,
    jti: String,
}

impl Proof {
    /// The one proof of a request to `url`, and for `token` where it comes with one. `Err` where it proves nothing.
    pub(crate) fn of(
        headers: &HeaderMap,
        (method, url): (&str, &str),
        token: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, ()> {
        let mut given = headers.get_all("dpop").iter();
        let Some(proof) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(());
        }
        verify(proof.to_str().map_err(drop)?, (method, url), token, now.timestamp()).map(Some).ok_or(())
    }

    /// Uses the proof up. `false` where it was used before.
    pub(crate) async fn take(&self, tx: &mut Tx<Write, Identity>, now: DateTime<Utc>) -> Result<bool, Error> {
        once::first_time(tx, ("dpop", &self.jkt, &self.jti), now, now + once::remembered(FRESH)).await
    }
}

fn verify(proof: &str, (method, url): (&str, &str), token: Option<&str>, now: i64) -> Option<Proof> {
    let unverified = Unverified::split(proof)?;
    let Header { typ, alg, jwk } = unverified.header()?;
    let (signed, signature) = (unverified.signed.as_bytes(), &unverified.signature);
    if typ != "dpop+jwt" {
        return None;
    }
    let x: [u8; 32] = jwt::decode(&jwk.x)?.try_into().ok()?;
    let thumbprint = match (&*alg, &*jwk.kty, &*jwk.crv, &jwk.y) {
        ("EdDSA", "OKP", "Ed25519", None) => {
            let key = VerifyingKey::from_bytes(&x).ok()?;
            key.verify_strict(signed, &Signature::from_bytes(signature)).ok()?;
            json!({ "crv": "Ed25519", "kty": "OKP", "x": jwk.x })
        }
        ("ES256", "EC", "P-256", Some(y)) => {
            let point = [&[4][..], &x, &jwt::decode(y)?].concat();
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
            key.verify(signed, &p256::ecdsa::Signature::from_slice(signature).ok()?).ok()?;
            json!({ "crv": "P-256", "kty": "EC", "x": jwk.x, "y": y })
        }
        _ => return None,
    };
    let claims: Claims = unverified.claims()?;
    let address = claims.htu.split(['?', '#']).next()?;
    let ath = token.map(|token| jwt::encode(&Sha256::digest(token)));
    let holds = claims.htm == method
        && address == url
        && claims.iat.abs_diff(now) <= FRESH.unsigned_abs()
        && (8..=200).contains(&claims.jti.len())
        && (ath.is_none() || claims.ath == ath);
    // The members in alphabetical order, as `json!` keeps them: RFC 7638, section 3.
    holds.then(|| Proof { jkt: jwt::encode(&Sha256::digest(thumbprint.to_string())), jti: claims.jti })
}
