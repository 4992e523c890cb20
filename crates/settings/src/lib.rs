//! What production accepts of a setting is one row, checked at the start and printed in the documentation.
//!
//! Each crate that owns a section of the configuration gives the rows of its settings.

use std::fmt;

/// What production accepts of a setting of the section `C`.
#[derive(Debug)]
pub struct Setting<C: 'static> {
    /// Its path, such as `http.listen`. `*` matches any key.
    pub name: &'static str,
    /// What is accepted.
    pub rule: Rule<C>,
    /// What another value would cost, or why none costs anything.
    pub why: &'static str,
}

/// What production accepts.
#[derive(Debug)]
pub enum Rule<C: 'static> {
    /// A number from the first to the second, both included. This applies to each setting that a `*` in the name matches.
    Between(u64, u64, fn(&C) -> Vec<u64>),
    /// What the sentence says.
    Must(&'static str, fn(&C) -> bool),
    /// What the sentence says. Every profile refuses anything else when it reads the setting.
    Everywhere(&'static str),
    /// Anything: no value makes the product unsafe.
    Any,
}

/// A row of the documentation.
#[derive(Clone, Debug)]
pub struct Row {
    /// Path of the setting.
    pub name: &'static str,
    /// What production accepts, in words.
    pub accepts: String,
    /// Why.
    pub why: &'static str,
    /// The bounds, where it is a number.
    pub bounds: Option<(u64, u64)>,
    /// Whether it is checked by [`refusals`].
    pub checked: bool,
}

/// A setting that production does not start with. Says nothing of its value unless that is a number: it may be a secret.
#[derive(Clone, Debug)]
pub struct Refusal {
    row: Row,
    given: Option<u64>,
}

impl Refusal {
    /// Path of the setting.
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
    /// As the documentation has it.
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

/// The rows of a section.
#[must_use]
pub fn rows<C>(settings: &[Setting<C>]) -> Vec<Row> {
    settings.iter().map(Setting::row).collect()
}

/// What production refuses of a section.
#[must_use]
pub fn refusals<C>(settings: &[Setting<C>], config: &C) -> Vec<Refusal> {
    settings.iter().filter_map(|setting| setting.refusal(config)).collect()
}
