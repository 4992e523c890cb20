use std::collections::BTreeMap;
use std::sync::Arc;

use audit::Decisions;
use authn::Authn;
use cedar_policy::{Context, Decision, Entities, EntityUid, Request, Response, RestrictedExpression};
use tenancy::{Enrolled, Membership, TenantId};
use tokens::{Scopes, Tokens};
use uuid::Uuid;
use web::Error;

use crate::caller::Caller;
use crate::entity::{Entity, Facts};
use crate::policies::Policies;

/// May they. Holds the policies, and who can say who is asking; cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authn: Authn,
    tokens: Tokens,
    decisions: Decisions,
    policies: Arc<Policies>,
    engine: cedar_policy::Authorizer,
}

/// Who asks about what, in which situation, as the policies see it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    known: Arc<Known>,
    resource: EntityUid,
    facts: Facts,
    context: Context,
}

/// What the questions of one request share: making it costs more than an answer.
#[derive(Debug)]
struct Known {
    asker: Asker,
    principal: EntityUid,
    resource: Entity,
    /// Principal and resource with all they are inside of.
    entities: Entities,
}

/// Who asks, the same in every question of one request.
#[derive(Clone, Debug)]
struct Asker {
    principal: Entity,
    tenant: Option<TenantId>,
    elevation: Option<Uuid>,
    situation: Situation,
    request: Uuid,
    client: Option<Uuid>,
}

/// How the person comes to ask, as `Situation` of the schema has it.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Situation {
    pub(crate) auth_age: i64,
    pub(crate) passkey_age: Option<i64>,
    pub(crate) recovery_age: Option<i64>,
    pub(crate) totp_age: Option<i64>,
    pub(crate) enrolled: Enrolled,
    pub(crate) by_link: bool,
    pub(crate) sign_on: Option<EntityUid>,
    pub(crate) unaccepted: bool,
    pub(crate) elevated: bool,
    pub(crate) risk_score: i64,
    /// What a client of the API was given. People have no such limits.
    pub(crate) scopes: Option<Scopes>,
}

impl Case {
    /// Whether a question about the one is a question about the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.known, &other.known) && self.resource == other.resource && self.facts == other.facts
    }
}

/// The answer to one question.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    policies: Vec<String>,
}

/// What the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed as it is.
    Allowed,
    /// Refused as it is, and allowed with a factor proved now.
    StepUp(Factor),
    /// Refused, whatever they prove.
    Refused,
}

/// What turns a refusal into a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// A passkey.
    Passkey,
    /// A passkey, or a code of the authenticator app that they have.
    PasskeyOrCode,
}

impl Authorizer {
    /// Decides by these policies. They are shared: several authorizers may have the same.
    #[must_use]
    pub fn new(authn: Authn, tokens: Tokens, decisions: Decisions, policies: impl Into<Arc<Policies>>) -> Self {
        let engine = cedar_policy::Authorizer::new();
        Self(Arc::new(Inner { authn, tokens, decisions, policies: policies.into(), engine }))
    }

    /// Puts a case together and checks it against the schema.
    pub(crate) fn case(
        &self,
        who: &impl Caller,
        membership: Option<&Membership>,
        principal: Entity,
        resource: Entity,
        facts: Facts,
    ) -> Result<Case, Error> {
        let sign_on =
            who.sign_on().map(|tenant| self.0.policies.uid(&Entity::new("Organization", tenant).uid)).transpose()?;
        let asker = Asker {
            principal,
            tenant: membership.map(|membership| membership.tenant),
            elevation: membership.and_then(|membership| membership.elevation.as_ref()).map(|elevation| elevation.id),
            situation: Situation { sign_on, ..who.situation(membership, self.0.authn.clock().now()) },
            request: who.context().request,
            client: who.client(),
        };
        self.case_of(asker, resource, facts)
    }

