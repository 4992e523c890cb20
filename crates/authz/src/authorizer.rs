//! Asks the policies, records what they answer, and turns a refusal into the response to it.

use std::sync::Arc;
use std::time::Instant;

use audit::Decisions;
use authn::{Authn, SignedIn};
use axum::http::Method;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use tenancy::{Plane, Read, TenantId, Tx};
use tokens::{ApiClient, Scopes, Tokens};
use web::{Addresses, Error, LocalPath, Result};

use crate::cedar::CedarQuestion;
use crate::context::RefusedBecause;
use crate::decision::{Answer, Decision, StepUp};
use crate::decision_cache::{DecisionCache, DecisionKey};
use crate::entity::Entity;
use crate::policies::Policies;
use crate::request::{AuthzRequest, Caller, RequestContext};

const NEEDS_A_PERSON: &str = "This takes a passkey, which a client of the API cannot prove. A person has to do it.";

/// Holds the policies and the ways to authenticate a caller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authn: Authn,
    tokens: Tokens,
    decisions: Decisions,
    policies: Arc<Policies>,
    engine: cedar_policy::Authorizer,
    answers: DecisionCache,
}

/// What a guard asks.
pub(crate) struct Question<'a> {
    pub(crate) caller: Caller<'a>,
    pub(crate) request: &'a AuthzRequest,
    pub(crate) action: &'static str,
    /// The action that says whether they may know of the resource.
    pub(crate) view: &'static str,
    /// The action only reads.
    pub(crate) reads: bool,
    pub(crate) parts: &'a Parts,
    /// The organization of the path.
    pub(crate) tenant: Option<TenantId>,
    /// When the guard began to put the question.
    pub(crate) since: Instant,
}

/// What a guard was allowed.
pub(crate) enum Granted<P: Plane> {
    /// To read, in the transaction of the decision, which is recorded.
    Read(Tx<Read, P>),
    /// To write, in a transaction that is still to begin and records the decision.
    Write(audit::Decision),
}

impl Authorizer {
    /// Decides by these policies. Several authorizers may share them.
    #[must_use]
    pub fn new(authn: Authn, tokens: Tokens, decisions: Decisions, policies: impl Into<Arc<Policies>>) -> Self {
        let engine = cedar_policy::Authorizer::new();
        let (policies, answers) = (policies.into(), DecisionCache::default());
        Self(Arc::new(Inner { authn, tokens, decisions, policies, engine, answers }))
    }

    /// Answers the guard of a route: the decision is recorded, and a refusal is the response to the request.
    ///
    /// # Errors
    ///
    /// The response to a refusal. [`Error::Unavailable`] if it cannot be recorded.
    pub(crate) async fn authorize<P: Plane>(&self, question: Question<'_>, tx: Tx<Read, P>) -> Result<Granted<P>> {
        let Question { request, action, .. } = question;
        let answer = self.decide(request, action);
        tracing::Span::current().record("decision_micros", micros(question.since));
        let decision = self.record_of(request, action, &answer);
        if answer.decision == Decision::Allow {
            // A write begins its own transaction after the body has arrived: a slow client holds no connection.
            if !question.reads {
                return Ok(Granted::Write(decision));
            }
            self.record(decision).await?;
            return Ok(Granted::Read(tx));
        }
        self.record(decision).await?;
        // The connection goes back first: a request never holds two.
        drop(tx);
        Err(self.response_to_refusal(&question, answer.decision).await?)
    }

    /// Refuses a request whose path leads to an organization or workspace that the caller has no part in: no policy can be
    /// asked about it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the refusal cannot be recorded.
    pub(crate) async fn refuse_outsider(
        &self,
        caller: Caller<'_>,
        action: &'static str,
        resource: &Entity,
    ) -> Result<Error> {
        self.record(audit::Decision {
            tenant: None,
            at: self.now(),
            principal: caller.as_user().to_string(),
            action,
            resource: resource.to_string(),
            allowed: false,
            step_up: false,
            policies: Arc::default(),
            policy_set: self.0.policies.hash,
            request: caller.context().request,
            client: caller.client(),
            context: serde_json::Map::new(),
        })
        .await?;
        Ok(self.not_found(caller, action))
    }

    /// Asks the policies, and if they refuse, whether a factor proved now would change that. Whatever cannot be asked or
    /// fails is a refusal and an error in the log: Cedar itself would skip a policy that fails, even one that forbids.
    pub(crate) fn decide(&self, request: &AuthzRequest, action: &'static str) -> Answer {
        let scopes = request.principal.context.scopes.as_ref();
        let in_scope = scopes.is_none_or(|scopes| scopes.include(action));
        self.evaluate(request, action, in_scope).unwrap_or_else(|error| {
            tracing::error!(error, action, "policy evaluation failed; the request is refused");
            Answer { decision: Decision::Deny, policies: Arc::default() }
        })
    }

