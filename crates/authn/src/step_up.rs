use audit::Event;
use axum::http::HeaderMap;
use serde_json::json;
use tenancy::{Identity as IdentityPlane, Tx, Write};
use uuid::Uuid;
use web::Error;

use crate::deferred_request::DeferredRequest;
use crate::passkeys::{PasskeyFailure, Purpose};
use crate::secret::{Token, hash};
use crate::{Authn, NewCookie, SignedIn, session_cookie};

/// The result of a step-up: the new session cookie, and the request it was for.
#[derive(Debug)]
pub struct StepUpOutcome {
    /// The new cookie.
    pub cookie: NewCookie,
    /// The deferred request, which was taken. It is executed once or never.
    pub deferred: Option<DeferredRequest>,
}

impl Authn {
    /// Accepts one of the person's passkeys for this session, replaces the session's token, and takes the deferred
    /// request. Either all of this happens or none of it.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] above the rate limit, [`Error::Unauthenticated`] if the session has ended. The inner error says why
    /// the passkey is not accepted.
    pub async fn finish_step_up(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        answer: &str,
        deferred: Option<Uuid>,
    ) -> Result<Result<StepUpOutcome, PasskeyFailure>, Error> {
        self.check_response_rate_limit(who).await?;
        let mut tx = self.begin_for(who).await?;
        let proof = match self.prove(&mut tx, Purpose::step_up(who), answer, headers, who.context()).await? {
            Ok(proof) => proof,
            Err((failure, reason)) => {
                tracing::warn!(reason, "step-up failed");
                let details = json!({ "reason": reason });
                let event = Event { kind: "step_up.failed", target: format!("Session::{}", who.session), details };
                event.record(&mut tx, &who.actor()).await?;
                tx.commit().await?;
                return Ok(Err(failure));
            }
        };
        let cookie = self.record_proof(&mut tx, who, headers, proof.passkey).await?;
        let deferred = match deferred {
            Some(id) => self.take_deferred_request_in(&mut tx, who, headers, id).await?,
            None => None,
        };
        let details = json!({ "passkey": proof.passkey });
        let event = Event { kind: "session.stepped_up", target: format!("Session::{}", who.session), details };
        event.record(&mut tx, &who.actor()).await?;
        tx.commit().await?;
        Ok(Ok(StepUpOutcome { cookie, deferred }))
    }

    /// Records a proof in the session, with device and network, and replaces its token at once. An attacker with the
    /// old token therefore does not get the new rights. If two proofs have the same token, the second one finds the
    /// token replaced.
    pub(crate) async fn record_proof(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        headers: &HeaderMap,
        passkey: Uuid,
    ) -> Result<NewCookie, Error> {
        let token = Token::new()?;
        let given = session_cookie::token_of(headers).map(hash).ok_or(Error::Unauthenticated)?;
        let noted = sqlx::query!(
            "update identity.sessions
                set token_hash = $3, previous_hash = null, previous_until = null, rotated_at = $4, passkey_at = $4,
                    passkey_id = $2, device = $6, network = $7, last_device = $6, last_network = $7, new_device = false,
                    location_changes = 0, location_returns = 0, location_changed_at = null,
                    methods = case when 'passkey' = any (methods) then methods else array_append(methods, 'passkey') end
              where id = $1 and (token_hash = $5 or previous_hash = $5) and ended_at is null",
            who.session,
            passkey,
            &token.hash()[..],
            self.0.clock.now(),
            &given[..],
            who.context().client.device,
            who.context().client.network,
        )
        .execute(&mut **tx)
        .await?;
        if noted.rows_affected() == 0 {
            return Err(Error::Unauthenticated);
        }
        Ok(NewCookie::of(&token))
    }
}
