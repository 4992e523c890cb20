use std::marker::PhantomData;
use std::str::FromStr;

use tenancy::{Mode, Owned, Plane, Read, RequestAccess, TenantId, Tx, Write};
use web::{Error, Result};

use crate::entity::{Entity, Sensitivity};

/// An action. Features declare actions with [`actions!`](crate::actions), under the names of the Cedar schema.
pub trait Action: Send + Sync + 'static {
    /// The name of the Cedar action.
    const NAME: &'static str;
    /// The guard's name in the table of routes.
    const GUARD: &'static str = Self::NAME;
    /// `public`, `internal` or `restricted`. Set it if the data of the action has another class than the data of its
    /// resource ([`Resource::DATA`]).
    const DATA: Option<&'static str> = None;
    /// Whether the action reads or writes. This decides which transaction its [`Authorized`](crate::Authorized) opens.
    type Mode: ActionMode;
    /// Its resource.
    type On: Resource;
}

/// The resource of an action, as policies see it.
pub trait Resource: Sized + Send + Sync + 'static {
    /// The plane of its rows: one organization, or one person outside any organization.
    type Plane: Owned;
    /// The action that decides whether a caller may know that the resource exists. A caller who is refused both actions
    /// gets a 404 instead of a 403.
    type View: Action;
    /// The class of the data: `public`, `internal` or `restricted`. `None` if policies do not need it.
    const DATA: Option<&'static str> = None;

    /// Loads the resource by the parameters of the path, under row-level security. `None` becomes a 404.
    fn load(
        tx: &mut Tx<Read, Self::Plane>,
        entry: &RequestAccess,
        path: &PathParams,
    ) -> impl Future<Output = Result<Option<Self>>> + Send;

    /// Returns the resource as policies see it.
    fn entity(&self) -> Entity;

    /// Returns how sensitive an action on the resource is.
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::default()
    }

    /// Returns the organization that the action creates. The transaction is then bound to it instead of the
    /// organization in the path.
    fn creates_tenant(&self) -> Option<TenantId> {
        None
    }
}

/// Returns how sensitive `A` on this resource is.
pub(crate) fn sensitivity<A: Action>(on: &A::On) -> Sensitivity {
    Sensitivity { data_classification: data_classification::<A>(), ..on.sensitivity() }
}

const fn data_classification<A: Action>() -> Option<&'static str> {
    match A::DATA {
        Some(data) => Some(data),
        None => <A::On as Resource>::DATA,
    }
}

/// The transaction of an action, on the plane of its resource.
pub type TxOf<A> = Tx<<A as Action>::Mode, <<A as Action>::On as Resource>::Plane>;

/// Whether an action reads or writes: [`Read`] or [`Write`].
///
/// A reading action continues in the transaction of its decision, so it reads the state that the decision was about. A
/// writing action begins its own transaction, because the body of the request arrives between the decision and the
/// write.
pub trait ActionMode: Mode {
    #[doc(hidden)]
    const READS: bool;

    #[doc(hidden)]
    fn begin<P: Plane>(
        decided_in: Option<Tx<Read, P>>,
        write: impl Future<Output = Result<Tx<Write, P>>> + Send,
    ) -> impl Future<Output = Result<Tx<Self, P>>> + Send
    where
        Self: Sized;
}

impl ActionMode for Read {
    const READS: bool = true;

    async fn begin<P: Plane>(
        decided_in: Option<Tx<Read, P>>,
        _write: impl Future<Output = Result<Tx<Write, P>>> + Send,
    ) -> Result<Tx<Self, P>> {
        decided_in.ok_or_else(|| Error::internal("a reading proof begins once"))
    }
}

impl ActionMode for Write {
    const READS: bool = false;

    async fn begin<P: Plane>(
        _decided_in: Option<Tx<Read, P>>,
        write: impl Future<Output = Result<Tx<Write, P>>> + Send,
    ) -> Result<Tx<Self, P>> {
        write.await
    }
}

/// An action as its feature declares it. At startup, it is compared with the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionDeclaration {
    /// The name of the Cedar action.
    pub name: &'static str,
    /// Whether it may write.
    pub writes: bool,
    /// `public`, `internal` or `restricted`.
    pub data: Option<&'static str>,
}

impl ActionDeclaration {
    /// Returns the declaration of the action `A`.
    #[must_use]
    pub const fn of<A: Action>() -> Self {
        Self { name: A::NAME, writes: !<A::Mode as ActionMode>::READS, data: data_classification::<A>() }
    }
}