    /// Whether they may know that the resource exists, `view` being the action that says so. If no client can be given
    /// that action, a client knows of what the member it acts as knows of.
    fn visible(&self, request: &AuthzRequest, view: &'static str) -> Decision {
        let within = |scopes: &Scopes| scopes.include(view) || !scopes.are_offered(view);
        let in_scope = request.principal.context.scopes.as_ref().is_none_or(within);
        self.evaluate(request, view, in_scope).map_or(Decision::Deny, |answer| answer.decision)
    }

    fn evaluate(&self, request: &AuthzRequest, action: &'static str, in_scope: bool) -> Result<Answer, String> {
        let key = DecisionKey::new(&self.0.policies.distinctions, request, action, in_scope);
        if let Some(answer) = self.0.answers.get(&key) {
            return Ok(answer);
        }
        let answer = self.ask(request, action, in_scope)?;
        self.0.answers.insert(key, answer.clone());
        Ok(answer)
    }

    fn ask(&self, request: &AuthzRequest, action: &'static str, in_scope: bool) -> Result<Answer, String> {
        let (policies, context) = (&*self.0.policies, &request.principal.context);
        let loaded = policies.by_action.get(action).ok_or("no such action")?;
        let question = CedarQuestion::new(policies, request, loaded, in_scope).map_err(|error| format!("{error:?}"))?;
        let ask = |context: &RequestContext| {
            let request = question.in_context(context).map_err(|error| format!("{error:?}"))?;
            let response = self.0.engine.is_authorized(&request, &loaded.policies, &question.entities);
            let failed = response.diagnostics().errors().next().map(ToString::to_string);
            failed.map_or(Ok(response), Err)
        };
        let response = ask(context)?;
        let policies = response.diagnostics().reason().map(ToString::to_string).collect();
        if response.decision() == cedar_policy::Decision::Allow {
            return Ok(Answer { decision: Decision::Allow, policies });
        }
        let allowed_with = |fresh| Ok::<_, String>(ask(&fresh)?.decision() == cedar_policy::Decision::Allow);
        let step_up = |by_code| Decision::StepUp(StepUp { by_code, page: self.addresses().step_up });
        let decision = if context.enrolled.totp && allowed_with(context.with_fresh_code())? {
            step_up(true)
        } else if allowed_with(context.with_fresh_passkey())? {
            step_up(false)
        } else {
            Decision::Deny
        };
        Ok(Answer { decision, policies })
    }

    /// Whether the action may change memberships: its group in the schema says so.
    pub(crate) fn gives_access(&self, action: &'static str) -> bool {
        self.0.policies.by_action.get(action).is_none_or(|loaded| loaded.gives_access)
    }

    /// The answer as a record.
    pub(crate) fn record_of(&self, request: &AuthzRequest, action: &'static str, answer: &Answer) -> audit::Decision {
        let principal = &request.principal;
        audit::Decision {
            tenant: principal.tenant,
            at: self.now(),
            principal: principal.entity.to_string(),
            action,
            resource: request.resource.to_string(),
            allowed: answer.decision == Decision::Allow,
            step_up: matches!(answer.decision, Decision::StepUp(_)),
            policies: answer.policies.clone(),
            policy_set: self.0.policies.hash,
            request: principal.request,
            client: principal.client,
            context: principal.audit_context.clone(),
        }
    }

    /// Records a decision that no transaction records.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if there are too many to record.
    pub(crate) async fn record(&self, decision: audit::Decision) -> Result<()> {
        self.0.decisions.record(decision).await.map_err(|_| Error::Unavailable)
    }

    async fn response_to_refusal(&self, question: &Question<'_>, decision: Decision) -> Result<Error> {
        let Question { caller, request, action, view, parts, tenant, .. } = *question;
        if let Some(error) = self.out_of_scope(caller, action) {
            return Ok(error);
        }
        let decision = if decision == Decision::Deny { self.visible(request, view) } else { decision };
        Ok(match (decision, caller, &request.principal.refused_because) {
            (Decision::Allow, ..) => forbidden(caller),
            (Decision::StepUp(step_up), Caller::Person(person), _) => {
                self.step_up(person, parts, action, step_up).await?
            }
            (Decision::StepUp(_), Caller::Client(_), _) => not_permitted(NEEDS_A_PERSON),
            (Decision::Deny, Caller::Person(_), Some(why)) => self.sign_in_again(parts, tenant, why),
            (Decision::Deny, Caller::Client(_), Some(why)) => not_permitted(why.text_for_clients),
            (Decision::Deny, _, None) => Error::NotFound,
        })
    }

