/// Paths of the product that lower crates need. Some are redirect targets, and some are treated differently. The
/// product sets them, because it owns the routes.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The sign-in page. It takes `return_to`, and `reauthenticate` for a person who already has a session.
    pub sign_in: &'static str,
    /// Where an identity provider redirects to. `{provider}` is its key.
    pub sign_in_callback: &'static str,
    /// Keys that no identity provider may use, because other routes own their paths.
    pub reserved_provider_keys: &'static [&'static str],
    /// The page that a sign-in link opens. It takes `token`.
    pub sign_in_link: &'static str,
    /// The page that a person sees after signing out at an identity provider.
    pub signed_out: &'static str,
    /// The step-up page and its form. They take `return_to` or `deferred`, and `by_code`.
    pub step_up: &'static str,
    /// The form that steps up with a code.
    pub step_up_code: &'static str,
    /// The page that asks whether to submit a form that was deferred before a sign-in. It takes `deferred`.
    pub resume: &'static str,
    /// The page of a person's sessions.
    pub sessions: &'static str,
    /// The page for the code that verifies an email address.
    pub verify_email: &'static str,
    /// The prefix of all paths for programs. Responses under it are never HTML pages.
    pub programs: &'static str,
    /// The audience of access tokens.
    pub api: &'static str,
    /// The token endpoint.
    pub token_endpoint: &'static str,
    /// The metadata of the API as a protected resource (RFC 9728, section 3.1).
    pub resource_metadata: &'static str,
    /// The probes of an orchestrator. They get a response under any load and for any host name.
    pub probes: &'static [&'static str],
}

impl Addresses {
    /// Returns the [`sign_in_callback`](Self::sign_in_callback) of the provider with this key.
    #[must_use]
    pub fn callback_of(&self, provider: &str) -> String {
        self.sign_in_callback.replace("{provider}", provider)
    }
}
