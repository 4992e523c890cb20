//! A form as a page shows it.

use crate::refusal::Refusal;
use crate::{Choice, Control, FieldErrors, FieldName, FieldSpec, Presence};

/// A form with what is typed in it and what is wrong with it. `parts::fields` shows it.
#[derive(Clone, Debug)]
pub struct FormView {
    /// Its fields, in the order of the page.
    pub fields: Vec<FieldView>,
    has_errors: bool,
}

/// A field with what is typed in it and what is wrong with it.
#[derive(Clone, Debug)]
pub struct FieldView {
    /// What its form says about it.
    pub spec: FieldSpec,
    /// What it holds; several texts where several can be chosen.
    pub values: Vec<String>,
    /// What is wrong with it.
    pub error: Option<String>,
    /// What there is to choose from.
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

    /// The same form with other words for a field than its own: its choices, its label, its hint.
    #[must_use]
    pub fn with(mut self, name: FieldName, change: impl FnOnce(&mut FieldView)) -> Self {
        let field = self.fields.iter_mut().find(|field| field.spec.name == name);
        debug_assert!(field.is_some(), "this page has no field `{name}`");
        if let Some(field) = field {
            change(field);
        }
        self
    }

    /// The field of that name, if the page shows it.
    #[must_use]
    pub fn field(&self, name: &FieldName) -> Option<&FieldView> {
        self.fields.iter().find(|field| field.spec.name == *name)
    }

    /// The form with what was typed, if it is the one that has just been refused.
    #[must_use]
    pub fn refilled(&self, refusal: Option<&Refusal>) -> Self {
        let mut form = self.clone();
        let Some(Refusal { fields: sent, .. }) = refusal else { return form };
        let is_this = sent.iter().all(|(name, _)| form.fields.iter().any(|field| field.spec.name.as_str() == name));
        for field in form.fields.iter_mut().filter(|field| is_this && field.spec.is_shown_again()) {
            let values = sent.iter().filter(|(name, _)| name == field.spec.name.as_str());
            field.values = values.map(|(_, value)| value.clone()).collect();
        }
        form
    }

    /// Something is wrong with it.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// What is wrong with the field of that name.
    #[must_use]
    pub fn error_of(&self, name: &FieldName) -> Option<&str> {
        self.field(name)?.error.as_deref()
    }

    /// The fields that no policy of their own guards.
    pub fn open(&self) -> impl Iterator<Item = &FieldView> {
        self.fields.iter().filter(|field| !field.spec.sensitive)
    }

    /// The fields that a policy of their own guards.
    #[must_use]
    pub fn sensitive(&self) -> Vec<&FieldView> {
        self.fields.iter().filter(|field| field.spec.sensitive).collect()
    }
}

impl FieldView {
    /// The one text that it holds.
    #[must_use]
    pub fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    /// Whether it is a group of boxes to tick or one of which is chosen.
    #[must_use]
    pub fn is_group(&self) -> bool {
        matches!(self.spec.control, Control::Radios | Control::Checkboxes)
    }

    /// The id of the control, or of one of a group: that of the first is where an error leads.
    #[must_use]
    pub fn id(&self, choice: &Choice) -> String {
        let is_first = self.choices.first().is_some_and(|first| first.key == choice.key);
        if is_first { format!("f-{}", self.spec.name) } else { format!("f-{}-{}", self.spec.name, choice.key) }
    }

    /// Whether this is chosen.
    #[must_use]
    pub fn is_chosen(&self, key: &str) -> bool {
        self.values.iter().any(|value| value == key)
    }

    /// Whether it has several lines.
    #[must_use]
    pub fn is_text_area(&self) -> bool {
        matches!(self.spec.control, Control::TextArea(_))
    }

    /// Whether it holds an email address.
    #[must_use]
    pub fn is_email(&self) -> bool {
        self.spec.control == Control::Input("email")
    }

    /// Whether the page says that it may be left empty. Choices and the days of a filter are clear without that.
    #[must_use]
    pub fn is_marked_optional(&self) -> bool {
        self.spec.presence != Presence::Required
            && !self.spec.is_choice()
            && self.spec.control != Control::Input("date")
    }

    /// The `maxlength` of its control. A secret has none: a browser would cut what is pasted and say nothing.
    #[must_use]
    pub fn max_length(&self) -> Option<usize> {
        Some(self.spec.max).filter(|max| *max > 0 && self.spec.control != Control::Password)
    }

    /// The ids of what describes its control.
    #[must_use]
    pub fn described_by(&self) -> Option<String> {
        let name = self.spec.name;
        let hint = (!self.spec.hint.is_empty()).then(|| format!("f-{name}-hint"));
        let error = self.error.is_some().then(|| format!("f-{name}-error"));
        let ids: Vec<String> = hint.into_iter().chain(error).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}