/// The parameters in the path of a route.
#[derive(Debug)]
pub struct PathParams(pub(crate) Vec<(String, String)>);

impl PathParams {
    /// Returns the parameter `name` as an id. Returns `None` if it is not an id in canonical form, because no resource
    /// can have such an id.
    #[must_use]
    pub fn id<T: FromStr + ToString>(&self, name: &str) -> Option<T> {
        let (_, text) = self.0.iter().find(|(known, _)| known == name)?;
        let id: T = text.parse().ok()?;
        (id.to_string() == *text).then_some(id)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// The action of showing the form for `A`. Policies decide as they do for `A`, but the transaction only reads.
#[derive(Debug)]
pub struct FormFor<A>(PhantomData<fn() -> A>);

impl<A: Action> Action for FormFor<A> {
    const NAME: &'static str = A::NAME;
    const GUARD: &'static str = A::NAME;
    const DATA: Option<&'static str> = A::DATA;
    type Mode = Read;
    type On = A::On;
}

/// Declares the actions of a feature, and their list `ACTIONS`. At startup, that list is compared with the schema.
///
/// ```
/// # struct Folder;
/// # impl authz::Resource for Folder {
/// #     type Plane = tenancy::Tenant;
/// #     type View = ReadFolder;
/// #     async fn load(
/// #         _: &mut tenancy::Tx<tenancy::Read>,
/// #         _: &tenancy::RequestAccess,
/// #         _: &authz::PathParams,
/// #     ) -> web::Result<Option<Self>> {
/// #         Ok(None)
/// #     }
/// #     fn entity(&self) -> authz::Entity { authz::Entity::new("Folder", "1") }
/// # }
/// authz::actions! {
///     /// See what is in a folder.
///     ReadFolder: Read on Folder;
///     /// Delete it.
///     DeleteFolder: Write on Folder;
///     /// See the salaries in it.
///     ReadSalaries: Read on Folder, "restricted" data;
/// }
/// let names: Vec<_> = ACTIONS.iter().map(|action| action.name).collect();
/// assert_eq!(names, ["ReadFolder", "DeleteFolder", "ReadSalaries"]);
/// assert!(ACTIONS[1].writes && ACTIONS[2].data == Some("restricted"));
/// ```
#[macro_export]
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $mode:ident on $resource:ty $(, $data:literal data)?;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) enum $name {}

            impl $crate::Action for $name {
                const NAME: &'static str = stringify!($name);
                $(const DATA: Option<&'static str> = Some($data);)?
                type Mode = $crate::tenancy::$mode;
                type On = $resource;
            }
        )+

        /// All actions that are declared here.
        pub(crate) const ACTIONS: &[$crate::ActionDeclaration] = &[$($crate::ActionDeclaration::of::<$name>()),+];
    };
}

#[cfg(test)]
mod tests {
    use tenancy::Tenant;

    use super::*;

    pub(crate) struct File;

    impl Resource for File {
        type Plane = Tenant;
        type View = ReadFile;
        const DATA: Option<&'static str> = Some("internal");

        async fn load(_: &mut Tx<Read>, _: &RequestAccess, _: &PathParams) -> Result<Option<Self>> {
            Ok(None)
        }

        fn entity(&self) -> Entity {
            Entity::new("File", 1)
        }

        fn sensitivity(&self) -> Sensitivity {
            Sensitivity { amount: Some(5), ..Sensitivity::default() }
        }
    }

    crate::actions! {
        ReadFile: Read on File;
        ReadSalaries: Read on File, "restricted" data;
    }

    // control: POL-05
    #[test]
    fn an_action_on_more_sensitive_data_than_its_resource_is_asked_about_that() {
        let of = |asked: Sensitivity| (asked.amount, asked.data_classification);
        assert_eq!(of(sensitivity::<ReadFile>(&File)), (Some(5), Some("internal")));
        assert_eq!(of(sensitivity::<ReadSalaries>(&File)), (Some(5), Some("restricted")));
        assert_eq!(of(sensitivity::<FormFor<ReadSalaries>>(&File)), (Some(5), Some("restricted")));
        assert_eq!(
            ACTIONS.iter().map(|action| (action.name, action.data)).collect::<Vec<_>>(),
            [("ReadFile", Some("internal")), ("ReadSalaries", Some("restricted"))]
        );
    }
}
