use cedar_policy::{EntityId, EntityTypeName, EntityUid, RestrictedExpression};

/// An entity of the Cedar schema: type, id, what it is inside of, attributes. Built from typed values only: policy
/// data made of somebody's JSON could smuggle entities in.
#[derive(Clone, Debug)]
pub struct Entity {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) inside: Vec<Entity>,
    pub(crate) attributes: Vec<(&'static str, RestrictedExpression)>,
}

impl Entity {
    /// `kind::"id"`.
    #[must_use]
    pub fn new(kind: &'static str, id: impl std::fmt::Display + Copy) -> Self {
        Self { kind, id: id.to_string(), inside: Vec::new(), attributes: Vec::new() }
    }

    /// Puts it inside another entity, with whatever that one is inside of.
    #[must_use]
    pub fn inside(mut self, parent: Entity) -> Self {
        self.inside.push(parent);
        self
    }

    /// A text attribute.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, RestrictedExpression::new_string(value.into())));
        self
    }

    /// An attribute that refers to another entity.
    #[must_use]
    pub fn reference(mut self, name: &'static str, to: &Entity) -> Self {
        if let Some(uid) = to.uid() {
            self.attributes.push((name, RestrictedExpression::new_entity_uid(uid)));
        }
        self
    }

    /// `None` for a type name that is none; the schema check then refuses the request.
    pub(crate) fn uid(&self) -> Option<EntityUid> {
        let kind: EntityTypeName = self.kind.parse().ok()?;
        Some(EntityUid::from_type_name_and_id(kind, EntityId::new(&self.id)))
    }

    /// The entity and everything it is inside of.
    pub(crate) fn collect(&self, into: &mut Vec<cedar_policy::Entity>) -> Option<()> {
        let uid = self.uid()?;
        if into.iter().any(|known| known.uid() == uid) {
            return Some(());
        }
        let parents = self.inside.iter().map(Self::uid).collect::<Option<_>>()?;
        let attributes = self.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        into.push(cedar_policy::Entity::new(uid, attributes, parents).ok()?);
        self.inside.iter().try_for_each(|parent| parent.collect(into))
    }
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

/// Facts about a resource that rules on sensitive actions look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Money concerned, in minor units.
    pub amount: Option<i64>,
    /// `public`, `internal` or `restricted`.
    pub data_classification: Option<&'static str>,
}
