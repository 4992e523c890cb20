use settings::{Refusal, Rule, Setting, refusals};

use crate::{Config, ProviderConfig};

/// What production accepts.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "authn.session.idle_seconds",
        rule: Rule::Between(300, 86_400, |authn| vec![authn.session.idle_seconds.into()]),
        why: "A browser that was left alone stays signed in as long. Use is noted once a minute, so a shorter time would end \
              sessions in use.",
    },
    Setting {
        name: "authn.session.absolute_seconds",
        rule: Rule::Between(300, 604_800, |authn| vec![authn.session.absolute_seconds.into()]),
        why: "A stolen cookie that is kept in use works as long.",
    },
    Setting {
        name: "authn.session.absolute_seconds",
        rule: Rule::Must("at least authn.session.idle_seconds", |authn| {
            authn.session.absolute_seconds >= authn.session.idle_seconds
        }),
        why: "Otherwise the idle time means nothing.",
    },
    Setting {
        name: "authn.session.rotate_seconds",
        rule: Rule::Between(60, 3600, |authn| vec![authn.session.rotate_seconds.into()]),
        why: "A copied cookie is found out when it has been replaced.",
    },
    Setting {
        name: "authn.session.grace_seconds",
        rule: Rule::Between(10, 300, |authn| vec![authn.session.grace_seconds.into()]),
        why: "Too short, and tabs that load side by side pass for a thief; too long, and a thief passes for a tab.",
    },
    Setting {
        name: "authn.limits.sign_ins_per_minute",
        rule: Rule::Between(10, 600, |authn| vec![authn.limits.sign_ins_per_minute.into()]),
        why: "Too few, and an office keeps itself out; too many, and nobody is slowed down.",
    },
    Setting {
        name: "authn.limits.unasked_percent",
        rule: Rule::Between(1, 75, |authn| vec![authn.limits.unasked_percent.into()]),
        why: "What is left is for those who work for it. With nothing left, one program keeps its whole network out.",
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
        why: "Too short, and a DNS mistake takes sign-in from an organization. Too long, and the new owner of a domain has to wait.",
    },
    Setting {
        name: "authn.sso.resolver",
        rule: Rule::Any,
        why: "Whose domain is whose is asked there. Unset, it is the resolver that this machine trusts anyhow.",
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
        why: "ID tokens are for it alone.",
    },
    Setting {
        name: "authn.providers.*.client_secret",
        rule: Rule::Everywhere("not empty"),
        why: "Anyone who has it can exchange codes at the provider.",
    },
    Setting {
        name: "authn.providers.*.scopes",
        rule: Rule::Any,
        why: "No token of the provider is kept, whatever it is good for.",
    },
    Setting {
        name: "authn.providers.*.max_age_seconds",
        rule: Rule::Between(0, 86_400, |authn| each(authn, |provider| provider.max_age_seconds)),
        why: "Somebody may use a browser in which another person signed in at the provider so long ago.",
    },
    Setting {
        name: "authn.providers.*.acr_values",
        rule: Rule::Any,
        why: "What is in it can only ask for more than none.",
    },
    Setting {
        name: "authn.providers.*.metadata_seconds",
        rule: Rule::Between(60, 86_400, |authn| each(authn, |provider| provider.metadata_seconds)),
        why: "A key that the provider has withdrawn counts as long; too short, and every sign-in asks for it.",
    },
    Setting {
        name: "authn.providers.*.retry_seconds",
        rule: Rule::Between(1, 3600, |authn| each(authn, |provider| provider.retry_seconds)),
        why: "Without a pause, tokens with invented keys make us ask the provider each time.",
    },
    Setting {
        name: "authn.providers.*.preset",
        rule: Rule::Everywhere("one of those in config/default.toml"),
        why: "It is no more than the settings below, for a provider that is known to need them.",
    },
    Setting {
        name: "authn.providers.*.allow_unannounced_pkce",
        rule: Rule::Any,
        why: "PKCE is used in any case; the provider does not have to say that it has it.",
    },
    Setting {
        name: "authn.providers.*.allow_missing_auth_time",
        rule: Rule::Any,
        why: "Some providers cannot say when they saw the person. What needs a fresh proof asks for a passkey.",
    },
    Setting {
        name: "authn.providers.*.reauthentication_prompt",
        rule: Rule::Any,
        why: "What counts is the time that the provider states, and not how it was asked.",
    },
    Setting {
        name: "authn.providers.*.push_requests",
        rule: Rule::Any,
        why: "A pushed request shows less to the browser, and one that is not is as good.",
    },
];

fn each(authn: &Config, value: fn(&ProviderConfig) -> u32) -> Vec<u64> {
    authn.providers.values().map(|provider| value(provider).into()).collect()
}

/// What makes no sound session, which no profile starts with.
pub(crate) fn unsound_session(authn: &Config) -> Option<Refusal> {
    refusals(SETTINGS, authn).into_iter().find(|refusal| refusal.name().starts_with("authn.session."))
}