    fn case_of(&self, asker: Asker, resource: Entity, facts: Facts) -> Result<Case, Error> {
        let policies = &self.0.policies;
        // Somebody who acts on themselves is one and the same, with the role they act in.
        let resource = if resource.uid == asker.principal.uid { asker.principal.clone() } else { resource };
        let mut known = BTreeMap::new();
        for entity in [&asker.principal, &resource] {
            entity.collect(&mut known).map_err(|twice| Error::internal(format!("{twice} is told of in two ways")))?;
        }
        let entities = policies.entities(known.into_values())?;
        let (principal, on) = (policies.uid(&asker.principal.uid)?, policies.uid(&resource.uid)?);
        let context = asker.situation.with(facts, true)?;
        let known = Arc::new(Known { asker, principal, resource, entities });
        Ok(Case { known, resource: on, facts, context })
    }

    /// What the same person may ask about another resource.
    pub(crate) fn about(&self, case: &Case, resource: Entity, facts: Facts) -> Result<Case, Error> {
        let Case { known, .. } = case;
        let uid = self.0.policies.uid(&resource.uid)?;
        let is_known = resource == known.resource || (resource.is_name_only() && known.entities.get(&uid).is_some());
        if !is_known {
            return self.case_of(known.asker.clone(), resource, facts);
        }
        let context =
            if facts == case.facts { case.context.clone() } else { known.asker.situation.with(facts, true)? };
        Ok(Case { known: Arc::clone(known), resource: uid, facts, context })
    }

    /// Asks the policies, and where they refuse, whether a factor proved now would change that. Whatever cannot be asked or
    /// errs is a refusal and an error in the log: Cedar itself would skip a policy that errs, also one that forbids.
    pub(crate) fn ask(&self, case: &Case, action: &'static str) -> Answer {
        self.evaluate(case, action).unwrap_or_else(|error| {
            tracing::error!(error, action, "a policy question failed; refused");
            Answer { verdict: Verdict::Refused, policies: Vec::new() }
        })
    }

    /// Whether they may know that the resource of the case exists, `view` being the action that says so. Where no client
    /// can be given that one, a client knows of what whoever it acts as does.
    pub(crate) fn visible(&self, case: &Case, view: &'static str) -> Verdict {
        let within = |scopes: &Scopes| scopes.include(view) || !scopes.are_offered(view);
        let in_scope = case.known.asker.situation.scopes.as_ref().is_none_or(within);
        self.evaluate_in(case, view, in_scope).map_or(Verdict::Refused, |answer| answer.verdict)
    }

    fn evaluate(&self, case: &Case, action: &'static str) -> Result<Answer, String> {
        let scopes = case.known.asker.situation.scopes.as_ref();
        self.evaluate_in(case, action, scopes.is_none_or(|scopes| scopes.include(action)))
    }

    fn evaluate_in(&self, case: &Case, action: &'static str, in_scope: bool) -> Result<Answer, String> {
        let situation = &case.known.asker.situation;
        let context = if in_scope { Ok(case.context.clone()) } else { situation.with(case.facts, false) };
        let context = context.map_err(|error| format!("{error:?}"))?;
        let response = self.response(case, action, context)?;
        let policies = response.diagnostics().reason().map(ToString::to_string).collect();
        if response.decision() == Decision::Allow {
            return Ok(Answer { verdict: Verdict::Allowed, policies });
        }
        let would = |fresh: Situation| {
            let context = fresh.with(case.facts, in_scope).map_err(|error| format!("{error:?}"))?;
            Ok::<_, String>(self.response(case, action, context)?.decision() == Decision::Allow)
        };
        let verdict = if situation.enrolled.totp && would(situation.with_fresh_code())? {
            Verdict::StepUp(Factor::PasskeyOrCode)
        } else if would(situation.with_fresh_passkey())? {
            Verdict::StepUp(Factor::Passkey)
        } else {
            Verdict::Refused
        };
        Ok(Answer { verdict, policies })
    }

    fn response(&self, case: &Case, action: &'static str, context: Context) -> Result<Response, String> {
        let Policies { schema, by_action, .. } = &*self.0.policies;
        let asked = by_action.get(action).ok_or("no such action")?;
        let Case { known, resource, .. } = case;
        let (principal, action) = (known.principal.clone(), asked.action.uid());
        let request = Request::new(principal, action, resource.clone(), context, Some(schema))
            .map_err(|error| error.to_string())?;
        // With the groups that the action is in.
        let entities = known.entities.clone().add_entities([asked.action.clone()], None);
        let entities = entities.map_err(|error| error.to_string())?;
        let response = self.0.engine.is_authorized(&request, &asked.set, &entities);
        let failed = response.diagnostics().errors().next().map(ToString::to_string);
        failed.map_or(Ok(response), Err)
    }

