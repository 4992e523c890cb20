/// Addresses of routes that the crates below the product know of: where they send people and programs, and what they treat
/// differently. The product fills them in, because the routes are its own.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The page to sign in on. It takes `return_to`, and `anew` from somebody who has a session.
    pub sign_in: &'static str,
    /// Where an identity provider sends people back to. `{provider}` stands for its key.
    pub sign_in_callback: &'static str,
    /// Keys that no identity provider can have, because other routes have the addresses that it would get.
    pub reserved_provider_keys: &'static [&'static str],
    /// The page that a sign-in link in a mail opens. It takes `token`.
    pub sign_in_link: &'static str,
    /// The page after signing out at an identity provider.
    pub signed_out: &'static str,
    /// The page that asks for a passkey, and its form. It takes `return_to` or `deferred`, and `by_code`.
    pub step_up: &'static str,
    /// The form with a code instead of a passkey.
    pub step_up_code: &'static str,
    /// The page that asks whether to send a form that was stored before a sign-in. It takes `deferred`.
    pub resume: &'static str,
    /// The page of a person's sessions.
    pub sessions: &'static str,
    /// The page to enter the code on that was mailed to an address.
    pub verify_email: &'static str,
    /// What every address for programs begins with: no answer there is a page.
    pub programs: &'static str,
    /// What access tokens are for.
    pub api: &'static str,
    /// Where clients of the API get access tokens.
    pub token_endpoint: &'static str,
    /// The description of the API as a protected resource (RFC 9728, section 3.1).
    pub resource_metadata: &'static str,
    /// What an orchestrator asks. Answered however much there is to do, and under any host name.
    pub probes: &'static [&'static str],
}

impl Addresses {
    /// [`sign_in_callback`](Self::sign_in_callback) of the provider with this key.
    #[must_use]
    pub fn callback_of(&self, provider: &str) -> String {
        self.sign_in_callback.replace("{provider}", provider)
    }
}
