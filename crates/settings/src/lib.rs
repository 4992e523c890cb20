//! The rules for settings in production. Each rule is one row. Startup checks it, and the documentation prints it.
//!
//! Each crate that owns a section of the configuration provides the rows of its settings.

use std::fmt;

/// The rule for one setting in the section `C`, in production.
#[derive(Debug)]
pub struct Setting<C: 'static> {
    /// The path of the setting, such as `http.listen`. `*` matches any key.
    pub name: &'static str,
    /// The values that production accepts.
    pub rule: Rule<C>,
    /// The risk of another value, or why no value is a risk.
    pub why: &'static str,
}

/// The values that production accepts.
#[derive(Debug)]
pub enum Rule<C: 'static> {
    /// A number between the two bounds, both included. This applies to each setting that a `*` in the name matches.
    Between(u64, u64, fn(&C) -> Vec<u64>),
    /// The condition in the sentence.
    Must(&'static str, fn(&C) -> bool),
    /// The condition in the sentence. Every profile refuses other values when it reads the setting.
    Everywhere(&'static str),
    /// Any value: none makes the product unsafe.
    Any,
}

/// A row of the documentation.
#[derive(Clone, Debug)]
pub struct Row {
    /// The path of the setting.
    pub name: &'static str,
    /// The accepted values, in words.
    pub accepts: String,
    /// The reason for the rule.
    pub why: &'static str,
    /// The bounds, if the setting is a number.
    pub bounds: Option<(u64, u64)>,
    /// Whether [`refusals`] checks the setting.
    pub checked: bool,
}

/// A setting that stops the start in production. It shows the value only if that is a number, because it may be a
/// secret.
#[derive(Clone, Debug)]
pub struct Refusal {
    row: Row,
    given: Option<u64>,
}

impl Refusal {
    /// Returns the path of the setting.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row.name
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { name, accepts, why, .. } = &self.row;
        match self.given {
            Some(given) => write!(f, "{name} is {given}, and must be {accepts}. {why}"),
            None => write!(f, "{name} must be {accepts}. {why}"),
        }
    }
}

impl<C> Setting<C> {
    /// Returns the row of the documentation.
    #[must_use]
    pub fn row(&self) -> Row {
        let (accepts, bounds) = match &self.rule {
            Rule::Between(least, most, _) => (format!("{least} to {most}"), Some((*least, *most))),
            Rule::Must(accepts, _) | Rule::Everywhere(accepts) => ((*accepts).to_owned(), None),
            Rule::Any => ("anything".to_owned(), None),
        };
        let checked = matches!(self.rule, Rule::Between(..) | Rule::Must(..));
        Row { name: self.name, accepts, why: self.why, bounds, checked }
    }

    fn refusal(&self, config: &C) -> Option<Refusal> {
        let given = match &self.rule {
            Rule::Between(least, most, value) => {
                Some(value(config).into_iter().find(|value| !(*least..=*most).contains(value))?)
            }
            Rule::Must(_, holds) if !holds(config) => None,
            Rule::Must(..) | Rule::Everywhere(_) | Rule::Any => return None,
        };
        Some(Refusal { row: self.row(), given })
    }
}

/// Returns the rows of a section.
#[must_use]
pub fn rows<C>(settings: &[Setting<C>]) -> Vec<Row> {
    settings.iter().map(Setting::row).collect()
}

/// Returns the settings of a section that production refuses.
#[must_use]
pub fn refusals<C>(settings: &[Setting<C>], config: &C) -> Vec<Refusal> {
    settings.iter().filter_map(|setting| setting.refusal(config)).collect()
}
