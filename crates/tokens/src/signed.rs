//! Requests that a client signs with its secret: HTTP Message Signatures (RFC 9421) with `hmac-sha256`, and nothing else of
//! that standard. A signature covers the method, the authority, the path, the query if there is one, and the digest of the
//! body (RFC 9530) if there is one. It is valid for a minute, and once.

use std::ops::RangeInclusive;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tenancy::Write;
use uuid::Uuid;
use web::{BodyDigest, Context, Error, RateLimitKey};

use crate::replay_guard::{self, SingleUse};
use crate::{Tokens, secret};

/// How far the time of a signature may be from ours.
const SKEW: i64 = 60;
const MAX_LENGTH: usize = 1024;
const ALGORITHM: &str = "hmac-sha256";
/// Length of a nonce.
const NONCE: RangeInclusive<usize> = 16..=100;

/// The components that a signature must cover, in any order, and no others.
fn covered(query: bool, body: bool) -> impl Iterator<Item = &'static str> {
    let always = ["@method", "@authority", "@path"].into_iter();
    always.chain(query.then_some("@query")).chain(body.then_some("content-digest"))
}

/// A parsed signature that is not verified yet.
struct ParsedSignature<'a> {
    /// The component list with its parameters, as sent: the last line of the signature base.
    params: &'a str,
    components: Vec<&'a str>,
    created: i64,
    nonce: &'a str,
    client: Uuid,
    mac: Vec<u8>,
}

/// The value of a header that must not be repeated.
fn single_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    (values.next().is_none() && value.len() <= MAX_LENGTH).then_some(value)
}

impl<'a> ParsedSignature<'a> {
    fn read(headers: &'a HeaderMap) -> Option<Self> {
        let (label, params) = single_header(headers, "signature-input")?.split_once('=')?;
        let (signature_label, signature) = single_header(headers, "signature")?.split_once('=')?;
        if label != signature_label
            || label.is_empty()
            // A key of RFC 8941, section 3.1.2.
            || !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b))
        {
            return None;
        }
        let mac = STANDARD.decode(signature.strip_prefix(':')?.strip_suffix(':')?).ok()?;
        let (components, rest) = params.strip_prefix('(')?.split_once(')')?;
        let components = components.split(' ').map(quoted).collect::<Option<Vec<_>>>()?;
        let (mut created, mut nonce, mut client, mut alg) = (None, None, None, None);
        for parameter in rest.strip_prefix(';')?.split(';') {
            let (name, value) = parameter.split_once('=')?;
            let twice = match name {
                "created" => created.replace(value.parse().ok()?).is_some(),
                "nonce" => nonce.replace(quoted(value)?).is_some(),
                "keyid" => client.replace(quoted(value)?.parse::<web::Id>().ok()?.uuid()).is_some(),
                "alg" => alg.replace(quoted(value)?).is_some(),
                _ => true,
            };
            if twice {
                return None;
            }
        }
        let nonce = nonce.filter(|nonce| NONCE.contains(&nonce.len()))?;
        (alg? == ALGORITHM).then_some(Self { params, components, created: created?, nonce, client: client?, mac })
    }

    /// The signature base of this request to `authority`. `None` if the signature covers less or something else.
    fn base(&self, parts: &Parts, authority: &str) -> Option<String> {
        let wanted: Vec<_> = covered(parts.uri.query().is_some(), has_body(parts)).collect();
        let covers = |wanted: &&&str| self.components.iter().filter(|given| given == wanted).count() == 1;
        if self.components.len() != wanted.len() || wanted.iter().filter(covers).count() != wanted.len() {
            return None;
        }
        let mut values = Vec::new();
        for component in &self.components {
            let value = match *component {
                "@method" => parts.method.as_str().to_owned(),
                "@authority" => authority.to_owned(),
                "@path" => parts.uri.path().to_owned(),
                "@query" => format!("?{}", parts.uri.query()?),
                _ => single_header(&parts.headers, "content-digest")?.to_owned(),
            };
            values.push((*component, value));
        }
        Some(signature_base(&values, self.params))
    }
}

/// RFC 9421, section 2.5.
pub(crate) fn signature_base(components: &[(&str, String)], params: &str) -> String {
    let mut base = String::new();
    for (component, value) in components {
        for part in ["\"", component, "\": ", value, "\n"] {
            base.push_str(part);
        }
    }
    base + "\"@signature-params\": " + params
}

/// RFC 9421, section 3.3.3. In constant time.
pub(crate) fn is_signed(key: &[u8], base: &[u8], mac: &[u8]) -> Result<bool, Error> {
    Ok(Hmac::<Sha256>::new_from_slice(key)?.chain_update(base).verify_slice(mac).is_ok())
}

/// A string of a structured field (RFC 8941), without characters that would be escaped.
fn quoted(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    inside.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\').then_some(inside)
}

