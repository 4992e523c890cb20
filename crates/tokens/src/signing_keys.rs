use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Duration, Utc};
use ed25519_dalek::{SigningKey, VerifyingKey};
use encryption::{Column, EncryptionContext};
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};
use tenancy::{Identity, Read, Tx, Write};
use tokio::sync::Mutex;
use uuid::Uuid;
use web::Error;

use crate::{Tokens, jwt};

/// A key is published this long before it signs, for clients that cache the list.
const OVERLAP: Duration = Duration::days(1);
/// How old our own copy of the list may get.
const CACHE_AGE: Duration = Duration::seconds(60);
/// For an unknown key the list is read again, but not more often than this, because anybody can name any key.
const MIN_REFRESH_INTERVAL: Duration = Duration::seconds(10);
/// For clocks that differ, and tokens in flight.
const CLOCK_SKEW: Duration = Duration::seconds(60);

/// The public keys, as last read.
#[derive(Debug, Default)]
pub(crate) struct VerifyingKeys {
    known: RwLock<Arc<CachedKeys>>,
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct CachedKeys {
    at: Option<DateTime<Utc>>,
    keys: Vec<PublishedKey>,
}

#[derive(Clone, Debug)]
struct PublishedKey {
    id: Uuid,
    key: VerifyingKey,
    until: DateTime<Utc>,
}

impl CachedKeys {
    fn older_than(&self, age: Duration, now: DateTime<Utc>) -> bool {
        self.at.is_none_or(|at| now - at >= age)
    }
}

impl VerifyingKeys {
    fn known(&self) -> Arc<CachedKeys> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tokens {
    /// The key with this id, if it is published.
    pub(crate) async fn verifying_key(&self, id: Uuid, now: DateTime<Utc>) -> Result<Option<VerifyingKey>, Error> {
        let find =
            |known: &CachedKeys| known.keys.iter().find(|key| key.id == id && key.until > now).map(|key| key.key);
        let known = self.0.ring.known();
        let found = find(&known);
        let age = if found.is_some() { CACHE_AGE } else { MIN_REFRESH_INTERVAL };
        if !known.older_than(age, now) {
            return Ok(found);
        }
        Ok(find(&*self.read_keys(age, now).await?))
    }

    /// Reads the list, unless another request has just done so.
    async fn read_keys(&self, age: Duration, now: DateTime<Utc>) -> Result<Arc<CachedKeys>, Error> {
        let _one_at_a_time = self.0.ring.reading.lock().await;
        let known = self.0.ring.known();
        if !known.older_than(age, now) {
            return Ok(known);
        }
        let mut tx = self.0.db.begin_identity::<Read>().await?;
        let rows = sqlx::query!(
            "select id, public, published_until from identity.signing_keys where published_until > $1",
            now
        );
        let mut keys = Vec::new();
        for row in rows.fetch_all(&mut *tx).await? {
            let key = VerifyingKey::try_from(&row.public[..])?;
            keys.push(PublishedKey { id: row.id, key, until: row.published_until });
        }
        let known = Arc::new(CachedKeys { at: Some(now), keys });
        *self.0.ring.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        Ok(known)
    }

    /// The published keys as a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn key_set(&self) -> Result<Value, Error> {
        let now = self.0.authn.clock().now();
        let known = self.read_keys(MIN_REFRESH_INTERVAL, now).await?;
        let keys = known.keys.iter().filter(|key| key.until > now).map(|PublishedKey { id, key, .. }| {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": jwt::encode(key.as_bytes()), "kid": id, "use": "sig", "alg": "EdDSA" })
        });
        Ok(json!({ "keys": keys.collect::<Vec<_>>() }))
    }

    /// The key that signs now. Makes sure that the next key is published before it is needed.
    pub(crate) async fn signing_key(
        &self,
        tx: &mut Tx<Write, Identity>,
        now: DateTime<Utc>,
    ) -> Result<(Uuid, SigningKey), Error> {
        let (signing, last) = self.stored_keys(tx, now).await?;
        if let (Some(signing), true) = (signing, last.is_some_and(|last| last - now > OVERLAP)) {
            return Ok(signing);
        }
        // Of several requests that find this, one creates the key.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended('identity.signing_keys', 0))")
            .execute(&mut **tx)
            .await?;
        let (signing, last) = self.stored_keys(tx, now).await?;
        match (signing, last) {
            (Some(signing), Some(last)) if last - now > OVERLAP => Ok(signing),
            (Some(signing), Some(last)) => {
                self.new_key(tx, last).await?;
                Ok(signing)
            }
            // There is no key yet, or none that decrypts because its encryption key is gone.
            _ => self.new_key(tx, now).await,
        }
    }

    /// The key that signs now, and when the last key ends.
    async fn stored_keys(
        &self,
        tx: &mut Tx<Write, Identity>,
        now: DateTime<Utc>,
    ) -> Result<(Option<(Uuid, SigningKey)>, Option<DateTime<Utc>>), Error> {
        let rows = sqlx::query!(
            "select id, private, signs_from, signs_until from identity.signing_keys where signs_until > $1 order by signs_until",
            now,
        );
        let rows = rows.fetch_all(&mut **tx).await?;
        let last = rows.last().map(|row| row.signs_until);
        // The oldest key that still signs, because it has been published longest.
        let signing = rows.iter().filter(|row| row.signs_from <= now).find_map(|row| {
            let opened = self.0.keys.decrypt(encryption_context(row.id), &row.private).inspect_err(|error| {
                tracing::error!(%error, key = %row.id, "signing key could not be decrypted");
            });
            Some((row.id, SigningKey::try_from(&opened.ok()?[..]).ok()?))
        });
        Ok((signing, last))
    }

    async fn new_key(&self, tx: &mut Tx<Write, Identity>, from: DateTime<Utc>) -> Result<(Uuid, SigningKey), Error> {
        let (id, mut bytes) = (Uuid::now_v7(), Zeroizing::new([0; 32]));
        getrandom::fill(&mut bytes[..])?;
        let key = SigningKey::from_bytes(&bytes);
        let until = from + Duration::days(self.0.config.key_days.into());
        let published_until = until + Duration::seconds(self.0.config.access_seconds.into()) + CLOCK_SKEW;
        let public = key.verifying_key().to_bytes();
        let private = self.0.keys.encrypt(encryption_context(id), &bytes[..])?;
        sqlx::query!(
            "insert into identity.signing_keys (id, public, private, signs_from, signs_until, published_until)
             values ($1, $2, $3, $4, $5, $6)",
            id,
            &public,
            private,
            from,
            until,
            published_until,
        )
        .execute(&mut **tx)
        .await?;
        tracing::info!(key = %id, %from, %until, "signing key created");
        Ok((id, key))
    }
}

fn encryption_context(key: Uuid) -> EncryptionContext {
    EncryptionContext { column: Column::SigningKey, row: key }
}
