//! Remembers what the policies answered.
//!
//! An answer follows from the question alone, so it stays right for as long as the policies are loaded: no time limit is
//! needed, and nothing has to be invalidated. Who is a member in which role, and all else of the question, is read from the
//! database for each request.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::decision::Answer;
use crate::distinctions::{Distinctions, Magnitude};
use crate::entity::{Attribute, Entity, Uid};
use crate::request::AuthzRequest;

/// Most answers that are kept: about 2 MB.
const CAPACITY: usize = 4_096;

/// The answers to questions that were asked before. Begins again when it is full.
#[derive(Debug, Default)]
pub(crate) struct DecisionCache(RwLock<HashMap<DecisionKey, Answer>>);

impl DecisionCache {
    /// The answer to a question, if it was asked before.
    pub(crate) fn get(&self, key: &DecisionKey) -> Option<Answer> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps an answer.
    pub(crate) fn insert(&self, key: DecisionKey, answer: Answer) {
        let mut answers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= CAPACITY {
            answers.clear();
        }
        answers.insert(key, answer);
    }
}

/// All of a question that the policies can tell from others, as bytes. Every part has its length or its number before it, so
/// different parts never make the same bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DecisionKey(Vec<u8>);

impl DecisionKey {
    /// The key of a question. `in_scope` is false if a client of the API asks for an action that it was not given.
    pub(crate) fn new(distinctions: &Distinctions, request: &AuthzRequest, action: &str, in_scope: bool) -> Self {
        let AuthzRequest { principal, resource, sensitivity } = request;
        let context = &principal.context;
        let mut key = KeyWriter { distinctions, uids: Vec::new(), bytes: Vec::with_capacity(512) };
        key.text(action);
        for flag in [in_scope, context.enrolled.passkey, context.enrolled.totp, context.by_link] {
            key.bytes.push(flag.into());
        }
        for (name, number) in context.numbers(*sensitivity) {
            key.number(name, number);
        }
        key.text(sensitivity.data_classification.unwrap_or_default());
        key.entity(&principal.entity);
        key.entity(resource);
        key.length(context.sso_organization.iter().len());
        if let Some(uid) = &context.sso_organization {
            key.uid(uid);
        }
        key.attributes(&context.added);
        Self(key.bytes)
    }
}

struct KeyWriter<'a> {
    distinctions: &'a Distinctions,
    /// The entities so far that are only compared with each other. Each one is written as its place here.
    uids: Vec<&'a Uid>,
    bytes: Vec<u8>,
}

