use settings::{Refusal, Rule, Setting, refusals};

use crate::{Config, ProviderConfig};

/// The rules for these settings in production.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "authn.session.idle_seconds",
        rule: Rule::Between(300, 86_400, |authn| vec![authn.session.idle_seconds.into()]),
        why: "An unattended browser stays signed in for this long. Use is stored once a minute, so a shorter time would end \
              sessions in use.",
    },
    Setting {
        name: "authn.session.absolute_seconds",
        rule: Rule::Between(300, 604_800, |authn| vec![authn.session.absolute_seconds.into()]),
        why: "A stolen cookie that stays in use works for this long.",
    },
    Setting {
        name: "authn.session.absolute_seconds",
        rule: Rule::Must("at least authn.session.idle_seconds", |authn| {
            authn.session.absolute_seconds >= authn.session.idle_seconds
        }),
        why: "Otherwise the idle time has no effect.",
    },
    Setting {
        name: "authn.session.rotate_seconds",
        rule: Rule::Between(60, 3600, |authn| vec![authn.session.rotate_seconds.into()]),
        why: "A stolen cookie is detected after its token was replaced.",
    },
    Setting {
        name: "authn.session.grace_seconds",
        rule: Rule::Between(10, 300, |authn| vec![authn.session.grace_seconds.into()]),
        why: "If it is too short, parallel tabs look like a theft. If it is too long, a theft looks like parallel tabs.",
    },
    Setting {
        name: "authn.limits.sign_ins_per_minute",
        rule: Rule::Between(10, 600, |authn| vec![authn.limits.sign_ins_per_minute.into()]),
        why: "With too few, an office locks itself out. With too many, attackers are not slowed down.",
    },
    Setting {
        name: "authn.limits.free_percent",
        rule: Rule::Between(1, 75, |authn| vec![authn.limits.free_percent.into()]),
        why: "The rest needs a proof of work. Without a rest, one program can lock out its whole network.",
    },
    Setting {
        name: "authn.recovery.wait_seconds",
        rule: Rule::Between(28_800, 2_592_000, |authn| vec![authn.recovery.wait_seconds.into()]),
        why: "A thief with a recovery code can create a passkey, unless the owner reads the email and stops it. Give them at \
              least a night.",
    },
    Setting {
        name: "authn.sso.withdraw_after_days",
        rule: Rule::Between(3, 30, |authn| vec![authn.sso.withdraw_after_days.into()]),
        why: "If it is too short, a DNS mistake stops the sign-in of an organization. If it is too long, the new owner of a domain must wait.",
    },
    Setting {
        name: "authn.sso.resolver",
        rule: Rule::Any,
        why: "It decides who owns a domain. Unset, it is the resolver that this machine already trusts.",
    },
    Setting {
        name: "authn.providers.*.name",
        rule: Rule::Must("that of at least one provider, and not empty", |authn| {
            !authn.providers.is_empty() && authn.providers.values().all(|provider| !provider.name.trim().is_empty())
        }),
        why: "Without a provider nobody could sign in.",
    },
    Setting {
        name: "authn.providers.*.issuer",
        rule: Rule::Everywhere("an https URL without query and fragment; in development also http on loopback"),
        why: "An attacker on the network could sign in as anybody.",
    },
    Setting {
        name: "authn.providers.*.client_id",
        rule: Rule::Everywhere("not empty"),
        why: "ID tokens are only for this client.",
    },
    Setting {
        name: "authn.providers.*.client_secret",
        rule: Rule::Everywhere("not empty"),
        why: "Anyone who has it can exchange codes at the provider.",
    },
    Setting { name: "authn.providers.*.scopes", rule: Rule::Any, why: "Tokens of the provider are not stored." },
    Setting {
        name: "authn.providers.*.max_age_seconds",
        rule: Rule::Between(0, 86_400, |authn| each(authn, |provider| provider.max_age_seconds)),
        why: "A browser may have a session at the provider that another person began this long ago.",
    },
    Setting { name: "authn.providers.*.acr_values", rule: Rule::Any, why: "A value can only add a requirement." },
    Setting {
        name: "authn.providers.*.metadata_seconds",
        rule: Rule::Between(60, 86_400, |authn| each(authn, |provider| provider.metadata_seconds)),
        why: "A withdrawn key of the provider is accepted for this long. If it is too short, every sign-in fetches the metadata.",
    },
    Setting {
        name: "authn.providers.*.retry_seconds",
        rule: Rule::Between(1, 3600, |authn| each(authn, |provider| provider.retry_seconds)),
        why: "Without a pause, each token with an invented key causes a request to the provider.",
    },
    Setting {
        name: "authn.providers.*.preset",
        rule: Rule::Everywhere("one of those in config/default.toml"),
        why: "It only sets the settings below, for a known product that needs them.",
    },
    Setting {
        name: "authn.providers.*.allow_unannounced_pkce",
        rule: Rule::Any,
        why: "PKCE is always used, even if the provider does not announce it.",
    },
    Setting {
        name: "authn.providers.*.allow_missing_auth_time",
        rule: Rule::Any,
        why: "Some providers do not send the time of authentication. Sensitive actions need a passkey anyway.",
    },
    Setting {
        name: "authn.providers.*.reauthentication_prompt",
        rule: Rule::Any,
        why: "Only the time of authentication that the provider states counts.",
    },
    Setting {
        name: "authn.providers.*.push_requests",
        rule: Rule::Any,
        why: "A pushed request reveals less to the browser. A request that is not pushed is as safe.",
    },
];

fn each(authn: &Config, value: fn(&ProviderConfig) -> u32) -> Vec<u64> {
    authn.providers.values().map(|provider| value(provider).into()).collect()
}

/// Returns a session lifetime that no profile accepts, if there is one.
pub(crate) fn unsound_session(authn: &Config) -> Option<Refusal> {
    refusals(SETTINGS, authn).into_iter().find(|refusal| refusal.name().starts_with("authn.session."))
}
