//! Actors as pages show them.

use web::DisplayEmail;

/// The actor of an action that was done or is about to be done. Pages show it with `parts::who`. A separate element
/// shows the kind of actor, because anybody can choose a misleading name. Several people can have the same name, so a
/// person's email address is beside it.
#[derive(Clone, Debug)]
pub(crate) enum DisplayActor {
    Person {
        name: String,
        email: DisplayEmail,
    },
    /// An API client that acts as a person.
    Client {
        name: String,
        person: String,
        email: DisplayEmail,
    },
    /// An API client with a role of its own.
    Service {
        name: String,
    },
    /// A person who has left. The name is empty if nothing stored it.
    FormerMember {
        name: String,
    },
    /// The application itself.
    System,
}

impl DisplayActor {
    /// Creates a person from a query result: name, stored address, and whether the address is verified. Without a name,
    /// the person has left.
    pub(crate) fn person(name: Option<String>, email: Option<&str>, verified: Option<bool>) -> Self {
        match name {
            Some(name) => Self::Person {
                name,
                email: DisplayEmail::of_person(email.unwrap_or_default(), verified.unwrap_or_default()),
            },
            None => Self::FormerMember { name: String::new() },
        }
    }

    /// Adds the API client through which the actor acted, if there was one.
    pub(crate) fn through(self, client: Option<String>) -> Self {
        match (self, client) {
            (Self::Person { name: person, email }, Some(name)) => Self::Client { name, person, email },
            (Self::FormerMember { name: person }, Some(name)) if !person.is_empty() => {
                Self::Client { name, person, email: DisplayEmail::of_person("", false) }
            }
            (_, Some(name)) => Self::Service { name },
            (actor, None) => actor,
        }
    }

    /// Returns the kind of actor, for templates. No actor can choose this text.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Person { .. } => "Person",
            Self::Client { .. } => "API client",
            Self::Service { .. } => "Service account",
            Self::FormerMember { .. } => "Former member",
            Self::System => "System",
        }
    }

    pub(crate) fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. })
    }

    /// Returns the name of the client or service account, or otherwise of the person.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Person { name, .. }
            | Self::Client { name, .. }
            | Self::Service { name }
            | Self::FormerMember { name } => name,
            Self::System => "",
        }
    }

    /// Returns the name of the person that a client acts as.
    pub(crate) fn behind(&self) -> Option<&str> {
        match self {
            Self::Client { person, .. } => Some(person),
            _ => None,
        }
    }

    pub(crate) fn email(&self) -> Option<&DisplayEmail> {
        match self {
            Self::Person { email, .. } | Self::Client { email, .. } if !email.text.is_empty() => Some(email),
            _ => None,
        }
    }
}
