use authz::RoleGroup;
use web::{Choice, Control, FieldError, FieldSpec, FieldText};

/// The role of a member in an organization. Only `policies/` says what each role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Owner,
    Admin,
    BillingAdmin,
    Finance,
    Creator,
    Editor,
    Viewer,
}

impl Role {
    pub(crate) const ALL: [Self; 7] =
        [Self::Owner, Self::Admin, Self::BillingAdmin, Self::Finance, Self::Creator, Self::Editor, Self::Viewer];

    /// The roles that decide about people or money. The database lists them in `tenant.is_privileged`.
    const PRIVILEGED: [Self; 4] = [Self::Owner, Self::Admin, Self::BillingAdmin, Self::Finance];

    /// The groups of roles that policies use.
    pub(crate) const GROUPS: &[RoleGroup] = &[
        RoleGroup { name: "any", roles: &keys(Self::ALL) },
        RoleGroup { name: "privileged", roles: &keys(Self::PRIVILEGED) },
    ];

    /// Returns the name in the database and in policies.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::BillingAdmin => "billing_admin",
            Self::Finance => "finance",
            Self::Creator => "creator",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
        }
    }

    /// Whether it is one of [`PRIVILEGED`](Self::PRIVILEGED).
    pub(crate) fn is_privileged(self) -> bool {
        Self::PRIVILEGED.contains(&self)
    }

    /// Returns the name that people see.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::BillingAdmin => "Billing admin",
            Self::Finance => "Finance",
            Self::Creator => "Creator",
            Self::Editor => "Editor",
            Self::Viewer => "Viewer",
        }
    }

    /// Returns a description of the role.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Owner => "Everything, including making others owners.",
            Self::Admin => "Members except owners, workspaces, all contacts and the activity record.",
            Self::BillingAdmin => "Sees the organization and its members, for work on plans and payments. No contacts.",
            Self::Finance => "Sees the organization and its members, for work on invoices. No contacts.",
            Self::Creator => "Sees all contacts, adds new ones and changes their own.",
            Self::Editor => "Sees and changes all contacts, restricted fields can be seen.",
            Self::Viewer => "Sees contacts and changes nothing.",
        }
    }

    /// Returns the roles that a form offers.
    pub(crate) fn choices(with_owner: bool) -> Vec<Choice> {
        let offered = Self::ALL.into_iter().filter(|role| with_owner || *role != Self::Owner);
        offered.map(Self::choice).collect()
    }

    pub(crate) fn choice(self) -> Choice {
        Choice { key: self.key(), label: self.label(), about: self.about() }
    }

    /// Returns the label of a stored role.
    pub(crate) fn label_of(key: &str) -> &'static str {
        Self::try_from(key).map_or("Unknown", Self::label)
    }
}

const fn keys<const N: usize>(roles: [Role; N]) -> [&'static str; N] {
    let mut keys = [""; N];
    let mut at = 0;
    while at < N {
        keys[at] = roles[at].key();
        at += 1;
    }
    keys
}

impl TryFrom<&str> for Role {
    type Error = FieldError;

    fn try_from(key: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|role| role.key() == key).ok_or(FieldError::Empty)
    }
}

impl FieldText for Role {
    const SPEC: FieldSpec = FieldSpec { label: "Role", noun: "a role", control: Control::Radios, ..FieldSpec::TEXT };
}
