//! What the policies answer.

use std::sync::Arc;

use uuid::Uuid;
use web::LocalPath;

/// The answer to one question.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) decision: Decision,
    /// Ids of the policies that determined it.
    pub(crate) policies: Arc<[String]>,
}

/// What the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// Refused now, and allowed with a factor proved now.
    StepUp(StepUp),
    /// Refused, whatever they prove.
    Deny,
}

/// A factor that turns a refusal into a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// A code of the authenticator app that they have does as well as a passkey.
    pub(crate) by_code: bool,
    /// The page that asks for it.
    pub(crate) page: &'static str,
}

impl StepUp {
    /// The page that asks for it before the page `path` is shown.
    #[must_use]
    pub fn url(self, path: &str) -> String {
        // Home also replaces a path that is too long for an address.
        format!("{}?return_to={}{}", self.page, LocalPath::or_home(path).encoded(), self.hint())
    }

    /// The same before a stored form is sent.
    pub(crate) fn url_of_form(self, id: Uuid) -> String {
        format!("{}?deferred={id}{}", self.page, self.hint())
    }

    /// Has the page ask for a code, too. Only that: what it proves is decided when it comes.
    fn hint(self) -> &'static str {
        if self.by_code { "&by_code=yes" } else { "" }
    }
}
