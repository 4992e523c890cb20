//! Functions: none of them is a way round the policies.

use super::{Rule, hold};

const NOT_LEAKPROOF: Rule = Rule {
    says: "a leakproof function is run on rows that the policy would hide",
    offenders: "
        select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname not in ('pg_catalog', 'information_schema') and p.proleakproof",
    broken_by: "create function tenant.peek(uuid) returns boolean language sql leakproof as 'select true'",
    names: "tenant.peek(uuid)",
};

const AS_THE_CALLER: Rule = Rule {
    says: "runs as its owner",
    offenders: "
        select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname not in ('pg_catalog', 'information_schema') and p.prosecdef",
    broken_by: "
        create function tenant.everything() returns bigint language sql security definer
          set search_path = pg_catalog, pg_temp as 'select count(*) from tenant.contacts'",
    names: "tenant.everything()",
};

/// A function whose body is SQL and not text was parsed when it was made. Its names mean what they meant then.
const FIXED_SEARCH_PATH: Rule = Rule {
    says: "does not fix its search_path to `pg_catalog, pg_temp`, so its caller decides what its names mean",
    offenders: "
        select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname not in ('pg_catalog', 'information_schema') and p.prosqlbody is null
           and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)",
    broken_by: "alter function tenant.require_an_owner() reset search_path",
    names: "tenant.require_an_owner()",
};

const NOT_FOR_EVERYBODY: Rule = Rule {
    says: "may be executed by PUBLIC",
    offenders: "
        select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
               aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
         where n.nspname not in ('pg_catalog', 'information_schema') and g.grantee = 0",
    broken_by: "create function tenant.open() returns void language sql as ''",
    names: "tenant.open()",
};

/// A plan that is kept for the next execution keeps the result of an immutable function: the tenant of the first one.
const NO_CONSTANT_SETTING: Rule = Rule {
    says: "is immutable and reads a setting: a cached plan would keep the tenant of another transaction",
    offenders: "
        select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname not in ('pg_catalog', 'information_schema') and p.prokind in ('f', 'p') and p.provolatile = 'i'
           and pg_get_functiondef(p.oid) ~* '(current_setting|pg_settings|session_user|current_user)'",
    broken_by: "
        create function tenant.current_tenant() returns uuid language sql immutable
          as $$ select current_setting('app.tenant_id')::uuid $$",
    names: "tenant.current_tenant()",
};

// control: TEN-01
#[tokio::test]
async fn no_function_bypasses_row_level_security() {
    hold(&[NOT_LEAKPROOF, AS_THE_CALLER, FIXED_SEARCH_PATH, NOT_FOR_EVERYBODY, NO_CONSTANT_SETTING]).await;
}
