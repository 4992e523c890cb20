//! Roles: who owns, who logs in, who is granted what.

use sqlx::Executor;

use super::{Rule, hold, migrated};

const NO_POWER: Rule = Rule {
    says: "a role of the application has a power of its own, inherits, or (but `web`) can log in",
    offenders: "
        select rolname::text from pg_roles
         where rolname in ('migrator', 'web', 'tenant_rows', 'account_rows', 'identity_rows', 'audit_rows', 'jobs_rows', 'janitor_rows', 'operator_rows')
           and (rolsuper or rolbypassrls or rolinherit or rolcreaterole or rolcreatedb or rolreplication
                or rolcanlogin <> (rolname = 'web'))",
    broken_by: "alter role web bypassrls",
    names: "web",
};

const BECOMES_ONLY_PLANES: Rule = Rule {
    says: "`web` becomes exactly the planes; they and migrator become nobody",
    offenders: "
        select m.rolname || ' may become ' || r.rolname from pg_auth_members g
          join pg_roles m on m.oid = g.member join pg_roles r on r.oid = g.roleid
         where m.rolname in ('migrator', 'web', 'tenant_rows', 'account_rows', 'identity_rows', 'audit_rows', 'jobs_rows', 'janitor_rows', 'operator_rows')
           and not (m.rolname = 'web' and not g.admin_option
                    and r.rolname in ('tenant_rows', 'account_rows', 'identity_rows', 'audit_rows', 'jobs_rows', 'janitor_rows'))",
    broken_by: "grant migrator to web",
    names: "web may become migrator",
};

const OWNED_BY_MIGRATOR: Rule = Rule {
    says: "is not owned by migrator",
    offenders: "
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('tenant', 'audit', 'identity', 'jobs') and c.relowner <> 'migrator'::regrole
        union all
        select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('tenant', 'audit', 'identity', 'jobs') and p.proowner <> 'migrator'::regrole
        union all
        select nspname::text from pg_namespace
         where nspname in ('tenant', 'audit', 'identity', 'jobs') and nspowner <> 'migrator'::regrole",
    broken_by: "alter table tenant.contacts owner to web",
    names: "tenant.contacts",
};

const OWNS_NOTHING: Rule = Rule {
    says: "is owned by a role that should own nothing",
    offenders: "
        select pg_describe_object(d.classid, d.objid, d.objsubid) from pg_shdepend d
          join pg_roles r on r.oid = d.refobjid and d.refclassid = 'pg_authid'::regclass and d.deptype = 'o'
         where d.dbid in (0, (select oid from pg_database where datname = current_database()))
           and r.rolname in ('web', 'tenant_rows', 'account_rows', 'identity_rows', 'audit_rows', 'jobs_rows', 'janitor_rows', 'operator_rows')",
    broken_by: "alter schema audit owner to web",
    names: "schema audit",
};

const NOTHING_FOR_PUBLIC: Rule = Rule {
    says: "is granted to PUBLIC",
    offenders: "
        with object (name, acl) as (
          select 'table ' || c.oid::regclass, c.relacl from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname not in ('pg_catalog', 'information_schema')
          union all select 'column ' || a.attrelid::regclass || '.' || a.attname, a.attacl from pg_attribute a
            join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
           where n.nspname not in ('pg_catalog', 'information_schema')
          union all select 'schema ' || nspname, nspacl from pg_namespace
           where nspname not in ('pg_catalog', 'information_schema')
          union all select 'whatever comes by default ' || defaclobjtype::text, defaclacl from pg_default_acl
        )
        select name || ' (' || g.privilege_type || ')' from object, aclexplode(acl) g where g.grantee = 0
        union all
        select 'database (' || g.privilege_type || ')' from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) g
         where d.datname = current_database() and g.grantee = 0 and g.privilege_type <> 'CONNECT'",
    broken_by: "grant select (name) on tenant.contacts to public",
    names: "column tenant.contacts.name (SELECT)",
};

/// Row-level security covers the four privileges on rows and no other: TRUNCATE empties the table for every tenant.
const ONLY_ROWS: Rule = Rule {
    says: "is granted to a role of the application",
    offenders: "
        select g.privilege_type || ' on ' || c.oid::regclass from pg_class c, aclexplode(c.relacl) g
         where g.grantee in ('web'::regrole, 'tenant_rows'::regrole, 'account_rows'::regrole, 'identity_rows'::regrole,
                             'audit_rows'::regrole, 'jobs_rows'::regrole, 'janitor_rows'::regrole, 'operator_rows'::regrole)
           and (g.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') or g.is_grantable)",
    broken_by: "grant truncate on tenant.contacts to tenant_rows",
    names: "TRUNCATE on tenant.contacts",
};

const THE_LOGIN_HAS_NOTHING: Rule = Rule {
    says: "is granted to the login itself, so that it works without a role",
    offenders: "
        select pg_describe_object(d.classid, d.objid, d.objsubid) from pg_shdepend d
         where d.refclassid = 'pg_authid'::regclass and d.refobjid = 'web'::regrole and d.deptype <> 'o'
           and d.dbid = (select oid from pg_database where datname = current_database())",
    broken_by: "grant select on tenant.contacts to web",
    names: "table tenant.contacts",
};

// control: TEN-04
#[tokio::test]
async fn roles_have_no_power_but_their_grants() {
    hold(&[NO_POWER, BECOMES_ONLY_PLANES, OWNED_BY_MIGRATOR, OWNS_NOTHING]).await;
}

// control: TEN-04
#[tokio::test]
async fn grants_are_on_rows_and_to_the_role_that_needs_them() {
    hold(&[NOTHING_FOR_PUBLIC, ONLY_ROWS, THE_LOGIN_HAS_NOTHING]).await;
}

// control: TEN-01
#[tokio::test]
async fn the_login_cannot_become_anybody_else() {
    let database = migrated().await;
    let mut web = database.web().await;
    for role in ["migrator", "pg_read_all_data", "pg_database_owner"] {
        let tried = format!("set role {role}");
        let refused = web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tried))).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied to set role"), "{role}: {refused}");
    }
    for role in ["tenant_rows", "account_rows", "identity_rows", "audit_rows", "jobs_rows", "janitor_rows"] {
        let tried = format!("begin; set local role {role}; set local role migrator");
        let refused = web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tried))).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied to set role"), "{role}: {refused}");
        web.execute("rollback").await.unwrap();
    }
    for forbidden in [
        "alter table tenant.contacts disable row level security",
        "alter role web bypassrls",
        "create table tenant.own (id uuid)",
        "create table public.own (id uuid)",
        "create temporary table own (id uuid)",
        "create schema own",
        "set session_replication_role = replica",
        "copy (select 1) to program 'true'",
        "create extension plpgsql_check",
        "alter role web password 'x' superuser",
    ] {
        assert!(web.execute(forbidden).await.is_err(), "{forbidden}");
    }
}
