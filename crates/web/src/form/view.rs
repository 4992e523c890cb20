//! A form as a page shows it.

use crate::refused_form::RefusedForm;
use crate::{Choice, Control, FieldErrors, FieldName, FieldSpec, Presence};

/// A form with its current values and errors. `parts::fields` renders it.
#[derive(Clone, Debug)]
pub struct FormView {
    /// The fields, in the order of the page.
    pub fields: Vec<FieldView>,
    has_errors: bool,
}

/// A field with its current values and its error.
#[derive(Clone, Debug)]
pub struct FieldView {
    /// The specification of the field.
    pub spec: FieldSpec,
    /// The current values. There can be several if several options can be chosen.
    pub values: Vec<String>,
    /// The error of the field.
    pub error: Option<String>,
    /// The options that a person can choose.
    pub choices: Vec<Choice>,
}

impl FormView {
    pub(super) fn new(fields: &[FieldSpec], values: &[Vec<String>], errors: &FieldErrors) -> Self {
        debug_assert!(
            errors.iter().all(|(name, _)| fields.iter().any(|spec| spec.name.as_str() == name)),
            "an error of a field that the form does not have: {errors:?}"
        );
        let is_left_out = |spec: &FieldSpec| spec.presence == Presence::Conditional || spec.control == Control::Hidden;
        let shown = fields
            .iter()
            .zip(values)
            .filter(|(spec, sent)| !is_left_out(spec) || !sent.is_empty() || errors.get(spec.name).is_some());
        let field = |(spec, sent): (&FieldSpec, &Vec<String>)| FieldView {
            spec: *spec,
            values: if spec.is_shown_again() { sent.clone() } else { Vec::new() },
            error: errors.get(spec.name).map(str::to_owned),
            choices: spec.choices.to_vec(),
        };
        Self { fields: shown.map(field).collect(), has_errors: !errors.is_empty() }
    }

    /// Changes the view of one field, such as its options, its label or its hint.
    #[must_use]
    pub fn with(mut self, name: FieldName, change: impl FnOnce(&mut FieldView)) -> Self {
        let field = self.fields.iter_mut().find(|field| field.spec.name == name);
        debug_assert!(field.is_some(), "this page has no field `{name}`");
        if let Some(field) = field {
            change(field);
        }
        self
    }

    /// Returns the field with this name, if the page shows it.
    #[must_use]
    pub fn field(&self, name: &FieldName) -> Option<&FieldView> {
        self.fields.iter().find(|field| field.spec.name == *name)
    }

    /// Fills the form with the submitted values, if it is the form that was just refused.
    #[must_use]
    pub fn refilled(&self, refusal: Option<&RefusedForm>) -> Self {
        let mut form = self.clone();
        let Some(RefusedForm { fields: sent, .. }) = refusal else { return form };
        let is_this = !sent.is_empty()
            && sent.iter().all(|(name, _)| form.fields.iter().any(|field| field.spec.name.as_str() == name));
        for field in form.fields.iter_mut().filter(|field| is_this && field.spec.is_shown_again()) {
            let values = sent.iter().filter(|(name, _)| name == field.spec.name.as_str());
            field.values = values.map(|(_, value)| value.clone()).collect();
        }
        form
    }

    /// Whether the form has errors.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Returns the error of the field with this name.
    #[must_use]
    pub fn error_of(&self, name: &FieldName) -> Option<&str> {
        self.field(name)?.error.as_deref()
    }

    /// Returns the fields that do not have their own policy.
    pub fn open(&self) -> impl Iterator<Item = &FieldView> {
        self.fields.iter().filter(|field| !field.spec.sensitive)
    }

    /// Returns the fields that have their own policy.
    #[must_use]
    pub fn sensitive(&self) -> Vec<&FieldView> {
        self.fields.iter().filter(|field| field.spec.sensitive).collect()
    }
}

impl FieldView {
    /// Returns the first value, or an empty text.
    #[must_use]
    pub fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    /// Whether the field is a group of radio buttons or checkboxes.
    #[must_use]
    pub fn is_group(&self) -> bool {
        matches!(self.spec.control, Control::Radios | Control::Checkboxes)
    }

    /// Returns the id of the control for an option. The first option has the id of the field, so that a link in an
    /// error leads to it.
    #[must_use]
    pub fn id(&self, choice: &Choice) -> String {
        let is_first = self.choices.first().is_some_and(|first| first.key == choice.key);
        if is_first { format!("f-{}", self.spec.name) } else { format!("f-{}-{}", self.spec.name, choice.key) }
    }

    /// Whether the option with this key is chosen.
    #[must_use]
    pub fn is_chosen(&self, key: &str) -> bool {
        self.values.iter().any(|value| value == key)
    }

    /// Whether the field has several lines.
    #[must_use]
    pub fn is_text_area(&self) -> bool {
        matches!(self.spec.control, Control::TextArea(_))
    }

    /// Whether the field is for an email address.
    #[must_use]
    pub fn is_email(&self) -> bool {
        self.spec.control == Control::Input("email")
    }

    /// Whether the page marks the field as optional. For options and dates of a filter, that is clear without a mark.
    #[must_use]
    pub fn is_marked_optional(&self) -> bool {
        self.spec.presence != Presence::Required
            && !self.spec.is_choice()
            && self.spec.control != Control::Input("date")
    }

    /// Returns the `maxlength` of the control. A secret has none, because a browser would silently truncate a pasted
    /// secret.
    #[must_use]
    pub fn max_length(&self) -> Option<usize> {
        Some(self.spec.max).filter(|max| *max > 0 && self.spec.control != Control::Password)
    }

    /// Returns the ids of the elements that describe the control.
    #[must_use]
    pub fn described_by(&self) -> Option<String> {
        let name = self.spec.name;
        let hint = (!self.spec.hint.is_empty()).then(|| format!("f-{name}-hint"));
        let error = self.error.is_some().then(|| format!("f-{name}-error"));
        let ids: Vec<String> = hint.into_iter().chain(error).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}
