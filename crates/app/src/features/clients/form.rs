use askama::Template;
use authz::{Action, Authorized};
use serde::Deserialize;
use tokens::Scopes;
use web::{Field, FieldErrors, Shell};

use super::MakeServiceAccount;
use super::client::{ActsAs, Kind, NewClient, SecretDays, list_url};
use crate::base::{Justification, JustificationFields, Layout, Organization, Role, RoleChoice, Scope};

/// The form as it is sent: each field once, but `scope`, which is there for each box that is ticked.
#[derive(Default, Deserialize)]
#[serde(try_from = "Vec<(String, String)>")]
pub(super) struct Input {
    fields: [Option<String>; 6],
    scopes: Vec<String>,
}

const FIELDS: [&str; 6] = ["name", "acts_as", "kind", "days", "reason", "ticket"];

impl TryFrom<Vec<(String, String)>> for Input {
    type Error = String;

    fn try_from(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut input = Self::default();
        for (name, value) in pairs {
            if name == "scope" {
                input.scopes.push(value);
            } else {
                let known = FIELDS.iter().position(|field| *field == name).and_then(|at| input.fields.get_mut(at));
                let field = known.ok_or_else(|| format!("unknown field `{name}`"))?;
                if field.replace(value).is_some() {
                    return Err(format!("duplicate field `{name}`"));
                }
            }
        }
        Ok(input)
    }
}

impl Input {
    fn get(&self, name: &str) -> &str {
        let at = FIELDS.iter().position(|field| *field == name);
        at.and_then(|at| self.fields.get(at)?.as_deref()).unwrap_or_default()
    }

    /// What a client is unless somebody chooses otherwise.
    pub(super) fn blank() -> Self {
        let mut blank = Self::default();
        for (name, value) in [("kind", Kind::BoundTokens.key()), ("days", "90")] {
            let at = FIELDS.iter().position(|field| *field == name);
            if let Some(field) = at.and_then(|at| blank.fields.get_mut(at)) {
                *field = Some(value.to_owned());
            }
        }
        blank
    }

    pub(super) fn parse(
        &self,
        errors: &mut FieldErrors,
        offered: &'static [&'static str],
    ) -> Option<(NewClient, Justification)> {
        let name = errors.parse("name", self.get("name"));
        let acts_as = errors.parse("acts_as", self.get("acts_as"));
        let kind = errors.parse("kind", self.get("kind"));
        let days = errors.parse("days", self.get("days"));
        let scopes = Scopes::parse(self.scopes.iter().map(String::as_str), offered);
        if scopes.is_none() {
            errors.add("scope", "Choose what the client may do.");
        }
        let justification = Justification::read(errors, self.get("reason"), self.get("ticket"));
        let new = NewClient { name: name?, acts_as: acts_as?, kind: kind?, days: days?, scopes: scopes? };
        Some((new, justification?))
    }
}

impl TryFrom<&str> for ActsAs {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        match text {
            "self" => Ok(Self::Oneself),
            "creator" => Ok(Self::Service(Role::Creator)),
            "editor" => Ok(Self::Service(Role::Editor)),
            "viewer" => Ok(Self::Service(Role::Viewer)),
            _ => Err("Choose who the client acts as.".to_owned()),
        }
    }
}

impl TryFrom<&str> for Kind {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        match text {
            "tokens" => Ok(Self::Tokens),
            "bound" => Ok(Self::BoundTokens),
            "signatures" => Ok(Self::Signatures),
            _ => Err("Choose how the client proves itself.".to_owned()),
        }
    }
}

impl TryFrom<&str> for SecretDays {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        match text {
            "7" => Ok(Self(7)),
            "30" => Ok(Self(30)),
            "90" | "" => Ok(Self(90)),
            _ => Err("Choose how long its secret works.".to_owned()),
        }
    }
}

struct ScopeBox {
    action: &'static str,
    label: &'static str,
    ticked: bool,
}

struct ClientForm {
    name: Field,
    acts_as: Field,
    kind: Field,
    days: Field,
    scope: Field,
    justification: JustificationFields,
}

impl ClientForm {
    fn has_errors(&self) -> bool {
        let fields = [&self.name, &self.acts_as, &self.kind, &self.days, &self.scope];
        self.justification.have_errors() || fields.iter().any(|field| field.error.is_some())
    }
}

#[derive(Template)]
#[template(path = "clients/new.html")]
pub(super) struct FormPage {
    shell: Shell,
    form: ClientForm,
    choices: Vec<RoleChoice>,
    kinds: [RoleChoice; 3],
    lifetimes: [RoleChoice; 3],
    scopes: Vec<ScopeBox>,
    action_url: String,
}

impl FormPage {
    pub(super) fn of<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &Input,
        errors: &FieldErrors,
    ) -> Self {
        let service = [Role::Creator, Role::Editor, Role::Viewer];
        let choices = if ok.can::<MakeServiceAccount>(ok.on()) {
            service.map(|role| RoleChoice { key: role.key(), label: role.label(), about: role.about() }).into()
        } else {
            vec![RoleChoice { key: "self", label: "You", about: "With the role that you have at the time." }]
        };
        let ticked = |action: &str| input.scopes.iter().any(|scope| scope == action);
        let scope = |scope: &Scope| ScopeBox { action: scope.action, label: scope.label, ticked: ticked(scope.action) };
        Self {
            shell: layout.organization(ok),
            form: ClientForm {
                name: errors.field("name", input.get("name")),
                acts_as: errors.field("acts_as", input.get("acts_as")),
                kind: errors.field("kind", input.get("kind")),
                days: errors.field("days", input.get("days")),
                scope: errors.field("scope", ""),
                justification: JustificationFields::of(input.get("reason"), input.get("ticket"), errors),
            },
            choices,
            kinds: [
                RoleChoice {
                    key: Kind::BoundTokens.key(),
                    label: "Tokens bound to a key",
                    about: "It exchanges its secret for access tokens, and every request proves a key that only the client has \
                            (DPoP). A stolen token is worth nothing without the key.",
                },
                RoleChoice {
                    key: Kind::Signatures.key(),
                    label: "Signed requests",
                    about: "It signs every request with its secret, which is never sent.",
                },
                RoleChoice {
                    key: Kind::Tokens.key(),
                    label: "Bearer tokens",
                    about: "Anyone who gets hold of one of its tokens can use it until it expires. Choose this only if the \
                            program can do neither of the others.",
                },
            ],
            lifetimes: [
                RoleChoice { key: "7", label: "7 days", about: "For a trial or a migration." },
                RoleChoice { key: "30", label: "30 days", about: "For programs whose secret is renewed every month." },
                RoleChoice { key: "90", label: "90 days", about: "No secret works longer." },
            ],
            scopes: layout.registry().scopes.iter().map(scope).collect(),
            action_url: list_url(ok.on().id),
        }
    }
}
