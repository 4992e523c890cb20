use audit::Event;
use axum::http::HeaderMap;
use chrono::Duration;
use serde_json::json;
use sqlx::types::Json;
use tenancy::{Identity as IdentityPlane, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Context, Error};
use webauthn_rs::prelude::{DiscoverableAuthentication, Passkey, PublicKeyCredential, WebauthnError};

use super::decoy::decoy;
use super::{Challenge, PasskeyFailure, Purpose, read};
use crate::actor::actor;
use crate::lockout::forget_failures;
use crate::rate_limit::RateLimit;
use crate::session::PASSKEY_CLONED;
use crate::{AccountNotification, Authn, SignedIn};

/// Challenges issued to one signed-in person.
const CHALLENGE_LIMIT: RateLimit = RateLimit { name: "challenge", burst: 30, period: Duration::seconds(20) };
/// Responses of one person. Each response creates an event.
const ANSWER_LIMIT: RateLimit = RateLimit { name: "proof", ..CHALLENGE_LIMIT };

/// A proof that a person has verified a passkey.
pub(crate) struct PasskeyProof {
    pub(crate) user: Uuid,
    pub(crate) passkey: Uuid,
    /// The organization that the passkey depends on, if it counts only with that organization's provider.
    pub(crate) sso_tenant: Option<TenantId>,
    /// Whether the account is locked. In that case the valid proof does not count.
    pub(crate) locked: bool,
}

impl Authn {
    /// Counts a challenge to create or verify a passkey.
    pub(super) async fn check_challenge_rate_limit(&self, who: &SignedIn) -> Result<(), Error> {
        self.check_person_rate_limit(CHALLENGE_LIMIT, who).await
    }

    /// Counts a response. Call it before the transaction, because a request never holds two connections.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] above the rate limit.
    pub async fn check_response_rate_limit(&self, who: &SignedIn) -> Result<(), Error> {
        self.check_person_rate_limit(ANSWER_LIMIT, who).await
    }

    /// Issues a challenge for one of the person's passkeys in this session. Returns `None` if they have none.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] above the rate limit, [`Error::Unauthenticated`] if the session has ended.
    pub async fn start_step_up(&self, who: &SignedIn) -> Result<Option<Challenge>, Error> {
        self.check_challenge_rate_limit(who).await?;
        let mut tx = self.begin_for(who).await?;
        let own = sqlx::query_scalar!(
            "select credential_id from identity.passkeys
              where user_id = $1 and disabled_at is null and (sso_tenant_id is null or sso_tenant_id = $2) order by id",
            who.user.uuid(),
            who.sso_tenant.map(TenantId::uuid) as Option<Uuid>,
        )
        .fetch_all(&mut *tx)
        .await?;
        if own.is_empty() {
            return Ok(None);
        }
        let challenge = self.challenge(&mut tx, Purpose::step_up(who), &own).await?;
        tx.commit().await?;
        Ok(Some(challenge))
    }

    /// Creates a challenge for one of the `allowed` credentials. If the list is empty, the person chooses a passkey.
    pub(super) async fn challenge(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        purpose: Purpose,
        allowed: &[Vec<u8>],
    ) -> Result<Challenge, Error> {
        // The library's own credential list would be a snapshot. The credentials are read again when the response
        // arrives.
        let (options, state) = self.0.webauthn.start_discoverable_authentication()?;
        let mut state = serde_json::to_value(&state)?;
        // A passkey of one device becomes a synchronized one when its owner turns synchronization on. The library
        // accepts that if the person is already known.
        state["ast"]["allow_backup_eligible_upgrade"] = json!(true);
        let mut options = serde_json::to_value(options)?["publicKey"].take();
        let credential = |id: &Vec<u8>| json!({ "type": "public-key", "id": crate::secret::base64url(id) });
        options["allowCredentials"] = allowed.iter().map(credential).collect();
        self.issue_challenge(tx, purpose, options, state).await
    }

