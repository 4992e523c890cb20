use std::marker::PhantomData;
use std::str::FromStr;

use tenancy::{Owned, Read, RequestAccess, TenantId, Tx};
use web::Result;

use crate::authorized::Begin;
use crate::entity::{Entity, Facts};

/// Something that can be done. Declared with [`actions!`](crate::actions); its name stands in the Cedar schema.
pub trait Action: Send + Sync + 'static {
    /// Name of the Cedar action.
    const NAME: &'static str;
    /// The guard's name in the table of routes.
    const GUARD: &'static str = Self::NAME;
    /// `public`, `internal` or `restricted`, where the action is about other data than its resource is in general
    /// ([`Resource::DATA`]).
    const DATA: Option<&'static str> = None;
    /// Whether it may write. Decides which transaction its [`Authorized`](crate::Authorized) opens.
    type Mode: Begin;
    /// What it is done to.
    type On: Resource;
}

/// What an action is done to, as far as policies need to know it.
pub trait Resource: Sized + Send + Sync + 'static {
    /// Where its rows are: in one organization, or with one person outside of any.
    type Plane: Owned;
    /// The action that says whether somebody may know that it exists. Refused this one, they get 404 instead of 403.
    type View: Action;
    /// `public`, `internal` or `restricted`, where rules should know.
    const DATA: Option<&'static str> = None;

    /// Loads it from what the path names, under row-level security. `None` is 404.
    fn load(
        tx: &mut Tx<Read, Self::Plane>,
        entry: &RequestAccess,
        path: &Path,
    ) -> impl Future<Output = Result<Option<Self>>> + Send;

    /// Itself as policies see it.
    fn entity(&self) -> Entity;

    /// What a decision about it should know besides.
    fn facts(&self) -> Facts {
        Facts::default()
    }

    /// The organization it brings into being. Its transaction is bound to that one; any other on the tenant plane to the
    /// organization of the path.
    fn founds(&self) -> Option<TenantId> {
        None
    }
}

/// An action as its feature declares it: what the start compares with the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Name of the Cedar action.
    pub name: &'static str,
    /// It may write.
    pub writes: bool,
    /// `public`, `internal` or `restricted`.
    pub data: Option<&'static str>,
}

impl Declared {
    /// The action `A`.
    #[must_use]
    pub const fn of<A: Action>() -> Self {
        Self { name: A::NAME, writes: !<A::Mode as Begin>::READS, data: data::<A>() }
    }
}

/// What kind of data an action is about.
pub(crate) const fn data<A: Action>() -> Option<&'static str> {
    match A::DATA {
        Some(data) => Some(data),
        None => <A::On as Resource>::DATA,
    }
}

/// The parameters of a route's path.
#[derive(Debug)]
pub struct Path(pub(crate) Vec<(String, String)>);

impl Path {
    /// The parameter `name` as an id. `None` if it is no id in its canonical form: then nothing can have it.
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

/// The form of an action: the same question to the policies, and a transaction that only reads.
#[derive(Debug)]
pub struct Prepare<A>(PhantomData<fn() -> A>);

impl<A: Action> Action for Prepare<A> {
    const NAME: &'static str = A::NAME;
    const GUARD: &'static str = A::NAME;
    const DATA: Option<&'static str> = A::DATA;
    type Mode = Read;
    type On = A::On;
}

/// Declares the actions of a feature, and `ACTIONS`, the list of them that the start compares with the schema.
///
/// ```
/// # struct Folder;
/// # impl authz::Resource for Folder {
/// #     type Plane = tenancy::Tenant;
/// #     type View = ReadFolder;
/// #     async fn load(_: &mut tenancy::Tx<tenancy::Read>, _: &tenancy::RequestAccess, _: &authz::Path) -> web::Result<Option<Self>> {
/// #         Ok(None)
/// #     }
/// #     fn entity(&self) -> authz::Entity { authz::Entity::new("Folder", "1") }
/// # }
/// authz::actions! {
///     /// See what is in a folder.
///     ReadFolder: Read on Folder;
///     /// Throw it away.
///     DeleteFolder: Write on Folder;
///     /// See who was paid what.
///     ReadSalaries: Read on Folder, "restricted" data;
/// }
/// assert_eq!(ACTIONS.iter().map(|action| action.name).collect::<Vec<_>>(), ["ReadFolder", "DeleteFolder", "ReadSalaries"]);
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

        /// Every action declared here.
        pub(crate) const ACTIONS: &[$crate::Declared] = &[$($crate::Declared::of::<$name>()),+];
    };
}
