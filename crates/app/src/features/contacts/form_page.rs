use askama::Template;
use authz::{Action, Authorized, Decision};
use web::{Error, FieldErrors, FormView, Input, Shell};

use super::contact::list_url;
use super::form::ContactForm;
use super::{Contact, EditRestrictedFields};
use crate::base::{Layout, Workspace};

#[derive(Template)]
#[template(path = "contacts/form.html")]
pub(super) struct ContactFormPage {
    shell: Shell,
    heading: String,
    /// The URL that the form is submitted to. It is also the page to go back to.
    url: String,
    submit_label: &'static str,
    creates: bool,
    form: FormView,
    /// The page to verify a passkey before the restricted fields can be edited.
    step_up_url: Option<String>,
}

impl ContactFormPage {
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

/// The response to a change of an outdated version. The form keeps the input and the version that it started from. It
/// therefore cannot overwrite a change that the person has not seen.
pub(super) fn outdated(input: &Input<ContactForm>, page: impl FnOnce(FormView) -> ContactFormPage) -> Error {
    const TEXT: &str = "Somebody else changed this contact. Your changes are still here but not saved.";
    Error::conflict_on_page(TEXT, page(input.view_with(&FieldErrors::of(ContactForm::FIELD.version, TEXT))))
}