/// A body may follow. The handler must get the one that was signed.
fn has_body(parts: &Parts) -> bool {
    let length = parts.headers.get(header::CONTENT_LENGTH);
    !matches!(parts.method, Method::GET | Method::DELETE)
        || parts.headers.contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length.as_bytes() != b"0")
}

/// An example of a signed request, with every step, for the page that explains it. It is made with the code that verifies
/// signatures, so it is always right.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is what the page shows under that name")]
pub struct SignedExample {
    pub method: &'static str,
    pub path: String,
    pub body: &'static str,
    pub client: Uuid,
    pub secret: &'static str,
    pub digest: String,
    pub base: String,
    pub input: String,
    pub signature: String,
    /// All components that can be covered.
    pub components: Vec<&'static str>,
    pub algorithm: &'static str,
    pub nonce_lengths: String,
    /// How long a signature is valid.
    pub seconds: i64,
}

impl Tokens {
    /// Signs an example request of a client that does not exist.
    ///
    /// # Errors
    ///
    /// The key is not usable, which does not happen.
    pub fn signed_example(&self, now: DateTime<Utc>) -> Result<SignedExample, Error> {
        let (method, body) = ("POST", "{\"name\":\"Ada Lovelace\"}");
        let secret = "an-example-secret-that-nobody-has-0123456789";
        let id = |last: u8| Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 + u128::from(last));
        let (organization, workspace, client) = (id(1), id(2), id(3));
        let path = format!("/api/v1/o/{organization}/w/{workspace}/contacts");
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
        let value = |component: &str| match component {
            "@method" => method.to_owned(),
            "@authority" => self.authority(),
            "@path" => path.clone(),
            _ => digest.clone(),
        };
        let components: Vec<_> = covered(false, true).map(|component| (component, value(component))).collect();
        let names: Vec<_> = components.iter().map(|(component, _)| format!("\"{component}\"")).collect();
        let (names, created) = (names.join(" "), now.timestamp());
        let nonce = "a-new-one-each-time";
        let params = format!("({names});created={created};nonce=\"{nonce}\";keyid=\"{client}\";alg=\"{ALGORITHM}\"");
        let base = signature_base(&components, &params);
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?.chain_update(&base).finalize();
        let signature = format!("sig=:{}:", STANDARD.encode(mac.into_bytes()));
        Ok(SignedExample {
            method,
            body,
            client,
            secret,
            base,
            signature,
            input: format!("sig={params}"),
            components: covered(true, true).collect(),
            algorithm: ALGORITHM,
            nonce_lengths: format!("{} to {}", NONCE.start(), NONCE.end()),
            seconds: SKEW,
            path,
            digest,
        })
    }
}

fn digest(headers: &HeaderMap) -> Option<[u8; 32]> {
    let text = single_header(headers, "content-digest")?.strip_prefix("sha-256=:")?.strip_suffix(':')?;
    STANDARD.decode(text).ok()?.try_into().ok()
}

impl Tokens {
    /// The client that signed the request with its current secret, within the last minute and for the first time. `None` if
    /// there is no such client.
    pub(crate) async fn signer(
        &self,
        parts: &mut Parts,
        context: &Context,
        now: DateTime<Utc>,
    ) -> Result<Option<Uuid>, Error> {
        let Some(given) = ParsedSignature::read(&parts.headers) else { return Ok(None) };
        let Some(base) = given.base(parts, &self.authority()) else { return Ok(None) };
        if given.created.abs_diff(now.timestamp()) > SKEW.unsigned_abs() {
            return Ok(None);
        }
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let client = sqlx::query!(
            "select secret, secret_created_at, secret_days from tenant.api_clients where id = $1 and signs",
            given.client
        );
        let Some(client) = client.fetch_optional(&mut *tx).await? else { return Ok(None) };
        if secret::ends_at(client.secret_created_at, client.secret_days) <= now {
            return Ok(None);
        }
        let key = self.0.keys.decrypt(secret::encryption_context(given.client), &client.secret)?;
        if !is_signed(&key, base.as_bytes(), &given.mac)? {
            return Ok(None);
        }
        context.check_rate_limit(RateLimitKey::Client(given.client))?;
        let (owner, until) = (given.client.to_string(), now + replay_guard::retention(SKEW));
        let value = SingleUse { kind: "signature", owner: &owner, value: given.nonce };
        if !replay_guard::is_first_use(&mut tx, value, until).await? {
            return Ok(None);
        }
        sqlx::query!("update tenant.api_clients set last_used_at = $2 where id = $1", given.client, now)
            .execute(&mut *tx)
            .await?;
        let client = given.client;
        if has_body(parts) {
            let Some(digest) = digest(&parts.headers) else { return Ok(None) };
            parts.extensions.insert(BodyDigest(digest));
        }
        tx.commit().await?;
        Ok(Some(client))
    }
}
