use audit::Event;
use axum::http::HeaderMap;
use serde_json::json;
use tenancy::Write;
use web::{Context, Error};

use super::{Challenge, PasskeyFailure, Purpose};
use crate::actor::actor;
use crate::session::Authentication;
use crate::{Authn, NewCookie, ProofOfWorkSolution, SignInFailure};

impl Authn {
    /// Starts a sign-in with only a passkey. The response names the person.
    ///
    /// # Errors
    ///
    /// [`Error::ProofOfWork`] or [`Error::TooMany`] if the network has started many sign-ins.
    pub async fn start_passkey_sign_in(
        &self,
        solution: &ProofOfWorkSolution,
        context: &Context,
    ) -> Result<Challenge, Error> {
        self.check_sign_in("passkey", solution, context).await?;
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let challenge = self.challenge(&mut tx, Purpose::SignIn, &[]).await?;
        tx.commit().await?;
        Ok(challenge)
    }

    /// Signs in the person who responds to this browser's challenge. A challenge takes one response, and was counted
    /// when it was issued. Responses without a challenge are not counted, so they use up no limit that others share.
    ///
    /// # Errors
    ///
    /// The database fails. The inner error says why the person is not signed in.
    pub async fn finish_passkey_sign_in(
        &self,
        answer: &str,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<NewCookie, SignInFailure>, Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let (proof, whose) = match self.prove(&mut tx, Purpose::SignIn, answer, headers, context).await? {
            Ok(proof) if proof.locked => {
                (Err((SignInFailure::Locked, "the account is locked".to_owned())), Some(proof.user))
            }
            Ok(proof) => (Ok(proof), None),
            Err((PasskeyFailure::NoChallenge, reason)) => (Err((SignInFailure::NoFlow, reason)), None),
            Err((_, reason)) => (Err((SignInFailure::Refused, reason)), None),
        };
        let proof = match proof {
            Ok(proof) => proof,
            Err((failure, reason)) => {
                tracing::warn!(reason, "passkey sign-in failed");
                // A response without a challenge is only logged, because anybody can send any number of them.
                if failure != SignInFailure::NoFlow {
                    let details = json!({ "provider": "passkey", "reason": reason });
                    let event = Event { kind: "sign_in.failed", target: "Passkey".to_owned(), details };
                    event.record(&mut tx, &actor(context, whose, None)).await?;
                }
                tx.commit().await?;
                return Ok(Err(failure));
            }
        };
        if let Some(here) = self.session_of_browser(&mut tx, headers).await? {
            self.end_replaced_session(&mut tx, here, context).await?;
        }
        let authentication = Authentication::by_passkey(proof.passkey, proof.sso_tenant, self.0.clock.now());
        let (session, token) = self.create_session(&mut tx, proof.user, authentication, context).await?;
        self.supersede_in_other_tabs(&mut tx, headers, session).await?;
        let by = actor(context, Some(proof.user), Some(session));
        let details = json!({ "passkey": proof.passkey, "device": context.client.device });
        let event = Event { kind: "sign_in.succeeded", target: format!("Session::{session}"), details };
        event.record(&mut tx, &by).await?;
        tx.commit().await?;
        Ok(Ok(NewCookie::of(&token)))
    }
}