impl<'a> KeyWriter<'a> {
    fn length(&mut self, length: usize) {
        self.bytes.extend(length.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes.extend(text.as_bytes());
    }

    fn number(&mut self, name: &str, number: Option<i64>) {
        let (kind, number) = match number.map(|number| self.distinctions.magnitude(name, number)) {
            None => (0, 0),
            Some(Magnitude::Between(below)) => (1, below),
            Some(Magnitude::Bound(below)) => (2, below),
            Some(Magnitude::Exactly(number)) => (3, number),
        };
        self.bytes.push(kind);
        self.bytes.extend(number.to_le_bytes());
    }

    fn uid(&mut self, uid: &'a Uid) {
        self.text(uid.kind);
        if self.distinctions.is_named(uid.kind) {
            return self.text(&uid.id);
        }
        let known = self.uids.iter().position(|known| *known == uid);
        let place = known.unwrap_or_else(|| {
            self.uids.push(uid);
            self.uids.len() - 1
        });
        self.length(place);
    }

    fn entity(&mut self, entity: &'a Entity) {
        self.uid(&entity.uid);
        self.attributes(&entity.attributes);
        self.length(entity.parents.len());
        for parent in &entity.parents {
            self.entity(parent);
        }
    }

    fn attributes(&mut self, attributes: &'a [(&'static str, Attribute)]) {
        self.length(attributes.len());
        for (name, value) in attributes {
            self.text(name);
            let (kind, uids) = match value {
                Attribute::Flag => (0, &[][..]),
                Attribute::Text(_) => (1, &[][..]),
                Attribute::Reference(uid) => (2, std::slice::from_ref(uid)),
                Attribute::References(uids) => (3, &uids[..]),
            };
            self.bytes.push(kind);
            if let Attribute::Text(text) = value {
                self.text(text);
            }
            self.length(uids.len());
            for uid in uids {
                self.uid(uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use authn::EnrolledFactors;
    use uuid::Uuid;

    use super::*;
    use crate::action::ActionDeclaration;
    use crate::cedar::CedarQuestion;
    use crate::context::{ContextFragment, Contribution};
    use crate::entity::Sensitivity;
    use crate::policies::{Policies, PolicySource};
    use crate::request::{Principal, RequestContext};

    fn policies() -> Policies {
        let schema = r#"
            entity Role enum ["owner", "viewer"];
            entity Organization;
            entity Member in [Role, Organization] { organization: Organization, mail?: String };
            entity File in [Organization] { owner: Member, readers: Set<Member>, mail?: String };
            action Read, Write appliesTo { principal: [Member], resource: [File], context: RequestContext };"#;
        let policies = r#"
            @id("base.inside") forbid (principal, action, resource) unless { resource in principal.organization };
            @id("base.own") permit (principal is Member, action, resource is File) when { resource.owner == principal };
            @id("base.owners") permit (principal is Member in Role::"owner", action == Action::"Read", resource is File)
              when { context has passkey_age && context.passkey_age <= 300 };
            @id("base.readers") permit (principal is Member, action == Action::"Read", resource is File)
              when { resource.readers.contains(principal) && context.auth_age < 900 };
            @id("base.by_mail") permit (principal is Member, action == Action::"Read", resource is File)
              when { principal has mail && resource has mail && principal.mail == resource.mail };
            @id("base.sso") permit (principal is Member, action == Action::"Write", resource is File)
              when { context has sso_organization && context.sso_organization == principal.organization && context has elevated };
            @id("base.risky") forbid (principal, action, resource) when { context.risk_score > 30 };
            @id("base.place") forbid (principal, action, resource) when { context has place && context.place == "x" };
            @id("base.scope") forbid (principal, action, resource) when { context has out_of_scope };"#;
        let context = "auth_age: Long, risk_score: Long, passkey_age?: Long, totp_age?: Long, recovery_age?: Long, amount?: Long, passkey_enrolled: Bool, \
                       totp_enrolled: Bool, by_link?: Bool, out_of_scope?: Bool, sso_organization?: Organization, data_classification?: String, elevated?: Bool, place?: String";
        let context = ContextFragment { schema: context, role_groups: &[], read: |_| Ok(Contribution::default()) };
        // A permit for any action is refused.
        let policies = policies
            .replace("action, resource is File", "action in [Action::\"Read\", Action::\"Write\"], resource is File");
        let declared = |name| ActionDeclaration { name, writes: false, data: None };
        let actions = vec![declared("Read"), declared("Write")].leak();
        let source = PolicySource { name: "base", schema, policies: policies.leak(), actions, context: Some(context) };
        Policies::load(&[source]).unwrap()
    }

    /// Numbers from a seed, the same in every run (`SplitMix64`).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((z ^ (z >> 31)) % u64::try_from(most).unwrap()).unwrap()
        }

        /// Mostly the first, so that whole questions repeat.
        fn one<T: Clone>(&mut self, of: &[T]) -> T {
            let which = if self.below(4) > 0 { 0 } else { self.below(of.len()) };
            of[which].clone()
        }
    }

    /// A question about a few people, files and organizations, whose ids are of this question alone.
    fn question(numbers: &mut Numbers) -> (AuthzRequest, &'static str, bool) {
        let ids: [Uuid; 6] = std::array::from_fn(|_| Uuid::now_v7());
        let organizations = [0, 1].map(|n| Entity::new("Organization", ids[n]));
        let names = [2, 3].map(|n| Entity::new("Member", ids[n]));
        let texts = |entity: Entity, numbers: &mut Numbers| match numbers.one(&[0, 1, 2]) {
            0 => entity,
            1 => entity.text("mail", "one@example.com"),
            _ => entity.text("mail", "two@example.com"),
        };
        let home = &organizations[0];
        let member = names[0].clone().reference("organization", home).inside(home.clone());
        let member = texts(member.inside(Entity::new("Role", numbers.one(&["owner", "viewer"]))), numbers);
        let file = Entity::new("File", ids[4]).inside(numbers.one(&organizations));
        let readers: Vec<_> = names.iter().filter(|_| numbers.one(&[false, true])).cloned().collect();
        let file = texts(file.reference("owner", &numbers.one(&names)).references("readers", &readers), numbers);
        let ages = [None, Some(0), Some(299), Some(300), Some(301), Some(100_000)];
        let mut added = Vec::new();
        if numbers.one(&[false, true]) {
            added.push(("elevated", Attribute::Flag));
        }
        if numbers.one(&[false, true]) {
            added.push(("place", Attribute::Text(numbers.one(&["x", "y"]).to_owned())));
        }
        let sso_organization =
            numbers.one(&[None, Some(organizations[0].uid.clone()), Some(organizations[1].uid.clone())]);
        let context = RequestContext {
            auth_age: numbers.one(&[0, 899, 900, 901]),
            passkey_age: numbers.one(&ages),
            recovery_age: numbers.one(&ages),
            totp_age: numbers.one(&ages),
            enrolled: EnrolledFactors::default(),
            by_link: numbers.one(&[false, true]),
            sso_organization,
            risk_score: numbers.one(&[0, 30, 31]),
            added,
            scopes: None,
        };
        let principal = Principal {
            entity: member,
            context,
            tenant: None,
            audit_context: serde_json::Map::new(),
            request: ids[5],
            client: None,
            refused_because: None,
            waiting: tenancy::Waiting::default(),
        };
        let request =
            AuthzRequest { principal: Arc::new(principal), resource: file, sensitivity: Sensitivity::default() };
        (request, numbers.one(&["Read", "Write"]), numbers.one(&[true, false]))
    }

    // control: POL-11
    #[test]
    fn questions_with_one_key_have_one_answer() {
        let (policies, engine) = (policies(), cedar_policy::Authorizer::new());
        let mut answers: HashMap<DecisionKey, (cedar_policy::Decision, Vec<String>)> = HashMap::new();
        let (mut numbers, mut repeated, mut allowed) = (Numbers(7), 0, 0);
        for _ in 0..3_000 {
            let (request, action, in_scope) = question(&mut numbers);
            let loaded = &policies.by_action[action];
            let asked = CedarQuestion::new(&policies, &request, loaded, in_scope).unwrap();
            let context = asked.in_context(&request.principal.context).unwrap();
            let response = engine.is_authorized(&context, &loaded.policies, &asked.entities);
            let mut reasons: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
            reasons.sort();
            let answer = (response.decision(), reasons);
            allowed += usize::from(answer.0 == cedar_policy::Decision::Allow);
            let key = DecisionKey::new(&policies.distinctions, &request, action, in_scope);
            if let Some(known) = answers.get(&key) {
                assert_eq!(*known, answer, "{request:?} {action}");
                repeated += 1;
            }
            answers.insert(key, answer);
        }
        assert!(repeated > 500 && allowed > 500, "{repeated} repeated, {allowed} allowed");
    }

    // control: POL-11
    #[test]
    fn what_the_policies_compare_makes_another_key_and_nothing_else_does() {
        let policies = policies();
        let key = |request: &AuthzRequest, action| DecisionKey::new(&policies.distinctions, request, action, true);
        // The same numbers twice: the two questions differ in their ids alone.
        let (one, action, _) = question(&mut Numbers(3));
        let (other, ..) = question(&mut Numbers(3));
        assert_ne!(one.resource.uid, other.resource.uid);
        assert_eq!(key(&one, action), key(&other, action));
        let with = |change: &dyn Fn(&mut RequestContext)| {
            let mut context = one.principal.context.clone();
            change(&mut context);
            let (entity, audit_context) = (one.principal.entity.clone(), serde_json::Map::new());
            let principal = Principal {
                entity,
                context,
                tenant: None,
                audit_context,
                request: Uuid::nil(),
                client: None,
                refused_because: None,
                waiting: tenancy::Waiting::default(),
            };
            key(&AuthzRequest { principal: Arc::new(principal), ..one.clone() }, action)
        };
        let passkey = |age| with(&move |context: &mut RequestContext| context.passkey_age = age);
        assert_eq!(passkey(Some(0)), passkey(Some(299)));
        assert_eq!(passkey(Some(301)), passkey(Some(100_000)));
        assert_ne!(passkey(Some(299)), passkey(Some(301)));
        assert_ne!(passkey(None), passkey(Some(0)));
        assert_ne!(with(&|context| context.risk_score = 30), with(&|context| context.risk_score = 31));
        assert_ne!(key(&one, "Read"), key(&one, "Write"));
        let moved =
            AuthzRequest { resource: one.resource.clone().inside(Entity::new("Organization", 9)), ..one.clone() };
        assert_ne!(key(&one, action), key(&moved, action));
    }

    // control: POL-11
    #[test]
    fn a_full_cache_begins_again() {
        let cache = DecisionCache::default();
        let answer = Answer { decision: crate::Decision::Allow, policies: Arc::default() };
        for number in 0..=CAPACITY {
            cache.insert(DecisionKey(number.to_le_bytes().to_vec()), answer.clone());
        }
        let kept = |number: usize| cache.get(&DecisionKey(number.to_le_bytes().to_vec())).is_some();
        assert_eq!((kept(0), kept(CAPACITY)), (false, true));
    }
}
