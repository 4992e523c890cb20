use serde::Deserialize;

/// A known product, with the settings that it needs because it differs from the specifications. Explicit settings
/// override these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Keycloak sends `auth_time`, announces PKCE and has discovery, so it needs no setting.
    Keycloak,
    /// Okta needs no setting.
    Okta,
    /// Auth0 needs no setting. Its issuer ends with a slash.
    Auth0,
    /// Google never sends `auth_time`, and supports neither `max_age` nor `prompt=login`.
    Google,
    /// Entra ID supports PKCE, but does not announce it. `auth_time` is an optional claim that must be turned on for
    /// the application. The issuer belongs to one directory and is never `common`.
    Microsoft,
    /// Cognito supports PKCE, but does not announce it.
    Cognito,
    /// GitLab does not send `auth_time`, unless its operator turns that on.
    Gitlab,
    /// Gitea and Forgejo do not send `auth_time`.
    Gitea,
}

impl Preset {
    /// All presets, with their names in the configuration and on pages.
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

    /// Returns the preset with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(preset, ..)| *preset)
    }

    /// Returns the name in the configuration.
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

/// The settings of a provider. They come from its preset and its configuration.
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