    /// Whether the action may change memberships: its group in the schema says so.
    pub(crate) fn gives_access(&self, action: &'static str) -> bool {
        self.0.policies.by_action.get(action).is_none_or(|asked| asked.gives_access)
    }

    /// The answer as a record.
    pub(crate) fn decision(&self, case: &Case, action: &'static str, answer: &Answer) -> audit::Decision {
        audit::Decision {
            tenant: case.known.asker.tenant,
            at: self.0.authn.clock().now(),
            principal: case.known.principal.to_string(),
            action,
            resource: case.resource.to_string(),
            allowed: answer.verdict == Verdict::Allowed,
            step_up: matches!(answer.verdict, Verdict::StepUp(_)),
            policies: answer.policies.clone(),
            policy_set: self.0.policies.hash,
            request: case.known.asker.request,
            client: case.known.asker.client,
            elevation: case.known.asker.elevation,
        }
    }

    /// A refusal before any policy could be asked: the person has no part in what the path names.
    pub(crate) fn refusal(&self, who: &impl Caller, action: &'static str, resource: &Entity) -> audit::Decision {
        audit::Decision {
            tenant: None,
            at: self.0.authn.clock().now(),
            principal: who.outside().to_string(),
            action,
            resource: resource.to_string(),
            allowed: false,
            step_up: false,
            policies: Vec::new(),
            policy_set: self.0.policies.hash,
            request: who.context().request,
            client: who.client(),
            elevation: None,
        }
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
}

impl Situation {
    /// The same, had they proved a passkey now. What was unusual before the proof is not unusual after it; but somebody
    /// without a passkey would only make one, which proves nothing of the kind.
    fn with_fresh_passkey(&self) -> Self {
        let risk_score = if self.enrolled.passkey { 0 } else { self.risk_score };
        Self { passkey_age: Some(0), risk_score, ..self.clone() }
    }

    /// The same, had they proved a code now. What is unusual stays unusual: a code can be phished.
    fn with_fresh_code(&self) -> Self {
        Self { totp_age: Some(0), ..self.clone() }
    }

    /// The context of a question about a resource of which these facts are known; `in_scope` unless a client of the API
    /// asks for more than it was given.
    fn with(&self, facts: Facts, in_scope: bool) -> Result<Context, Error> {
        let long = RestrictedExpression::new_long;
        let mut pairs = vec![
            ("auth_age".to_owned(), long(self.auth_age)),
            ("passkey_enrolled".to_owned(), RestrictedExpression::new_bool(self.enrolled.passkey)),
            ("totp_enrolled".to_owned(), RestrictedExpression::new_bool(self.enrolled.totp)),
            ("risk_score".to_owned(), long(self.risk_score)),
        ];
        if let Some(age) = self.passkey_age {
            pairs.push(("passkey_age".to_owned(), long(age)));
        }
        for (name, is) in [
            ("by_link", self.by_link),
            ("unaccepted", self.unaccepted),
            ("elevated", self.elevated),
            ("out_of_scope", !in_scope),
        ] {
            if is {
                pairs.push((name.to_owned(), RestrictedExpression::new_bool(true)));
            }
        }
        if let Some(organization) = &self.sign_on {
            pairs.push(("sign_on".to_owned(), RestrictedExpression::new_entity_uid(organization.clone())));
        }
        if let Some(age) = self.totp_age {
            pairs.push(("totp_age".to_owned(), long(age)));
        }
        if let Some(age) = self.recovery_age {
            pairs.push(("recovery_age".to_owned(), long(age)));
        }
        if let Some(amount) = facts.amount {
            pairs.push(("amount".to_owned(), long(amount)));
        }
        if let Some(class) = facts.data_classification {
            pairs.push(("data_classification".to_owned(), RestrictedExpression::new_string(class.to_owned())));
        }
        Ok(Context::from_pairs(pairs)?)
    }
}
