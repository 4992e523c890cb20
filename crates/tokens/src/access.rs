use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use tenancy::{Identity, TenantId, Tx, Write};
use uuid::Uuid;
use web::Error;

use crate::jwt::{self, Unverified};
use crate::{Scopes, Tokens};

/// How far the clocks of our instances may be apart.
const SKEW: i64 = 5;

/// RFC 9068. Other members are refused.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: Uuid,
}

/// The verified claims of an access token: we signed it, for us, and it is valid now. Only the database knows whether it was
/// revoked.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    iss: String,
    aud: String,
    sub: Uuid,
    pub(crate) client_id: Uuid,
    pub(crate) tenant: TenantId,
    pub(crate) scope: String,
    pub(crate) iat: i64,
    nbf: i64,
    pub(crate) exp: i64,
    pub(crate) jti: Uuid,
    pub(crate) family: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cnf: Option<Confirmation>,
}

/// RFC 9449, section 6.1: the key that must be proved with the token.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    pub(crate) jkt: String,
}

/// The client and subject that a token is issued to.
pub(crate) struct TokenSubject<'a> {
    pub(crate) client: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) tenant: TenantId,
    pub(crate) family: Uuid,
    pub(crate) scopes: &'a Scopes,
    pub(crate) jkt: Option<String>,
}

impl Tokens {
    pub(crate) async fn sign(
        &self,
        tx: &mut Tx<Write, Identity>,
        subject: TokenSubject<'_>,
        now: DateTime<Utc>,
    ) -> Result<(String, Uuid), Error> {
        let (kid, key) = self.signing_key(tx, now).await?;
        let header = Header { typ: "at+jwt".to_owned(), alg: "EdDSA".to_owned(), kid };
        let (jti, expires) = (Uuid::now_v7(), now + Duration::seconds(self.0.config.access_seconds.into()));
        let claims = AccessToken {
            iss: self.issuer().to_owned(),
            aud: self.audience(),
            sub: subject.subject,
            client_id: subject.client,
            tenant: subject.tenant,
            scope: subject.scopes.names().join(" "),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires.timestamp(),
            jti,
            family: subject.family,
            cnf: subject.jkt.map(|jkt| Confirmation { jkt }),
        };
        Ok((jwt::sign(&key, &header, &claims)?, jti))
    }

    /// Verifies an access token. `None` if we did not sign it, or it is not for us, or not valid now.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn verify(&self, token: &str) -> Result<Option<AccessToken>, Error> {
        let now = self.0.authn.clock().now();
        let Some(unverified) = Unverified::split(token) else { return Ok(None) };
        // SECURITY: we choose type and algorithm. The header only repeats them and names one of our keys.
        let header = unverified.header::<Header>().filter(|header| header.typ == "at+jwt" && header.alg == "EdDSA");
        let Some(Header { kid, .. }) = header else { return Ok(None) };
        let Some(key) = self.verifying_key(kid, now).await? else { return Ok(None) };
        if !jwt::is_signed(&key, unverified.signed.as_bytes(), &unverified.signature) {
            return Ok(None);
        }
        Ok(unverified.claims::<AccessToken>().filter(|claims| self.is_for_us_and_now(claims, now.timestamp())))
    }

    fn is_for_us_and_now(&self, claims: &AccessToken, now: i64) -> bool {
        claims.iss == self.issuer()
            && claims.aud == self.audience()
            && claims.exp > now
            && claims.nbf <= now + SKEW
            && claims.iat <= now + SKEW
            && claims.exp - claims.iat <= 900
    }
}
