/// An error in the policies. The application does not start.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The schema does not parse or contradicts itself.
    #[error("schema: {0}")]
    Schema(String),
    /// A policy does not parse.
    #[error("policies/{0}.cedar: {1}")]
    Syntax(&'static str, String),
    /// A policy without a name of its own.
    #[error("policies/{0}.cedar: every policy needs an @id(\"{0}.…\") of its own, of a-z, 0-9, _ and ., not {1:?}")]
    Id(&'static str, String),
    /// A permit that does not name the principal, the action or the resource narrowly enough.
    #[error(
        "policy {0}: a permit names the type of its principal, its actions, the type of its resource, and a role or a condition"
    )]
    Wildcard(String),
    /// The policies do not fit the schema.
    #[error("validation: {0}")]
    Validation(String),
    /// The code and the schema know different actions.
    #[error("actions only in the code: {code:?}; only in the schema: {schema:?}")]
    Actions {
        /// Actions that are declared with `actions!`, but are not in any schema.
        code: Vec<String>,
        /// Actions that are in a schema, but are not declared.
        schema: Vec<String>,
    },
    /// Two features declare the same context attribute.
    #[error(
        "the context attribute `{attribute}` is declared by `{first}` and by `{second}`: rename or remove one of them"
    )]
    ContextAttribute {
        /// The name of the attribute.
        attribute: String,
        /// The feature that declares it first.
        first: &'static str,
        /// The other feature.
        second: &'static str,
    },
    /// A context fragment that is not a list of attributes.
    #[error("policies/{0}.context.cedarschema: only declarations of attributes belong here: {1}")]
    ContextFragment(&'static str, String),
    /// A group of roles that the schema does not know, or that contains a role unknown to the schema.
    #[error("`{feature}` puts roles into a group, and {entity} is not in an `enum` of the schema")]
    RoleGroup {
        /// The feature.
        feature: &'static str,
        /// The group or the role.
        entity: String,
    },
    /// An action that deletes, or changes restricted data, without requiring a fresh passkey.
    #[error(
        "action {0}: what deletes (Delete…, Remove…) or changes restricted data is in the group NeedsFreshPasskey of its schema"
    )]
    NoFreshPasskey(&'static str),
}
