use askama::Template;
use authz::{Action, Authorized, Decision};
use serde::Serialize;
use web::{Control, Email, Error, FieldErrors, FormView, Input, MultiLine, Offered, Shell, SingleLine};

use super::contact::list_url;
use super::{Contact, EditRestrictedFields};
use crate::base::{Layout, Workspace};

web::form! {
    /// What people and programs write into a contact. The restricted fields are there only where they were offered.
    #[derive(Debug, Serialize)]
    pub(super) struct ContactForm {
        pub(super) name: SingleLine<1, 120> { label: "Name", noun: "a name" },
        email: Option<Email> {},
        phone: SingleLine<0, 40> { label: "Phone", noun: "a phone number", control: Control::Input("tel") },
        company: SingleLine<0, 120> { label: "Company", noun: "a company" },
        notes: MultiLine<0, 4000> { label: "Notes", noun: "a note" },
        tax_id: Offered<SingleLine<0, 40>> {
            label: "Tax ID", noun: "a tax ID", control: Control::Code, sensitive: true,
        },
        bank_account: Offered<SingleLine<0, 40>> {
            label: "Bank account", noun: "a bank account", control: Control::Code, sensitive: true,
            hint: "An IBAN, or an account number",
        },
        version: Offered<i64> { hint: "The version that a change starts from." },
    }
}

impl ContactForm {
    /// A new contact has no version yet.
    pub(super) fn check_new(&self, errors: &mut FieldErrors) {
        if self.version.0.is_some() {
            errors.add("version", "A new contact has none.");
        }
    }

    /// A change names the version that it starts from.
    pub(super) fn check_change(&self, errors: &mut FieldErrors) {
        if self.tax_id.0.is_some() != self.bank_account.0.is_some() {
            errors.add("tax_id", "Send both restricted fields or none.");
        }
        if self.version.0.is_none() {
            errors.add("version", "Say which version of the contact this changes.");
        }
    }

    pub(super) fn has_restricted(&self) -> bool {
        self.tax_id.0.is_some()
    }
}

#[derive(Template)]
#[template(path = "contacts/form.html")]
pub(super) struct FormPage {
    shell: Shell,
    heading: String,
    /// Where the form is sent, and the page to go back to.
    url: String,
    submit_label: &'static str,
    creates: bool,
    form: FormView,
    /// Where a passkey would have the restricted fields offered.
    step_up_url: Option<String>,
}

impl FormPage {
    pub(super) fn new<A: Action<On = Workspace>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> Self {
        Self {
            shell: layout.organization(ok),
            heading: "New contact".to_owned(),
            url: list_url(ok.on()),
            submit_label: "Add contact",
            creates: true,
            form,
            step_up_url: None,
        }
    }

    pub(super) fn edit<A: Action<On = Contact>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> Self {
        let step_up_url = match ok.decision::<EditRestrictedFields>(ok.on()) {
            Decision::StepUp(factor) => Some(factor.url(&format!("{}/edit", ok.on().url()))),
            Decision::Allow | Decision::Deny => None,
        };
        Self {
            shell: layout.organization(ok),
            heading: format!("Edit {}", ok.on().row.name),
            url: ok.on().url(),
            submit_label: "Save",
            creates: false,
            form,
            step_up_url,
        }
    }
}

pub(super) const EMAIL_TAKEN_ERROR: &str = "Another contact in this workspace has this email address.";

/// The answer to a change that began at a version that is no longer the last. The form keeps what was typed, and the
/// version it began at: it cannot be saved over a change that nobody has looked at.
pub(super) fn outdated(input: &Input<ContactForm>, page: impl FnOnce(FormView) -> FormPage) -> Error {
    const TEXT: &str = "Somebody else changed this contact. Your changes are still here but not saved.";
    Error::conflict_on_page(TEXT, page(input.view_with(&FieldErrors::of("version", TEXT))))
}
