use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// An entity of the Cedar schema: type, id, parents and attributes. It is built only from typed values, because JSON
/// from a request could smuggle in entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    pub(crate) uid: Uid,
    pub(crate) parents: Vec<Entity>,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
}

/// The type and id of an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uid {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Text(String),
    Flag,
    Reference(Uid),
    References(Vec<Uid>),
}

impl Entity {
    /// Creates `kind::"id"`.
    #[must_use]
    pub fn new(kind: &'static str, id: impl std::fmt::Display + Copy) -> Self {
        Self { uid: Uid { kind, id: id.to_string() }, parents: Vec::new(), attributes: Vec::new() }
    }

    /// Puts the entity inside another entity, with all of that entity's parents.
    #[must_use]
    pub fn inside(mut self, parent: Entity) -> Self {
        self.parents.push(parent);
        self
    }

    /// Adds a text attribute.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, Attribute::Text(value.into())));
        self
    }

    /// Adds an attribute that is true. If `is` is false, the attribute is absent.
    #[must_use]
    pub fn flag(mut self, name: &'static str, is: bool) -> Self {
        self.attributes.extend(is.then_some((name, Attribute::Flag)));
        self
    }

    /// Adds an attribute that refers to another entity.
    #[must_use]
    pub fn reference(mut self, name: &'static str, to: &Entity) -> Self {
        self.attributes.push((name, Attribute::Reference(to.uid.clone())));
        self
    }

    /// Adds an attribute that is a set of other entities.
    #[must_use]
    pub fn references(mut self, name: &'static str, to: &[Entity]) -> Self {
        let all = to.iter().map(|entity| entity.uid.clone()).collect();
        self.attributes.push((name, Attribute::References(all)));
        self
    }

    /// Whether the entity has neither parents nor attributes.
    pub(crate) fn is_name_only(&self) -> bool {
        self.parents.is_empty() && self.attributes.is_empty()
    }

    /// Adds the entity and all its ancestors. If one entity is described twice, the description with parents or
    /// attributes is used.
    ///
    /// # Errors
    ///
    /// Returns the entity if it has two different descriptions, and both have parents or attributes.
    pub(crate) fn collect<'a>(&'a self, into: &mut BTreeMap<&'a Uid, &'a Entity>) -> Result<(), &'a Entity> {
        match into.entry(&self.uid) {
            Entry::Vacant(free) => {
                free.insert(self);
            }
            Entry::Occupied(mut known) if known.get().is_name_only() => {
                known.insert(self);
            }
            Entry::Occupied(known) if self.is_name_only() || *known.get() == self => return Ok(()),
            Entry::Occupied(_) => return Err(self),
        }
        self.parents.iter().try_for_each(|parent| parent.collect(into))
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uid.fmt(f)
    }
}

/// How sensitive an action on a resource is. The fields become context attributes of the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sensitivity {
    /// The amount of money that the action is about, in minor units.
    pub amount: Option<i64>,
    /// `public`, `internal` or `restricted`. It is the class of the action or, if it has none,
    /// [`Resource::DATA`](crate::Resource::DATA).
    pub(crate) data_classification: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: POL-01
    #[test]
    fn what_is_known_of_an_entity_does_not_depend_on_who_names_it_first() {
        let name = Entity::new("Organization", 1);
        let told = name.clone().text("plan", "free");
        let other = name.clone().text("plan", "paid");
        let both = |first: &Entity, second: &Entity| {
            let mut known = BTreeMap::new();
            first.collect(&mut known).and_then(|()| second.collect(&mut known)).map_err(Clone::clone)?;
            Ok::<_, Entity>(known.into_values().cloned().collect::<Vec<_>>())
        };
        assert_eq!(both(&name, &told), Ok(vec![told.clone()]));
        assert_eq!(both(&told, &name), Ok(vec![told.clone()]));
        assert_eq!(both(&told, &told), Ok(vec![told.clone()]));
        assert_eq!(both(&told, &other), Err(other.clone()));
        let member = Entity::new("Member", 1).inside(name);
        assert_eq!(both(&member, &told), Ok(vec![member.clone(), told.clone()]));
        assert_eq!(both(&told, &member), Ok(vec![member, told]));
    }
}
