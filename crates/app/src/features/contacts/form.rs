use serde::Serialize;
use web::{Conditional, Control, Email, FieldErrors, MultiLine, SingleLine};

web::form! {
    /// The fields of a contact. The restricted fields exist only if the page showed them.
    #[derive(Debug, Serialize)]
    pub(super) struct ContactForm {
        pub(super) name: SingleLine<1, 120> { label: "Name", noun: "a name" },
        email: Option<Email> {},
        phone: SingleLine<0, 40> { label: "Phone", noun: "a phone number", control: Control::Input("tel") },
        company: SingleLine<0, 120> { label: "Company", noun: "a company" },
        notes: MultiLine<0, 4000> { label: "Notes", noun: "a note" },
        tax_id: Conditional<SingleLine<0, 40>> {
            label: "Tax ID", noun: "a tax ID", control: Control::Code, sensitive: true,
        },
        bank_account: Conditional<SingleLine<0, 40>> {
            label: "Bank account", noun: "a bank account", control: Control::Code, sensitive: true,
            hint: "An IBAN, or an account number",
        },
        version: Conditional<i64> { hint: "The version that a change starts from." },
    }
}

impl ContactForm {
    /// Checks a form for a new contact, which has no version yet.
    pub(super) fn check_new(&self, errors: &mut FieldErrors) {
        if self.version.0.is_some() {
            errors.add(Self::FIELD.version, "A new contact has none.");
        }
    }

    /// Checks a form for a change, which names the version that it starts from.
    pub(super) fn check_change(&self, errors: &mut FieldErrors) {
        if self.tax_id.0.is_some() != self.bank_account.0.is_some() {
            errors.add(Self::FIELD.tax_id, "Send both restricted fields or none.");
        }
        if self.version.0.is_none() {
            errors.add(Self::FIELD.version, "Say which version of the contact this changes.");
        }
    }

    pub(super) fn has_restricted(&self) -> bool {
        self.tax_id.0.is_some()
    }
}

pub(super) const EMAIL_TAKEN_ERROR: &str = "Another contact in this workspace has this email address.";
