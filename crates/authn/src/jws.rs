//! Signed tokens from providers (RFC 7515), and the keys that sign them (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, SHA512, digest};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;
use web::visible;

use crate::lenient;

/// The accepted algorithms. `none` and algorithms with a shared secret are refused, even if a provider announces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    /// `EdDSA` of RFC 8037. Ed25519 is its only accepted curve. RFC 9864 calls the algorithm `Ed25519`.
    Ed25519,
}

/// The accepted algorithms, for the log and the settings page.
pub(crate) const ACCEPTED: &str = "RS256, PS256, ES256, EdDSA and Ed25519";

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "EdDSA" | "Ed25519" => Self::Ed25519,
            _ => return None,
        })
    }

    /// Returns the left half of a hash, as in `at_hash` (OpenID Connect Core 1.0, section 3.1.3.6).
    pub(crate) fn half_hash(self, text: &str) -> String {
        let hash = digest(if self == Self::Ed25519 { &SHA512 } else { &SHA256 }, text.as_bytes());
        let half = &hash.as_ref()[..hash.as_ref().len() / 2];
        URL_SAFE_NO_PAD.encode(half)
    }
}

/// Why a token is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JwsError {
    Refused(String),
    /// The token may be valid, but it uses something that we do not support.
    Unsupported(String),
    /// The key set does not contain the key. Keys rotate, so a newer set may contain it.
    NoKey,
}

impl From<&str> for JwsError {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}

/// A token whose signature is not verified yet. [`Jws::claims`] verifies it.
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    /// The type in lower case, without `application/`.
    pub(crate) kind: Option<String>,
    key: Option<String>,
    message: &'a [u8],
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    kid: Option<lenient::Identifier>,
    crit: Option<Value>,
}

impl<'a> Jws<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, JwsError> {
        let parts: Vec<&str> = token.split('.').take(6).collect();
        let [header, payload, signature] = parts[..] else {
            // A token with five parts is encrypted (RFC 7516).
            return Err(if parts.len() == 5 {
                JwsError::Unsupported("it is encrypted; only signed tokens are accepted".to_owned())
            } else {
                "not a signed token".into()
            });
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::from("not base64url"));
        let head: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JwsError::from("no header"))?;
        // Critical extensions must be understood, and we understand none (RFC 7515, section 4.1.11).
        if head.crit.is_some() {
            return Err(JwsError::Unsupported("its header has critical extensions".to_owned()));
        }
        let algorithm = Algorithm::named(&head.alg).ok_or_else(|| {
            let reason = format!("signature algorithm {} is not accepted; {ACCEPTED} are", visible(&head.alg, 32));
            let forged = head.alg.eq_ignore_ascii_case("none") || head.alg.starts_with("HS");
            if forged { JwsError::Refused(reason) } else { JwsError::Unsupported(reason) }
        })?;
        let kind = head.typ.map(|kind| {
            let kind = kind.to_ascii_lowercase();
            kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind)
        });
        Ok(Self {
            algorithm,
            kind,
            key: head.kid.map(lenient::Identifier::into_text),
            message: &token.as_bytes()[..header.len() + 1 + payload.len()],
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Returns the claims if exactly one key of the set fits and has signed them.
    pub(crate) fn claims<T: for<'de> Deserialize<'de>>(&self, keys: &KeySet) -> Result<T, JwsError> {
        let named = |key: &&Key| self.key.is_none() || key.id == self.key;
        let mut candidates = keys.0.iter().filter(named).filter(|key| key.fits(self.algorithm));
        let key = match (candidates.next(), candidates.next()) {
            (Some(key), None) => key,
            (None, _) => return Err(JwsError::NoKey),
            // If several keys fit, the token must name one.
            (Some(_), Some(_)) => return Err("several keys could have signed it, and it names none of them".into()),
        };
        if !key.verifies(self.algorithm, self.message, &self.signature) {
            return Err("a wrong signature".into());
        }
        serde_json::from_slice(&self.payload).map_err(|error| JwsError::Refused(error.to_string()))
    }
}

/// The keys of a provider that we can use.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm that the key may be used for, if it names one.
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Clone, Debug)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use", default)]
    purpose: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    kid: Option<lenient::Identifier>,
    alg: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    crv: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    n: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    e: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    x: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    y: Option<String>,
}

impl KeySet {
    /// Parses a key set. Keys that are not for accepted signatures are skipped (RFC 7517, section 5).
    pub(crate) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(body)?;
        Ok(Self(set.keys.into_iter().filter_map(Key::read).collect()))
    }
}

