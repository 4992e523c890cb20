use authz::{Action, Authorized};
use tokens::Scopes;
use web::{Choice, Control, FieldError, FieldSpec, FieldText, FormView};

use super::CreateServiceAccount;
use super::client::{ActsAs, Authentication, Name, SecretDays, list_url};
use crate::base::{FormPage, Justification, Layout, Organization, Role};

web::form! {
    pub(super) struct ClientForm {
        pub(super) name: Name { label: "Name", noun: "a name", hint: "What it is for, as others will recognize it." },
        pub(super) acts_as: ActsAs { label: "Acts as", noun: "who the client acts as" },
        pub(super) scope: Vec<String> { label: "Scopes", noun: "what the client may do" },
        pub(super) kind: Authentication { label: "Authenticates with", noun: "how the client authenticates" },
        pub(super) days: SecretDays { label: "Secret expires after", noun: "when its secret expires" },
        pub(super) justification: Justification,
    }
}

impl ClientForm {
    pub(super) fn page<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
        let acts_as = if ok.can::<CreateServiceAccount>(ok.on()) {
            [Role::Creator, Role::Editor, Role::Viewer].map(Role::choice).into()
        } else {
            vec![Choice { key: "self", label: "You", about: "With the role that you have at the time." }]
        };
        let scopes = layout.registry().scopes.iter();
        let scopes = scopes.map(|scope| Choice { key: scope.action, label: scope.label, about: "" }).collect();
        let url = list_url(ok.on().id);
        FormPage {
            shell: layout.organization(ok),
            heading: "Create API client".to_owned(),
            lead: "It can do what you select here, within the limits of its role.".into(),
            form: form
                .with(Self::FIELD.acts_as, |field| field.choices = acts_as)
                .with(Self::FIELD.scope, |field| field.choices = scopes),
            button: "Create API client",
            removes: false,
            once: true,
            action_url: url.clone(),
            cancel_url: url,
        }
    }

    pub(super) fn scopes(&self, offered: &'static [&'static str]) -> Option<Scopes> {
        Scopes::parse(self.scope.iter().map(String::as_str), offered)
    }
}

const KINDS: &[Choice] = &[
    Choice {
        key: Authentication::BoundTokens.key(),
        label: "Tokens bound to a key",
        about: "It exchanges its secret for access tokens, and every request proves a key that only the client has (DPoP). A \
                stolen token is worth nothing without the key.",
    },
    Choice {
        key: Authentication::Signatures.key(),
        label: "Signed requests",
        about: "It signs every request with its secret, which is never sent.",
    },
    Choice {
        key: Authentication::Tokens.key(),
        label: "Bearer tokens",
        about: "Anyone who gets hold of one of its tokens can use it until it expires. Choose this only if the program can do \
                neither of the others.",
    },
];

const LIFETIMES: &[Choice] = &[
    Choice { key: "7", label: "7 days", about: "For a trial or a migration." },
    Choice { key: "30", label: "30 days", about: "For programs whose secret is renewed every month." },
    Choice { key: "90", label: "90 days", about: "No secret works longer." },
];

impl FieldText for ActsAs {
    const SPEC: FieldSpec = FieldSpec { control: Control::Radios, ..FieldSpec::TEXT };
}

impl FieldText for Authentication {
    const SPEC: FieldSpec = FieldSpec {
        control: Control::Radios,
        choices: KINDS,
        initial: Authentication::BoundTokens.key(),
        ..FieldSpec::TEXT
    };
}

impl FieldText for SecretDays {
    const SPEC: FieldSpec =
        FieldSpec { control: Control::Radios, choices: LIFETIMES, initial: "90", ..FieldSpec::TEXT };
}

impl TryFrom<&str> for ActsAs {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        match text {
            "self" => Ok(Self::Oneself),
            "creator" => Ok(Self::Service(Role::Creator)),
            "editor" => Ok(Self::Service(Role::Editor)),
            "viewer" => Ok(Self::Service(Role::Viewer)),
            _ => Err(FieldError::Empty),
        }
    }
}

impl TryFrom<&str> for Authentication {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        match text {
            "tokens" => Ok(Self::Tokens),
            "bound" => Ok(Self::BoundTokens),
            "signatures" => Ok(Self::Signatures),
            _ => Err(FieldError::Empty),
        }
    }
}

impl TryFrom<&str> for SecretDays {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        match text {
            "7" => Ok(Self(7)),
            "30" => Ok(Self(30)),
            "90" | "" => Ok(Self(90)),
            _ => Err(FieldError::Empty),
        }
    }
}
