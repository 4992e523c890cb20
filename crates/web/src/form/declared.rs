//! The declaration of a form.

use crate::{FieldErrors, FieldName, FieldSpec, FieldValue};

/// A form that [`form!`](crate::form!) declares.
pub trait FormFields: Sized {
    /// The fields, in the order of the page.
    const FIELDS: &'static [FieldSpec];

    /// The names of the fields.
    const NAMES: &'static [&'static str];

    /// The type of the constant `FIELD` that [`form!`](crate::form!) adds to the form.
    type FieldNames: Copy;

    /// Parses the submitted values into the types of the fields. Returns `None` if `parser` recorded an error.
    fn read(parser: &mut Parser<'_>) -> Option<Self>;
}

/// Parses one field after another, and records the error of each.
#[derive(Debug)]
pub struct Parser<'a> {
    pub(super) values: &'a [Vec<String>],
    pub(super) fields: &'static [FieldSpec],
    pub(super) errors: &'a mut FieldErrors,
}

impl Parser<'_> {
    /// Parses the field with this name.
    pub fn field<T: FieldValue>(&mut self, name: FieldName) -> Option<T> {
        let (spec, sent) = self.fields.iter().zip(self.values).find(|(spec, _)| spec.name == name)?;
        T::read(sent).map_err(|error| self.errors.add(name, error.of(spec))).ok()
    }
}

/// For [`form!`](crate::form!).
impl FieldSpec {
    /// Counts the fields of all parts of a form.
    #[doc(hidden)]
    #[must_use]
    pub const fn count(parts: &[&[Self]]) -> usize {
        let (mut total, mut part) = (0, 0);
        while part < parts.len() {
            total += parts[part].len();
            part += 1;
        }
        total
    }

    /// Returns the names of the fields of a form.
    #[doc(hidden)]
    #[must_use]
    pub const fn names<const N: usize>(fields: &[Self]) -> [&'static str; N] {
        let (mut names, mut at) = ([""; N], 0);
        while at < N {
            names[at] = fields[at].name.as_str();
            at += 1;
        }
        names
    }

    /// Returns the fields of all parts of a form.
    #[doc(hidden)]
    #[must_use]
    pub const fn concat<const N: usize>(parts: &[&[Self]]) -> [Self; N] {
        let (mut all, mut at, mut part) = ([Self::TEXT; N], 0, 0);
        while part < parts.len() {
            let mut field = 0;
            while field < parts[part].len() {
                all[at] = parts[part][field];
                at += 1;
                field += 1;
            }
            part += 1;
        }
        all
    }
}

/// Declares a form: a struct of the parsed values, with a [`FieldSpec`] for each field.
///
/// The declaration generates the parsing ([`Input`](crate::Input)), the error messages, the HTML
/// ([`FormView`](crate::FormView), `parts::fields`), and the API schema (`schema_of_form`). A member without braces is
/// another form, whose fields become fields of this one. `FIELD` holds the name of each field, so that a page can refer
/// to it: `Person::FIELD.email`.
///
/// # Examples
///
/// ```
/// use web::{Email, FormFields, Input, SingleLine};
///
/// web::form! {
///     /// Somebody to write to.
///     pub struct Person {
///         pub name: SingleLine<1, 60> { label: "Name", noun: "a name" },
///         pub email: Option<Email> {},
///     }
/// }
///
/// let errors = Input::<Person>::default().parse(|_, _| {}).err().unwrap_or_default();
/// assert_eq!(errors.iter().collect::<Vec<_>>(), [("name", "Enter a name.")]);
/// assert_eq!(errors.get(Person::FIELD.name), Some("Enter a name."));
/// ```
///
/// ```compile_fail,E0609
/// web::form! {
///     pub struct Person {
///         pub name: web::SingleLine<1, 60> { label: "Name", noun: "a name" },
///     }
/// }
/// let misspelled = Person::FIELD.nmae;
/// ```
#[macro_export]
macro_rules! form {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $form:ident {
            $(
                $(#[$of_field:meta])*
                $field_visibility:vis $name:ident: $type:ty $({ $($key:ident: $value:expr),* $(,)? })?
            ),* $(,)?
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $form {
            $($(#[$of_field])* $field_visibility $name: $type),*
        }

        // The type of `FIELD` has no name outside this block, so two forms of a module do not collide.
        #[allow(dead_code, unreachable_pub, reason = "few fields of a form are named, and the form says who can see it")]
        const _: () = {
            #[derive(Clone, Copy)]
            pub struct FieldNames {
                $(pub $name: $crate::form!(@names $type $({ $($key: $value),* })?)),*
            }

            impl $form {
                /// The name of each field.
                pub const FIELD: FieldNames = FieldNames {
                    $($name: $crate::form!(@name $name $type $({ $($key: $value),* })?)),*
                };
            }

            impl $crate::FormFields for $form {
                const FIELDS: &'static [$crate::FieldSpec] = {
                    const PARTS: &[&[$crate::FieldSpec]] =
                        &[$($crate::form!(@fields $name $type $({ $($key: $value),* })?)),*];
                    const ALL: [$crate::FieldSpec; $crate::FieldSpec::count(PARTS)] = $crate::FieldSpec::concat(PARTS);
                    &ALL
                };
                const NAMES: &'static [&'static str] = {
                    const ALL: [&str; <$form as $crate::FormFields>::FIELDS.len()] =
                        $crate::FieldSpec::names(<$form as $crate::FormFields>::FIELDS);
                    &ALL
                };
                type FieldNames = FieldNames;

                fn read(parser: &mut $crate::Parser<'_>) -> ::std::option::Option<Self> {
                    // All fields are parsed before the first error returns, so a page shows every error at once.
                    $(let $name = $crate::form!(@read parser $name $type $({ $($key: $value),* })?);)*
                    ::std::option::Option::Some(Self { $($name: $name?),* })
                }
            }
        };
    };
    (@fields $name:ident $type:ty { $($key:ident: $value:expr),* }) => {
        &[$crate::FieldSpec {
            name: $crate::FieldName::declared(stringify!($name)),
            $($key: $value,)*
            ..<$type as $crate::FieldValue>::SPEC
        }]
    };
    (@fields $name:ident $type:ty) => { <$type as $crate::FormFields>::FIELDS };
    (@read $parser:ident $name:ident $type:ty { $($key:ident: $value:expr),* }) => {
        $parser.field::<$type>($crate::FieldName::declared(stringify!($name)))
    };
    (@read $parser:ident $name:ident $type:ty) => { <$type as $crate::FormFields>::read($parser) };
    (@names $type:ty { $($key:ident: $value:expr),* }) => { $crate::FieldName };
    (@names $type:ty) => { <$type as $crate::FormFields>::FieldNames };
    (@name $name:ident $type:ty { $($key:ident: $value:expr),* }) => { $crate::FieldName::declared(stringify!($name)) };
    (@name $name:ident $type:ty) => { <$type>::FIELD };
}
