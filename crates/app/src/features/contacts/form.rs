use askama::Template;
use authz::{Action, Authorized, Decision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use web::{Email, Error, Field, FieldErrors, Shell, SingleLine};

use super::contact::{NewContact, Restricted, list_url};
use super::{Contact, EditRestrictedFields};
use crate::base::{Layout, Workspace};

/// The form as it is sent. The restricted fields are there only when they were offered.
#[derive(Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactInput {
    /// 1 to 120 characters.
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    company: String,
    #[serde(default)]
    notes: String,
    // What takes a person's passkey is not for the API.
    #[schemars(skip)]
    tax_id: Option<String>,
    #[schemars(skip)]
    bank_account: Option<String>,
    /// The version a change starts from; a new contact has none.
    pub(super) version: Option<i64>,
}

/// What the form parses into.
pub(super) struct Parsed {
    pub(super) contact: NewContact,
    pub(super) restricted: Option<Restricted<SingleLine<0, 40>>>,
}

impl ContactInput {
    pub(super) fn of(contact: &Contact, restricted: Option<Restricted>) -> Self {
        let (tax_id, bank_account) = restricted.map(|fields| (fields.tax_id, fields.bank_account)).unzip();
        Self {
            name: contact.name.clone(),
            email: web::display_email(&contact.email),
            phone: contact.phone.clone(),
            company: contact.company.clone(),
            notes: contact.notes.clone(),
            tax_id,
            bank_account,
            version: Some(contact.version),
        }
    }

    /// Whether it writes restricted fields, which takes a decision of its own.
    pub(super) fn has_restricted(&self) -> bool {
        self.tax_id.is_some() || self.bank_account.is_some()
    }

    pub(super) fn parse(&self, errors: &mut FieldErrors) -> Option<Parsed> {
        let name = errors.parse("name", &self.name);
        let email = if self.email.trim().is_empty() {
            Some(None)
        } else {
            errors.parse::<Email>("email", &self.email).map(Some)
        };
        let phone = errors.parse("phone", &self.phone);
        let company = errors.parse("company", &self.company);
        let notes = errors.parse("notes", &self.notes);
        let restricted = match (&self.tax_id, &self.bank_account) {
            (Some(tax_id), Some(bank_account)) => {
                let fields = (errors.parse("tax_id", tax_id), errors.parse("bank_account", bank_account));
                Some(fields.0.zip(fields.1).map(|(tax_id, bank_account)| Restricted { tax_id, bank_account })?)
            }
            (None, None) => None,
            _ => {
                errors.add("name", "Send both restricted fields or none.");
                return None;
            }
        };
        let contact = NewContact { name: name?, email: email?, phone: phone?, company: company?, notes: notes? };
        Some(Parsed { contact, restricted })
    }
}

/// The fields as the template shows them.
struct ContactForm {
    name: Field,
    email: Field,
    phone: Field,
    company: Field,
    notes: Field,
    /// Its error says that somebody else has changed the contact.
    version: Field,
    has_errors: bool,
}

impl ContactForm {
    fn has_errors(&self) -> bool {
        self.has_errors
    }
}

#[derive(Template)]
#[template(path = "contacts/form.html")]
pub(super) struct FormPage {
    shell: Shell,
    heading: String,
    action_url: String,
    cancel_url: String,
    submit_label: &'static str,
    form: ContactForm,
    restricted: Option<Restricted<Field>>,
    /// Where a passkey would have them offered.
    step_up_url: Option<String>,
    version: Option<i64>,
}

impl FormPage {
    fn with<A: Action>(ok: &Authorized<A>, layout: &Layout, input: &ContactInput, errors: &FieldErrors) -> Self {
        let restricted = input.tax_id.as_deref().zip(input.bank_account.as_deref());
        Self {
            shell: layout.organization(ok),
            heading: String::new(),
            action_url: String::new(),
            cancel_url: String::new(),
            submit_label: "",
            form: ContactForm {
                name: errors.field("name", &*input.name),
                email: errors.field("email", &*input.email),
                phone: errors.field("phone", &*input.phone),
                company: errors.field("company", &*input.company),
                notes: errors.field("notes", &*input.notes),
                version: errors.field("version", ""),
                has_errors: !errors.is_empty(),
            },
            restricted: restricted.map(|(tax_id, bank_account)| Restricted {
                tax_id: errors.field("tax_id", tax_id),
                bank_account: errors.field("bank_account", bank_account),
            }),
            step_up_url: None,
            version: None,
        }
    }

    pub(super) fn new<A: Action<On = Workspace>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &ContactInput,
        errors: &FieldErrors,
    ) -> Self {
        let url = list_url(ok.on());
        Self {
            heading: "New contact".to_owned(),
            action_url: url.clone(),
            cancel_url: url,
            submit_label: "Add contact",
            ..Self::with(ok, layout, input, errors)
        }
    }

    pub(super) fn edit<A: Action<On = Contact>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &ContactInput,
        errors: &FieldErrors,
    ) -> Self {
        let step_up_url = match ok.decision::<EditRestrictedFields>(ok.on()) {
            Decision::StepUp(factor) => Some(factor.url(&format!("{}/edit", ok.on().url()))),
            Decision::Allow | Decision::Deny => None,
        };
        Self {
            step_up_url,
            heading: format!("Edit {}", ok.on().name),
            action_url: ok.on().url(),
            cancel_url: ok.on().url(),
            submit_label: "Save",
            version: input.version,
            ..Self::with(ok, layout, input, errors)
        }
    }
}

/// The answer to an e-mail address that another contact has.
pub(super) fn taken(mut errors: FieldErrors, page: impl FnOnce(&FieldErrors) -> FormPage) -> Error {
    errors.add("email", EMAIL_TAKEN_ERROR);
    let page = page(&errors);
    errors.on_page(page)
}

pub(super) const EMAIL_TAKEN_ERROR: &str = "Another contact in this workspace has this email address.";

/// The answer to a change that began at a version that is no longer the last. The form keeps what was typed, and the
/// version it began at: it cannot be saved over a change that nobody has looked at.
pub(super) fn outdated(page: impl FnOnce(&FieldErrors) -> FormPage) -> Error {
    const TEXT: &str = "Somebody else changed this contact. Your changes are still here but not saved.";
    let mut errors = FieldErrors::default();
    errors.add("version", TEXT);
    Error::conflict_on_page(TEXT, page(&errors))
}
