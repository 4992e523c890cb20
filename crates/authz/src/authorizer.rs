use std::collections::BTreeMap;
use std::sync::Arc;

use audit::{Decision, Decisions};
use authn::{Authn, SignedIn};
use cedar_policy::{Context, Entities, EntityUid, Request, RestrictedExpression};
use tenancy::{Db, TenantId};
use uuid::Uuid;
use web::Error;

use crate::entity::{Entity, Facts};
use crate::policies::{Policies, PolicyError, PolicySource};

/// May they. Holds the policies and the way to the rows they guard; cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    authn: Authn,
    decisions: Decisions,
    policies: Policies,
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
    principal: (Entity, EntityUid),
    resource: Entity,
    /// Principal and resource with all they are inside of.
    entities: Entities,
    tenant: Option<TenantId>,
    request: Uuid,
}

/// The answer to one question.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    policies: Vec<String>,
}

impl Authorizer {
    /// Checks the policies against the schema and the code, and refuses to be made of unsound ones.
    pub fn new(db: Db, authn: Authn, decisions: Decisions, sources: &[PolicySource]) -> Result<Self, PolicyError> {
        let policies = Policies::load(sources)?;
        let engine = cedar_policy::Authorizer::new();
        Ok(Self(Arc::new(Inner { db, authn, decisions, policies, engine })))
    }

    /// Checks policies without a database.
    pub fn check(sources: &[PolicySource]) -> Result<(), PolicyError> {
        Policies::load(sources).map(drop)
    }

    /// Puts a case together and checks it against the schema.
    pub(crate) fn case(
        &self,
        who: &SignedIn,
        tenant: Option<TenantId>,
        principal: Entity,
        resource: Entity,
        facts: Facts,
    ) -> Result<Case, Error> {
        let policies = &self.0.policies;
        let mut known = BTreeMap::new();
        for entity in [&principal, &resource] {
            entity.collect(&mut known).map_err(|twice| Error::internal(format!("{twice} is told of in two ways")))?;
        }
        let entities = known.into_values().map(|entity| policies.entity(entity)).collect::<Result<Vec<_>, _>>()?;
        let entities = Entities::from_entities(entities, Some(&policies.schema))?;
        let (by, on) = (policies.uid(&principal.uid)?, policies.uid(&resource.uid)?);
        let request = who.context().request;
        let known = Arc::new(Known { principal: (principal, by), resource, entities, tenant, request });
        Ok(Case { known, resource: on, facts, context: self.situation(who, facts)? })
    }

    /// What the same person may ask about another resource.
    pub(crate) fn about(&self, case: &Case, who: &SignedIn, resource: Entity, facts: Facts) -> Result<Case, Error> {
        let Case { known, .. } = case;
        let uid = self.0.policies.uid(&resource.uid)?;
        let is_known = resource == known.resource || (resource.is_name_only() && known.entities.get(&uid).is_some());
        if !is_known {
            return self.case(who, known.tenant, known.principal.0.clone(), resource, facts);
        }
        let context = if facts == case.facts { case.context.clone() } else { self.situation(who, facts)? };
        Ok(Case { known: Arc::clone(known), resource: uid, facts, context })
    }

    /// Asks the policies. Whatever cannot be asked or errs is a refusal and an error in the log: Cedar itself would skip
    /// a policy that errs, also one that forbids.
    pub(crate) fn ask(&self, case: &Case, action: &'static str) -> Answer {
        match self.evaluate(case, action) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(error, action, "a policy question failed; refused");
                Answer { allowed: false, policies: Vec::new() }
            }
        }
    }

    fn evaluate(&self, case: &Case, action: &'static str) -> Result<Answer, String> {
        let Policies { schema, by_action, .. } = &self.0.policies;
        let asked = by_action.get(action).ok_or("no such action")?;
        let Case { known, resource, context, .. } = case.clone();
        let request = Request::new(known.principal.1.clone(), asked.uid.clone(), resource, context, Some(schema))
            .map_err(|error| error.to_string())?;
        let response = self.0.engine.is_authorized(&request, &asked.set, &known.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(error.to_string());
        }
        Ok(Answer {
            allowed: response.decision() == cedar_policy::Decision::Allow,
            policies: response.diagnostics().reason().map(ToString::to_string).collect(),
        })
    }

    fn situation(&self, who: &SignedIn, facts: Facts) -> Result<Context, Error> {
        let age = self.0.authn.clock().now() - who.auth_time;
        let methods = who.methods.iter().map(|method| RestrictedExpression::new_string(method.clone()));
        let mut pairs = vec![
            ("auth_age".to_owned(), RestrictedExpression::new_long(age.num_seconds().max(0))),
            ("methods".to_owned(), RestrictedExpression::new_set(methods)),
            ("risk_score".to_owned(), RestrictedExpression::new_long(who.risk_score())),
        ];
        if let Some(amount) = facts.amount {
            pairs.push(("amount".to_owned(), RestrictedExpression::new_long(amount)));
        }
        if let Some(class) = facts.data_classification {
            pairs.push(("data_classification".to_owned(), RestrictedExpression::new_string(class.to_owned())));
        }
        Ok(Context::from_pairs(pairs)?)
    }

    /// The answer as a record.
    pub(crate) fn decision(&self, case: &Case, action: &'static str, answer: &Answer) -> Decision {
        Decision {
            tenant: case.known.tenant,
            at: self.0.authn.clock().now(),
            principal: case.known.principal.1.to_string(),
            action,
            resource: case.resource.to_string(),
            allowed: answer.allowed,
            policies: answer.policies.clone(),
            policy_set: self.0.policies.hash,
            request: case.known.request,
        }
    }

    /// A refusal before any policy could be asked: the person has no part in what the path names.
    pub(crate) fn refusal(&self, who: &SignedIn, action: &'static str, resource: &Entity) -> Decision {
        Decision {
            tenant: None,
            at: self.0.authn.clock().now(),
            principal: Entity::new("User", who.user).to_string(),
            action,
            resource: resource.to_string(),
            allowed: false,
            policies: Vec::new(),
            policy_set: self.0.policies.hash,
            request: who.context().request,
        }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    pub(crate) fn authn(&self) -> &Authn {
        &self.0.authn
    }

    pub(crate) fn decisions(&self) -> &Decisions {
        &self.0.decisions
    }
}
