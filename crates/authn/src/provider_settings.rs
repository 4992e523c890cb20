use serde::Deserialize;

/// What a provider is known to do differently from the specifications: the settings it needs, and no more. Each one is a
/// default that the setting itself overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Says `auth_time`, announces PKCE and offers discovery, so it needs nothing. `acr` and userinfo as they come.
    Keycloak,
    /// Needs nothing.
    Okta,
    /// Needs nothing. Its issuer ends with a slash.
    Auth0,
    /// Never says when it saw the person, and knows neither `max_age` nor `prompt=login`.
    Google,
    /// Entra ID has PKCE and does not announce it. `auth_time` is an optional claim there that has to be turned on for the
    /// application, and the issuer is that of one directory, never `common`.
    Microsoft,
    /// Cognito has PKCE and does not announce it.
    Cognito,
    /// Does not say when it saw the person, unless its operator sets that up.
    Gitlab,
    /// Gitea and Forgejo do not say when they saw the person.
    Gitea,
}

impl Preset {
    /// All of them with their names in the configuration, and what people call them.
    pub const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Auth0, "auth0", "Auth0"),
        (Self::Cognito, "cognito", "Amazon Cognito"),
        (Self::Gitea, "gitea", "Gitea or Forgejo"),
        (Self::Gitlab, "gitlab", "GitLab"),
        (Self::Google, "google", "Google"),
        (Self::Keycloak, "keycloak", "Keycloak"),
        (Self::Microsoft, "microsoft", "Microsoft Entra ID"),
        (Self::Okta, "okta", "Okta"),
    ];

    /// The preset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(preset, ..)| *preset)
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(preset, ..)| *preset == self).map_or("", |(_, name, _)| name)
    }

    pub(crate) fn settings(self) -> ProviderSettings {
        let strict = ProviderSettings::default();
        match self {
            Self::Auth0 | Self::Keycloak | Self::Okta => strict,
            Self::Cognito | Self::Microsoft => ProviderSettings { allow_unannounced_pkce: true, ..strict },
            Self::Gitea | Self::Gitlab => ProviderSettings { allow_missing_auth_time: true, ..strict },
            Self::Google => ProviderSettings {
                allow_missing_auth_time: true,
                reauthentication_prompt: "select_account".to_owned(),
                ..strict
            },
        }
    }
}

/// How a provider is dealt with, after preset and settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProviderSettings {
    pub(crate) allow_unannounced_pkce: bool,
    pub(crate) allow_missing_auth_time: bool,
    pub(crate) push_requests: bool,
    pub(crate) reauthentication_prompt: String,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            allow_unannounced_pkce: false,
            allow_missing_auth_time: false,
            push_requests: false,
            reauthentication_prompt: "login".to_owned(),
        }
    }
}