    /// The response if a write is refused that was allowed before its body arrived.
    pub(crate) fn response_to_late_refusal(
        &self,
        caller: Caller<'_>,
        request: &AuthzRequest,
        action: &'static str,
        view: &'static str,
        decision: Decision,
    ) -> Error {
        if let Some(error) = self.out_of_scope(caller, action) {
            return error;
        }
        match (decision, caller) {
            (Decision::StepUp(_), Caller::Client(_)) => not_permitted(NEEDS_A_PERSON),
            (Decision::StepUp(step_up), Caller::Person(_)) => Error::StepUp(step_up.url("/"), None),
            _ if self.visible(request, view) == Decision::Allow => forbidden(caller),
            _ => Error::NotFound,
        }
    }

    /// The response for a client that may not do `action` as well.
    pub(crate) fn response_to_client(&self, client: &ApiClient, action: &'static str, decision: Decision) -> Error {
        let caller = Caller::Client(client);
        match (self.out_of_scope(caller, action), decision) {
            (Some(error), _) => error,
            (None, Decision::StepUp(_)) => not_permitted(NEEDS_A_PERSON),
            (None, _) => forbidden(caller),
        }
    }

    /// The response where nothing is found. A client learns nothing by an action that it was not given, not even whether
    /// something exists.
    pub(crate) fn not_found(&self, caller: Caller<'_>, action: &'static str) -> Error {
        self.out_of_scope(caller, action).unwrap_or(Error::NotFound)
    }

    fn out_of_scope(&self, caller: Caller<'_>, action: &'static str) -> Option<Error> {
        match caller {
            Caller::Client(client) if !client.scopes().include(action) => {
                Some(self.0.tokens.insufficient_scope(client, action))
            }
            Caller::Person(_) | Caller::Client(_) => None,
        }
    }

    /// The page that asks for the factor and then continues: with the page that was asked for, or with the form that was
    /// sent, which is stored until then. Programs get the challenge alone and ask again themselves.
    async fn step_up(&self, person: &SignedIn, parts: &Parts, action: &'static str, step_up: StepUp) -> Result<Error> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        if parts.method != Method::POST || !web::wants_html(&parts.headers) {
            return Ok(Error::StepUp(step_up.url(path), None));
        }
        let form = web::form_of_refused(parts).await?;
        self.step_up_with_form(Caller::Person(person), action, step_up, path, &form).await
    }

    /// The same for a form that was read already, with the path that it goes to.
    ///
    /// # Errors
    ///
    /// The form cannot be stored.
    pub(crate) async fn step_up_with_form(
        &self,
        caller: Caller<'_>,
        action: &'static str,
        step_up: StepUp,
        path: &str,
        form: &[u8],
    ) -> Result<Error> {
        let Caller::Person(person) = caller else { return Ok(Error::StepUp(step_up.url("/"), None)) };
        let (id, cookie) = self.0.authn.defer_request(person, action, path, form).await?;
        Ok(Error::StepUp(step_up.url_of_form(id), Some(cookie)))
    }

    /// The sign-in page, for somebody whose organization does not accept the way they signed in.
    fn sign_in_again(&self, parts: &Parts, tenant: Option<TenantId>, why: &RefusedBecause) -> Error {
        let path = LocalPath::or_home(parts.uri.path_and_query().map_or("/", |path| path.as_str())).encoded();
        let organization = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
        let (page, reason) = (self.addresses().sign_in, &why.reason);
        let address =
            format!("{page}?reauthenticate=yes&unaccepted={reason}&organization={organization}&return_to={path}");
        Error::StepUp(address, None)
    }

    fn addresses(&self) -> &Addresses {
        self.0.authn.addresses()
    }

    pub(crate) fn authn(&self) -> &Authn {
        &self.0.authn
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn decisions(&self) -> &Decisions {
        &self.0.decisions
    }

    pub(crate) fn policies(&self) -> &Policies {
        &self.0.policies
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.authn.clock().now()
    }
}

/// The response if the role does not allow an action on something that they may know of.
fn forbidden(caller: Caller<'_>) -> Error {
    match caller {
        Caller::Person(_) => Error::Forbidden,
        Caller::Client(_) => not_permitted("The role that this client acts in does not allow this."),
    }
}

fn not_permitted(text: &'static str) -> Error {
    Error::NotPermitted(text.into(), None)
}

pub(crate) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
