//! The result of a policy evaluation.

use std::sync::Arc;

use uuid::Uuid;
use web::LocalPath;

/// The result for one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) decision: Decision,
    /// The ids of the policies that determined the decision.
    pub(crate) policies: Arc<[String]>,
}

/// What the policies decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// Refused for now. A fresh factor would allow it.
    StepUp(StepUp),
    /// Refused. No factor would allow it.
    Deny,
}

/// The factor that would allow a refused action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// Whether a code of the person's authenticator app is accepted too, and not only a passkey.
    pub(crate) by_code: bool,
    /// The page that asks for the factor.
    pub(crate) page: &'static str,
}

impl StepUp {
    /// Returns the URL of the page that asks for the factor and then shows the page `path`.
    #[must_use]
    pub fn url(self, path: &str) -> String {
        // A path that is too long for a URL is replaced by the front page.
        format!("{}?return_to={}{}", self.page, LocalPath::or_home(path).encoded(), self.hint())
    }

    /// Returns the URL of the page that asks for the factor and then submits a deferred form.
    pub(crate) fn url_of_form(self, id: Uuid) -> String {
        format!("{}?deferred={id}{}", self.page, self.hint())
    }

    /// Makes the page offer a code, too. This is only a hint: the policies decide about the code when it arrives.
    fn hint(self) -> &'static str {
        if self.by_code { "&by_code=yes" } else { "" }
    }
}
