use uuid::Uuid;

use crate::ids::{TenantId, UserId};

mod sealed {
    pub trait Sealed {}
}

/// What a transaction may do: [`Read`] or [`Write`].
pub trait Mode: sealed::Sealed + std::fmt::Debug + Send + Sync + 'static {
    #[doc(hidden)]
    const BEGIN: &'static str;
}

/// The transaction only reads. The database also refuses writes, and all queries of the transaction see the same snapshot.
#[derive(Debug)]
pub enum Read {}
/// The transaction reads and writes.
#[derive(Debug)]
pub enum Write {}

impl sealed::Sealed for Read {}
impl sealed::Sealed for Write {}
impl Mode for Read {
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
}
impl Mode for Write {
    const BEGIN: &'static str = "BEGIN";
}

/// The rows that a transaction sees. Each plane is one database role with its own grants and policies.
pub trait Plane: sealed::Sealed + std::fmt::Debug + Send + Sync + 'static {
    #[doc(hidden)]
    const ROLE: &'static str;
}

/// Rows of one organization.
#[derive(Debug)]
pub enum Tenant {}
/// Rows of one person outside any organization.
#[derive(Debug)]
pub enum Account {}
/// Users, sessions, sign-ins in progress, and memberships.
#[derive(Debug)]
pub enum Identity {}
/// Appending to the audit log.
#[derive(Debug)]
pub enum Audit {}
/// The queue of background jobs.
#[derive(Debug)]
pub enum Jobs {}
/// Deleting expired rows.
#[derive(Debug)]
pub enum Janitor {}
/// The commands of an operator. The login of the application cannot use this plane.
#[derive(Debug)]
pub enum Operator {}

impl sealed::Sealed for Tenant {}
impl sealed::Sealed for Account {}
impl sealed::Sealed for Identity {}
impl sealed::Sealed for Audit {}
impl sealed::Sealed for Jobs {}
impl sealed::Sealed for Janitor {}
impl sealed::Sealed for Operator {}
impl Plane for Tenant {
    const ROLE: &'static str = "tenant_rows";
}
impl Plane for Account {
    const ROLE: &'static str = "account_rows";
}
impl Plane for Identity {
    const ROLE: &'static str = "identity_rows";
}
impl Plane for Audit {
    const ROLE: &'static str = "audit_rows";
}
impl Plane for Jobs {
    const ROLE: &'static str = "jobs_rows";
}
impl Plane for Janitor {
    const ROLE: &'static str = "janitor_rows";
}
impl Plane for Operator {
    const ROLE: &'static str = "operator_rows";
}

/// A plane whose rows have an owner: one organization or one person. Its transactions are bound to that owner.
pub trait Owned: Plane {
    /// Type of the owner.
    type Owner: Copy + Into<Uuid> + Send + Sync;
    #[doc(hidden)]
    const SETTING: &'static str;
}

impl Owned for Tenant {
    type Owner = TenantId;
    const SETTING: &'static str = "app.tenant_id";
}
impl Owned for Account {
    type Owner = UserId;
    const SETTING: &'static str = "app.user_id";
}
