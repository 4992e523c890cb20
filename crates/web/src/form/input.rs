//! The submitted text of a form's fields.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use askama::Template;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroize;

use super::{FormFields, Parser};
use crate::{Control, Error, FieldErrors, FieldName, FieldSpec, FormView, Presence, Result, display_email};

/// The submitted fields of the form `F`, before parsing. Each field occurs at most once, unless it is one of
/// [`Control::Checkboxes`]. Fields that the form does not have are refused. The text is wiped from memory on drop.
pub struct Input<F> {
    /// One entry for each of [`FormFields::FIELDS`]. An entry is empty if the field was not sent.
    pub(super) values: Vec<Vec<String>>,
    form: PhantomData<fn() -> F>,
}

impl<F> fmt::Debug for Input<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A form can hold secrets.
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

impl<F> Drop for Input<F> {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

/// Creates a form that nobody has filled in yet.
impl<F: FormFields> Default for Input<F> {
    fn default() -> Self {
        let initial = |field: &FieldSpec| match field.initial {
            "" => Vec::new(),
            initial => vec![initial.to_owned()],
        };
        Self { values: F::FIELDS.iter().map(initial).collect(), form: PhantomData }
    }
}

impl<F: FormFields> Input<F> {
    /// Creates a form from existing data. The fields of `row` fill the fields of the form that have the same names.
    ///
    /// # Errors
    /// `row` cannot be serialized.
    pub fn of(row: &impl Serialize) -> Result<Self> {
        Self::default().and(row)
    }

    /// Fills in more fields, from `row`.
    ///
    /// # Errors
    /// The same as [`of`](Self::of).
    pub fn and(mut self, row: &impl Serialize) -> Result<Self> {
        let row = serde_json::to_value(row)?;
        for (field, value) in F::FIELDS.iter().zip(&mut self.values) {
            let text = match row.get(field.name.as_str()) {
                Some(Value::String(text)) if field.control == Control::Input("email") => display_email(text),
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                Some(Value::Bool(true)) => "yes".to_owned(),
                _ => continue,
            };
            *value = vec![text];
        }
        Ok(self)
    }

    /// Sets the text of a field.
    #[must_use]
    pub fn with(mut self, name: FieldName, text: impl Into<String>) -> Self {
        let at = F::FIELDS.iter().position(|field| field.name == name);
        debug_assert!(at.is_some(), "this form has no field `{name}`");
        if let Some(value) = at.and_then(|at| self.values.get_mut(at)) {
            *value = vec![text.into()];
        }
        self
    }

    /// Returns what was sent for a field that has one text.
    #[must_use]
    pub fn text(&self, name: FieldName) -> Option<&str> {
        let at = F::FIELDS.iter().position(|field| field.name == name);
        debug_assert!(at.is_some(), "this form has no field `{name}`");
        self.values.get(at?)?.first().map(String::as_str)
    }

    /// Returns the names and texts that a page may send again: all except secrets and single-use values.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (FieldName, &str)> {
        let fields = F::FIELDS.iter().zip(&self.values).filter(|(field, _)| field.is_shown_again());
        fields.flat_map(|(field, sent)| sent.iter().map(|text| (field.name, text.as_str())))
    }

    /// Whether a field was sent that has its own policy.
    #[must_use]
    pub fn has_sensitive(&self) -> bool {
        F::FIELDS.iter().zip(&self.values).any(|(field, sent)| field.sensitive && !sent.is_empty())
    }

    /// Returns the form as a page shows it.
    #[must_use]
    pub fn view(&self) -> FormView {
        self.view_with(&FieldErrors::default())
    }

    /// Returns the form as a page shows it again, with its errors.
    #[must_use]
    pub fn view_with(&self, errors: &FieldErrors) -> FormView {
        FormView::new(F::FIELDS, &self.values, errors)
    }

    /// Parses every field into its type. `check` then applies the rules that need the whole form.
    ///
    /// # Errors
    /// The error of each field.
    pub fn parse(&self, check: impl FnOnce(&F, &mut FieldErrors)) -> Result<F, FieldErrors> {
        let mut errors = FieldErrors::default();
        let form = F::read(&mut Parser { values: &self.values, fields: F::FIELDS, errors: &mut errors });
        if let Some(form) = &form {
            check(form, &mut errors);
        }
        form.filter(|_| errors.is_empty()).ok_or(errors)
    }

    /// Parses as [`parse`](Self::parse) does, for a page.
    ///
    /// # Errors
    /// Status 422, with the page that shows the form again and the errors beside its fields.
    pub fn read_with<T: Template>(
        &self,
        check: impl FnOnce(&F, &mut FieldErrors),
        page: impl FnOnce(FormView) -> T,
    ) -> Result<F> {
        self.parse(check).map_err(|errors| {
            let page = page(self.view_with(&errors));
            errors.on_page(page)
        })
    }

    /// Parses as [`read_with`](Self::read_with) does, without rules that need the whole form.
    ///
    /// # Errors
    /// The same as [`read_with`](Self::read_with).
    pub fn read<T: Template>(&self, page: impl FnOnce(FormView) -> T) -> Result<F> {
        self.read_with(|_, _| {}, page)
    }

    /// Returns status 422 with the page that shows the form again, for an error that was found after parsing.
    pub fn refuse<T: Template>(
        &self,
        field: FieldName,
        error: impl Into<String>,
        page: impl FnOnce(FormView) -> T,
    ) -> Error {
        let errors = FieldErrors::of(field, error);
        let page = page(self.view_with(&errors));
        errors.on_page(page)
    }
}

impl<'de, F: FormFields> Deserialize<'de> for Input<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Input", F::NAMES, Fields(PhantomData))
    }
}

struct Fields<F>(PhantomData<F>);

impl<'de, F: FormFields> Visitor<'de> for Fields<F> {
    type Value = Input<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of a form")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Input<F>, A::Error> {
        let mut input = Input { values: vec![Vec::new(); F::FIELDS.len()], form: PhantomData };
        let mut seen = vec![false; F::FIELDS.len()];
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let known = F::FIELDS.iter().position(|field| field.name.as_str() == name);
            let at = known.ok_or_else(|| A::Error::custom(format!("unknown field `{name}`")))?;
            if std::mem::replace(&mut seen[at], true) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            input.values[at] = next_value(&mut map, &F::FIELDS[at])?;
        }
        let missing = F::FIELDS.iter().zip(seen).find(|(field, seen)| !seen && !field.may_be_missing());
        match missing {
            Some((field, _)) => Err(A::Error::missing_field(field.name.as_str())),
            None => Ok(input),
        }
    }
}

fn next_value<'de, A: MapAccess<'de>>(map: &mut A, field: &FieldSpec) -> Result<Vec<String>, A::Error> {
    match field.control {
        Control::Checkboxes => map.next_value(),
        _ if field.number => {
            Ok(map.next_value::<Option<i64>>()?.map(|number| number.to_string()).into_iter().collect())
        }
        _ if field.presence == Presence::Conditional => Ok(map.next_value::<Option<String>>()?.into_iter().collect()),
        _ => Ok(vec![map.next_value()?]),
    }
}

/// Serializes the fields as pairs, so that they can be sent again.
impl<F: FormFields> Serialize for Input<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = F::FIELDS.iter().zip(&self.values);
        serializer.collect_seq(pairs.flat_map(|(field, sent)| sent.iter().map(|value| (field.name.as_str(), value))))
    }
}