impl Key {
    fn read(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        if jwk.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let algorithm = match jwk.alg {
            Some(name) => Some(Algorithm::named(&name)?),
            None => None,
        };
        // Some providers pad the text.
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        let public = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("RSA", _) => Public::Rsa { n: bytes(jwk.n)?, e: bytes(jwk.e)? },
            ("EC", Some("P-256")) => {
                Public::P256([vec![4], coordinate(&bytes(jwk.x)?)?, coordinate(&bytes(jwk.y)?)?].concat())
            }
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes(jwk.x)?),
            _ => return None,
        };
        Some(Self { id: jwk.kid.map(lenient::Identifier::into_text), algorithm, public })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match self.public {
            Public::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Public::P256(_) => algorithm == Algorithm::Es256,
            Public::Ed25519(_) => algorithm == Algorithm::Ed25519,
        };
        kind && self.algorithm.is_none_or(|one| one == algorithm)
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.public, algorithm) {
            (Public::Rsa { n, e }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n: without_zeros(n), e: without_zeros(e) }.verify(
                    &signature::RSA_PKCS1_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
            (Public::Rsa { n, e }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n: without_zeros(n), e: without_zeros(e) }.verify(
                    &signature::RSA_PSS_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
            (Public::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Public::Ed25519(key), Algorithm::Ed25519) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

/// Removes the leading zeros that some providers write.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Returns a coordinate on P-256, padded to its full length.
fn coordinate(number: &[u8]) -> Option<Vec<u8>> {
    let number = without_zeros(number);
    Some([vec![0; 32_usize.checked_sub(number.len())?], number.to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 8037, appendix A.4, and of RFC 7515, appendices A.2 and A.3.
    const ED25519: (&str, &str) = (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    const ES256: (&str, &str) = (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );

    fn verified(jwk: &str, token: &str) -> Result<bool, JwsError> {
        let keys = KeySet::parse(format!("{{\"keys\":[{jwk}]}}").as_bytes()).unwrap();
        match Jws::parse(token)?.claims::<Value>(&keys) {
            Ok(_) => Ok(true),
            // The payload of these examples is not JSON.
            Err(JwsError::Refused(reason)) if reason.contains("expected value") => Ok(true),
            Err(JwsError::Refused(reason)) if reason == "a wrong signature" => Ok(false),
            Err(error) => Err(error),
        }
    }

    // control: IDN-03
    #[test]
    fn the_examples_of_the_standards_verify_and_changed_ones_do_not() {
        for (jwk, token) in [ED25519, ES256] {
            assert_eq!(verified(jwk, token), Ok(true));
            let at = token.rfind('.').unwrap() + 10;
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert_eq!(verified(jwk, &changed), Ok(false));
        }
        assert_eq!(verified(ED25519.0, ES256.1), Err(JwsError::NoKey), "a key of another type does not fit");
    }

    // control: IDN-03
    #[test]
    fn a_key_is_for_what_it_says() {
        let (jwk, token) = ED25519;
        let with = |more: &str| verified(&jwk.replace("{\"kty\"", &format!("{{{more},\"kty\"")), token);
        for fits in [
            r#""alg":"EdDSA""#,
            r#""alg":"Ed25519""#,
            r#""use":"sig""#,
            r#""key_ops":["verify"],"ext":true"#,
            r#""kid":7"#,
        ] {
            assert_eq!(with(fits), Ok(true), "{fits}");
        }
        for other in [r#""alg":"RS256""#, r#""alg":"HS256""#, r#""alg":"ECDH-ES""#, r#""use":"enc""#] {
            assert_eq!(with(other), Err(JwsError::NoKey), "{other}");
        }
        assert_eq!(verified("1,null,{},{\"kty\":\"oct\",\"k\":\"AA\"}", token), Err(JwsError::NoKey), "skipped");
        assert_eq!(verified(&format!("{{}},{jwk}"), token), Ok(true), "the key that can be parsed");
        let twice = verified(&format!("{jwk},{jwk}"), token).unwrap_err();
        assert!(matches!(&twice, JwsError::Refused(reason) if reason.contains("several keys")), "{twice:?}");
    }

    // control: IDN-03
    #[test]
    fn refused_and_unsupported_tokens_give_different_errors() {
        let token = |header: &str| format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        let parsed = |header: &str| Jws::parse(&token(header)).map(|_| ()).unwrap_err();
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"NoNe"}"#] {
            assert!(matches!(parsed(header), JwsError::Refused(_)), "{header}");
        }
        for header in [r#"{"alg":"RS512"}"#, r#"{"alg":"ES384"}"#, r#"{"alg":"RS256","crit":["b64"],"b64":false}"#] {
            assert!(matches!(parsed(header), JwsError::Unsupported(_)), "{header}");
        }
        for header in ["{}", "[]", r#"{"alg":1}"#, r#"{"alg":"RS256","typ":1}"#] {
            assert!(matches!(parsed(header), JwsError::Refused(_)), "{header}");
        }
        assert!(matches!(Jws::parse("a.b.c.d.e").map(|_| ()), Err(JwsError::Unsupported(_))));
        assert!(matches!(Jws::parse("a.b").map(|_| ()), Err(JwsError::Refused(_))));
    }
}
