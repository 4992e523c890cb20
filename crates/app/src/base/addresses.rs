use web::Addresses;

/// The routes that other crates send people and programs to.
pub const ADDRESSES: Addresses = Addresses {
    sign_in: "/sign-in",
    sign_in_callback: "/sign-in/{provider}/callback",
    reserved_provider_keys: &["passkey", "link", "organization"],
    sign_in_link: "/sign-in/link/confirm",
    signed_out: "/signed-out",
    step_up: "/step-up",
    step_up_code: "/step-up/code",
    resume: "/resume",
    sessions: "/account/sessions",
    verify_email: "/account/email",
    programs: "/api/",
    api: "/api/v1",
    token_endpoint: "/api/oauth/token",
    resource_metadata: "/.well-known/oauth-protected-resource/api/v1",
    probes: &["/healthz", "/readyz"],
};
