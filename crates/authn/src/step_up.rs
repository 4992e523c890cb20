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

/// A session in which a factor has just been proved: its new cookie, and what it was proved for.
#[derive(Debug)]
pub struct StepUpOutcome {
    /// The new cookie.
    pub cookie: NewCookie,
    /// The form that waited, taken: it is done once or never.
    pub deferred: Option<DeferredRequest>,
}

impl Authn {
    /// Accepts one of the person's passkeys for this session, gives the session a new token, and takes what was kept for
    /// it: all or nothing.
    pub async fn finish_step_up(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        answer: &str,
        deferred: Option<Uuid>,
    ) -> Result<Result<StepUpOutcome, PasskeyFailure>, Error> {
        self.check_answer_rate_limit(who).await?;
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

    /// Notes a proof in the session, from where it was made, and replaces its token at once: whoever had the old one does
    /// not get what it now may. Of two proofs that came with one token the second one finds it replaced.
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
                    passkey_id = $2, device = $6, network = $7, seen_device = $6, seen_network = $7, new_device = false,
                    changes = 0, returns = 0, changed_at = null,
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
