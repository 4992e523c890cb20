//! The distinctions that a set of policies makes. They are derived from the policies themselves.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::PolicySet;
use serde_json::Value;

use crate::policy_error::PolicyError;

/// What the policies can tell apart. Two requests that do not differ in any of these ways get the same decision.
#[derive(Debug, Default)]
pub(crate) struct Distinctions {
    /// Types with an entity that a policy or the schema names. Entities of other types are only compared with each
    /// other, so it does not matter which ones they are.
    named_types: BTreeSet<String>,
    /// The numbers that each context attribute is compared with.
    bounds: BTreeMap<String, BTreeSet<i64>>,
    /// Context attributes that a policy uses for more than a comparison with a number.
    exact: BTreeSet<String>,
    /// Whether a policy uses the context as a whole.
    all_exact: bool,
}

/// A number, as precisely as the policies distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magnitude {
    /// Above this many bounds, and equal to none.
    Between(i64),
    /// Above this many bounds, and equal to the next one.
    Bound(i64),
    /// The number itself.
    Exactly(i64),
}

impl Distinctions {
    /// Reads the distinctions of these policies. `schema`, in Cedar's JSON form, names the entities of enumerated
    /// types.
    ///
    /// # Errors
    ///
    /// A policy has no JSON form.
    pub(crate) fn of(policies: &PolicySet, schema: &Value) -> Result<Self, PolicyError> {
        let mut all = Self::default();
        for policy in policies.policies() {
            let json = policy.to_json().map_err(|error| PolicyError::Schema(error.to_string()))?;
            all.read(&json);
        }
        let types = schema.as_object().into_iter().flat_map(|namespaces| namespaces.values());
        let types = types.filter_map(|namespace| namespace["entityTypes"].as_object()).flatten();
        all.named_types.extend(types.filter(|(_, kind)| kind["enum"].is_array()).map(|(name, _)| name.clone()));
        Ok(all)
    }

    /// Whether it matters which entity of this type is meant.
    pub(crate) fn is_named(&self, kind: &str) -> bool {
        self.named_types.contains(kind)
    }

    /// Classifies a number as the value of a context attribute.
    pub(crate) fn magnitude(&self, attribute: &str, number: i64) -> Magnitude {
        if self.all_exact || self.exact.contains(attribute) {
            return Magnitude::Exactly(number);
        }
        let Some(bounds) = self.bounds.get(attribute) else { return Magnitude::Between(0) };
        let below = bounds.range(..number).map(|_| 1).sum();
        if bounds.contains(&number) { Magnitude::Bound(below) } else { Magnitude::Between(below) }
    }

    /// Reads a policy, or a part of it, in Cedar's JSON form. An attribute in an unknown expression counts as exact.
    fn read(&mut self, part: &Value) {
        let fields = match part {
            Value::Object(fields) => fields,
            Value::Array(items) => {
                for item in items {
                    self.read(item);
                }
                return;
            }
            _ => return,
        };
        if let (Some(kind), Some(_)) = (part["type"].as_str(), part["id"].as_str()) {
            self.named_types.insert(kind.to_owned());
        }
        if part["Var"] == "context" {
            self.all_exact = true;
        }
        for (operator, operands) in fields {
            let of_context = || (operands["left"]["Var"] == "context").then(|| operands["attr"].as_str()).flatten();
            match (operator.as_str(), compared(operator, operands), of_context()) {
                (_, Some((attribute, bound)), _) => {
                    self.bounds.entry(attribute.to_owned()).or_default().insert(bound);
                }
                ("has", _, Some(_)) => {}
                (".", _, Some(attribute)) => {
                    self.exact.insert(attribute.to_owned());
                }
                _ => self.read(operands),
            }
        }
    }
}

/// Returns the context attribute and the number of a comparison.
fn compared<'a>(operator: &str, operands: &'a Value) -> Option<(&'a str, i64)> {
    let attribute = |side: &'a Value| {
        let attribute = &side["."];
        (attribute["left"]["Var"] == "context").then(|| attribute["attr"].as_str()).flatten()
    };
    let (left, right) = (&operands["left"], &operands["right"]);
    ["==", "!=", "<", "<=", ">", ">="].contains(&operator).then_some(())?;
    let pair = |one, other: &Value| Some((attribute(one)?, other["Value"].as_i64()?));
    pair(left, right).or_else(|| pair(right, left))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Magnitude::{Between, Bound, Exactly};
    use super::*;

    fn of(policies: &str) -> Distinctions {
        let schema = json!({ "": { "entityTypes": { "Role": { "enum": ["owner"] }, "File": {} } } });
        Distinctions::of(&policies.parse().unwrap(), &schema).unwrap()
    }

    // control: POL-11
    #[test]
    fn a_number_is_told_from_others_by_the_numbers_it_is_compared_with() {
        let all = of(r"
            permit (principal, action, resource) when { context has age && context.age <= 300 && context.risk > 30 };
            forbid (principal, action, resource) when { 900 < context.age || context.sum + 1 > 5 };");
        let ages = [0, 299, 300, 301, 899, 900, 901].map(|age| all.magnitude("age", age));
        assert_eq!(ages, [Between(0), Between(0), Bound(0), Between(1), Between(1), Bound(1), Between(2)]);
        assert_eq!([30, 31].map(|risk| all.magnitude("risk", risk)), [Bound(0), Between(1)]);
        assert_eq!(all.magnitude("sum", 7), Exactly(7), "it is not only compared");
        assert_eq!(all.magnitude("other", 7), Between(0), "no policy looks at it");
        let whole = of("permit (principal, action, resource) when { context == resource.context };");
        assert_eq!(whole.magnitude("age", 7), Exactly(7));
    }

    // control: POL-11
    #[test]
    fn an_entity_matters_by_itself_if_a_policy_or_the_schema_names_one_of_its_type() {
        let all = of(r#"
            permit (principal in Group::"a", action == Action::"Read", resource is File in Folder::"b")
            when { resource.owner == User::"c" };"#);
        let named = ["Group", "Action", "Folder", "User", "Role"].map(|kind| all.is_named(kind));
        assert_eq!((named, all.is_named("File")), ([true; 5], false));
    }
}