    /// Verifies a response (WebAuthn Level 3, section 7.2). It first takes the challenge, and then reads the credential
    /// under a lock. If two responses have the same challenge or the same counter, only one is accepted. The caller
    /// commits in any case, because the challenge is used up.
    pub(crate) async fn prove(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        purpose: Purpose,
        answer: &str,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<PasskeyProof, (PasskeyFailure, String)>, Error> {
        let refused = |reason: &str| Ok(Err((PasskeyFailure::Refused, reason.to_owned())));
        let answer: PublicKeyCredential = read(answer)?;
        let Some(state) = self.take::<_, DiscoverableAuthentication>(tx, purpose, headers).await? else {
            return Ok(Err((PasskeyFailure::NoChallenge, "no challenge for this browser and purpose".to_owned())));
        };
        let stored = sqlx::query!(
            r#"select p.id, p.user_id, p.credential as "credential: Json<Passkey>", p.disabled_at,
                      (u.locked_at is not null) as "locked!", p.sso_tenant_id as "sso_tenant: TenantId"
                 from identity.passkeys p join identity.users u on u.id = p.user_id
                where p.credential_id = $1 for update of p for share of u"#,
            answer.get_credential_id(),
        )
        .fetch_optional(&mut **tx)
        .await?;
        // An impossible response is verified too, against a key that nobody has. Response times therefore do not reveal
        // whether the credential exists.
        let (stored, mut passkey) = match stored.ok_or("no such credential").and_then(|stored| {
            let unusable = unusable(purpose, &answer, stored.user_id, stored.sso_tenant, stored.disabled_at.is_some());
            unusable.map_or(Ok(stored), Err)
        }) {
            Ok(stored) => {
                let passkey = stored.credential.0.clone();
                (Ok(stored), passkey)
            }
            Err(reason) => (Err(reason), decoy(answer.get_credential_id())?),
        };
        let checked = self.0.webauthn.finish_discoverable_authentication_v2(&answer, state, &passkey);
        let stored = match stored {
            Ok(stored) => stored,
            Err(reason) => return refused(reason),
        };
        let result = match checked {
            Ok(result) => result,
            Err(WebauthnError::CredentialPossibleCompromise) => {
                self.disable_cloned(tx, stored.id, stored.user_id, stored.sso_tenant, context).await?;
                return Ok(Err((PasskeyFailure::Cloned, "the signature counter went back".to_owned())));
            }
            Err(error) => return refused(&error.to_string()),
        };
        passkey.update_credential(&result);
        self.record_use(tx, purpose, stored.id, &passkey).await?;
        // An attacker who guesses codes must not lock out an owner with a passkey.
        let bond = purpose.owner().map_or(stored.sso_tenant, |owner| owner.sso_tenant);
        forget_failures(tx, stored.user_id.into(), bond).await?;
        Ok(Ok(PasskeyProof {
            user: stored.user_id,
            passkey: stored.id,
            locked: stored.locked,
            sso_tenant: stored.sso_tenant,
        }))
    }

    /// Stores the new counter and the time of use.
    async fn record_use(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        purpose: Purpose,
        id: Uuid,
        passkey: &Passkey,
    ) -> Result<(), Error> {
        // A passkey that responds to a challenge without a list of credentials is discoverable, even if its browser
        // reported otherwise.
        sqlx::query!(
            "update identity.passkeys set credential = $2, last_used_at = $3, discoverable = discoverable or $4 where id = $1",
            id,
            serde_json::to_value(passkey)?,
            self.0.clock.now(),
            matches!(purpose, Purpose::SignIn),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Disables a cloned passkey. Two devices have the key, and one of them is not its owner's. Passkeys that were
    /// created with it are disabled, too. Every session that could use it ends, because nobody knows which sessions
    /// belong to the owner.
    async fn disable_cloned(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        passkey: Uuid,
        user: Uuid,
        sso_tenant: Option<TenantId>,
        context: &Context,
    ) -> Result<(), Error> {
        let now = self.0.clock.now();
        let disabled = sqlx::query_scalar!(
            "with recursive copied as (
               select p.id from identity.passkeys p where p.id = $1
               union select p.id from identity.passkeys p join copied c on p.enrolled_with = c.id)
             update identity.passkeys p set disabled_at = $2, disabled_reason = 'it was cloned, or created with one that was'
               from copied c where p.id = c.id and p.disabled_at is null returning p.id",
            passkey,
            now,
        )
        .fetch_all(&mut **tx)
        .await?;
        let ended = sqlx::query_scalar!(
            "update identity.sessions set ended_at = $2, ended_reason = $4
              where user_id = $1 and ended_at is null and expires_at > $2 and ($3::uuid is null or sso_tenant_id = $3) returning id",
            user,
            now,
            sso_tenant.map(TenantId::uuid) as Option<Uuid>,
            PASSKEY_CLONED,
        )
        .fetch_all(&mut **tx)
        .await?;
        let reason = "the signature counter went back";
        let details = json!({ "reason": reason, "disabled": disabled, "sessions_ended": ended });
        let event = Event { kind: "passkey.disabled", target: format!("Passkey::{passkey}"), details };
        event.record(tx, &actor(context, Some(user), None)).await?;
        self.notify(tx, user.into(), &AccountNotification::PasskeyCloned, context).await
    }
}

/// Returns why a stored credential cannot be used for this purpose, or `None` if it can. The owner of the credential
/// must be the person of the session, or the person that the authenticator names. A credential that depends on an
/// organization's provider counts only in that organization.
fn unusable(
    purpose: Purpose,
    answer: &PublicKeyCredential,
    owner: Uuid,
    sso_tenant: Option<TenantId>,
    disabled: bool,
) -> Option<&'static str> {
    let named = answer.get_user_unique_id().map(Uuid::from_slice);
    let session = purpose.owner();
    let agrees = match (session.map(|session| session.user), named) {
        (Some(user), None) => user == owner,
        (Some(user), Some(named)) => user == owner && named == Ok(user),
        (None, named) => named == Some(Ok(owner)),
    };
    if !agrees {
        Some("somebody else's credential")
    } else if sso_tenant.is_some() && session.is_some_and(|session| session.sso_tenant != sso_tenant) {
        Some("a credential with another bond")
    } else if disabled {
        Some("the passkey is disabled")
    } else {
        None
    }
}
