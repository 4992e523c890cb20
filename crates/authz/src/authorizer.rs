use std::sync::Arc;

use audit::{Decision, Decisions};
use authn::{Authn, SignedIn};
use cedar_policy::{Context, Entities, EntityUid, Request, RestrictedExpression};
use tenancy::{Db, TenantId};
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

/// The answer to one question.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    policies: Vec<String>,
}

/// One question.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) who: &'a SignedIn,
    pub(crate) principal: &'a Entity,
    pub(crate) action: &'static str,
    pub(crate) resource: &'a Entity,
    pub(crate) facts: Facts,
    /// Principal and resource with all they are inside of.
    pub(crate) entities: &'a Entities,
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

    /// Asks the policies. Whatever cannot be asked or errs is a refusal and an error in the log: Cedar itself would skip
    /// a policy that errs, also one that forbids.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Answer {
        match self.evaluate(question) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(error, action = question.action, "a policy question failed; refused");
                Answer { allowed: false, policies: Vec::new() }
            }
        }
    }

    fn evaluate(&self, question: &Question<'_>) -> Result<Answer, String> {
        let Policies { set, schema, .. } = &self.0.policies;
        let action: EntityUid = EntityUid::from_type_name_and_id(
            "Action".parse().map_err(text)?,
            cedar_policy::EntityId::new(question.action),
        );
        let uid = |entity: &Entity| entity.uid().ok_or_else(|| format!("{entity} is no entity"));
        let context = self.situation(question)?;
        let request = Request::new(uid(question.principal)?, action, uid(question.resource)?, context, Some(schema))
            .map_err(text)?;
        let response = self.0.engine.is_authorized(&request, set, question.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(error.to_string());
        }
        Ok(Answer {
            allowed: response.decision() == cedar_policy::Decision::Allow,
            policies: response.diagnostics().reason().map(ToString::to_string).collect(),
        })
    }

    /// The entities of a question, checked against the schema. Several questions about the same ones share them: making
    /// them costs more than an answer.
    pub(crate) fn entities(&self, principal: &Entity, resource: &Entity) -> Result<Entities, Error> {
        let mut entities = Vec::with_capacity(8);
        [principal, resource]
            .into_iter()
            .try_for_each(|entity| entity.collect(&mut entities))
            .ok_or_else(|| Error::internal(format!("{principal} or {resource} is no entity")))?;
        Ok(Entities::from_entities(entities, Some(&self.0.policies.schema))?)
    }

    fn situation(&self, question: &Question<'_>) -> Result<Context, String> {
        let age = self.0.authn.clock().now() - question.who.auth_time;
        let methods = question.who.methods.iter().map(|method| RestrictedExpression::new_string(method.clone()));
        let mut pairs = vec![
            ("auth_age".to_owned(), RestrictedExpression::new_long(age.num_seconds().max(0))),
            ("methods".to_owned(), RestrictedExpression::new_set(methods)),
            ("risk_score".to_owned(), RestrictedExpression::new_long(question.who.risk_score())),
        ];
        if let Some(amount) = question.facts.amount {
            pairs.push(("amount".to_owned(), RestrictedExpression::new_long(amount)));
        }
        if let Some(class) = question.facts.data_classification {
            pairs.push(("data_classification".to_owned(), RestrictedExpression::new_string(class.to_owned())));
        }
        Context::from_pairs(pairs).map_err(text)
    }

    /// The answer as a record.
    pub(crate) fn decision(&self, question: &Question<'_>, answer: &Answer, tenant: Option<TenantId>) -> Decision {
        Decision {
            tenant,
            at: self.0.authn.clock().now(),
            principal: question.principal.to_string(),
            action: question.action,
            resource: question.resource.to_string(),
            allowed: answer.allowed,
            policies: answer.policies.clone(),
            policy_set: self.0.policies.hash,
            request: question.who.context().request,
        }
    }

    /// A refusal before any policy could be asked: the person has no part in what the path names.
    pub(crate) fn refusal(&self, who: &SignedIn, action: &'static str, resource: &Entity) -> Decision {
        let principal = Entity::new("User", who.user);
        let (facts, entities) = (Facts::default(), Entities::empty());
        let question = Question { who, principal: &principal, action, resource, facts, entities: &entities };
        self.decision(&question, &Answer { allowed: false, policies: Vec::new() }, None)
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

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
