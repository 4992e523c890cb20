/// The actions that a client was given. There is no wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    held: Vec<String>,
    offered: &'static [&'static str],
}

impl Scopes {
    /// The named scopes, if each is offered and named once.
    #[must_use]
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>, offered: &'static [&'static str]) -> Option<Self> {
        let mut held: Vec<String> = Vec::new();
        for name in names {
            if !offered.contains(&name) || held.iter().any(|known| known == name) {
                return None;
            }
            held.push(name.to_owned());
        }
        (!held.is_empty()).then_some(Self { held, offered })
    }

    /// The stored scopes that are still offered.
    pub(crate) fn stored(held: Vec<String>, offered: &'static [&'static str]) -> Self {
        Self { held: held.into_iter().filter(|name| offered.contains(&name.as_str())).collect(), offered }
    }

    /// Only those that `others` have too.
    pub(crate) fn within(mut self, others: &Self) -> Self {
        self.held.retain(|name| others.include(name));
        self
    }

    /// Whether the action is among them.
    #[must_use]
    pub fn include(&self, action: &str) -> bool {
        self.held.iter().any(|name| name == action)
    }

    /// Whether the action can be given to clients at all.
    #[must_use]
    pub fn are_offered(&self, action: &str) -> bool {
        self.offered.contains(&action)
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: &[&str] = &["ListContacts", "ViewContact"];

    // control: IDN-18
    #[test]
    fn there_is_no_wildcard_scope_and_only_offered_actions_are_scopes() {
        for good in [&["ListContacts"][..], &["ViewContact", "ListContacts"]] {
            assert_eq!(Scopes::parse(good.iter().copied(), OFFERED).unwrap().names(), good);
        }
        for bad in [
            &[][..],
            &["*"],
            &["List*"],
            &["contacts"],
            &["ListContacts "],
            &["listcontacts"],
            &["ListContacts ViewContact"],
            &["ListContacts", "ListContacts"],
            &["ListContacts", "DeleteContact"],
            &[""],
        ] {
            assert_eq!(Scopes::parse(bad.iter().copied(), OFFERED), None, "{bad:?}");
        }
    }
}
