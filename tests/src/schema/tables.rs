//! Tables: row-level security, policies, keys that lead with the tenant.

use sqlx::Executor;

use super::{Rule, hold};
use crate::harness::Database;

const SECURED: Rule = Rule {
    says: "row-level security is not both enabled and forced (only the tables listed here are without)",
    offenders: "
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'f') and n.nspname in ('tenant', 'audit', 'identity', 'jobs')
           and not (c.relrowsecurity and c.relforcerowsecurity)
           and c.oid::regclass::text <> all
               ('{identity.accounts,identity.magic_links,identity.login_flows,identity.logout_tokens,identity.deferred_requests,identity.rate_limits,identity.proof_of_work_solutions,identity.token_families,identity.refresh_tokens,identity.revoked_tokens,identity.used_nonces,identity.signing_keys,identity.sso_authentications,identity.fact_sources,identity.refusals,identity.approval_kinds,jobs.periods,jobs.rate_limits}')",
    broken_by: "alter table tenant.contacts no force row level security",
    names: "tenant.contacts",
};

const ENABLED: Rule = Rule {
    says: "row-level security is not enabled",
    offenders: SECURED.offenders,
    broken_by: "alter table identity.users disable row level security",
    names: "identity.users",
};

const KNOWN_SCHEMAS: Rule = Rule {
    says: "a table belongs into the schema tenant, audit, identity or jobs, where these rules reach it",
    offenders: "
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'f', 'v', 'm') and n.nspname !~ '^pg_'
           and n.nspname not in ('tenant', 'audit', 'identity', 'jobs', 'information_schema')
           and c.oid::regclass::text <> '_sqlx_migrations'",
    broken_by: "create table public.notes (id uuid)",
    names: "notes",
};

/// The policies of `tenant.protect`, word for word: the raising form, in a sub-select, for reading and for writing.
const PROTECTED: Rule = Rule {
    says: "does not have exactly the two policies of tenant.protect for tenant_rows",
    offenders: "
        select c.oid::regclass::text from pg_class c
         where c.relnamespace = 'tenant'::regnamespace and c.relkind in ('r', 'p')
           and (select array_agg(p.policyname || ' ' || p.permissive || ' ' || p.cmd || ' ' || p.roles::text || ' '
                                 || p.qual || ' ' || p.with_check order by p.policyname)
                  from pg_policies p
                 where p.schemaname = 'tenant' and p.tablename = c.relname and not '{account_rows,identity_rows,operator_rows,janitor_rows}' @> p.roles)
               is distinct from array[
                 'tenant_access PERMISSIVE ALL {tenant_rows} '
                 || '(tenant_id = ( SELECT (current_setting(''app.tenant_id''::text))::uuid AS current_setting)) '
                 || '(tenant_id = ( SELECT (current_setting(''app.tenant_id''::text))::uuid AS current_setting))',
                 'tenant_only RESTRICTIVE ALL {tenant_rows} '
                 || '(tenant_id = ( SELECT (current_setting(''app.tenant_id''::text))::uuid AS current_setting)) '
                 || '(tenant_id = ( SELECT (current_setting(''app.tenant_id''::text))::uuid AS current_setting))']",
    broken_by: "alter policy tenant_access on tenant.contacts with check (true)",
    names: "tenant.contacts",
};

const NO_WIDE_POLICY: Rule = Rule {
    says: "a policy for everybody, or one that shows or takes every row (only the planes listed here may)",
    offenders: "
        select policyname || ' on ' || schemaname || '.' || tablename from pg_policies
         where ('public' = any (roles) or qual = 'true' or with_check = 'true')
           and (policyname, tablename, roles) not in
               (('identity_plane', 'users', '{identity_rows}'), ('append', 'decisions', '{audit_rows}'),
                ('authentication', 'domains', '{identity_rows}'), ('record_use', 'api_clients', '{identity_rows}'), ('identity_plane', 'passkeys', '{identity_rows}'), ('identity_plane', 'sessions', '{identity_rows}'),
                ('identity_plane', 'ceremonies', '{identity_rows}'), ('identity_plane', 'recovery_codes', '{identity_rows}'),
                ('identity_plane', 'recoveries', '{identity_rows}'), ('identity_plane', 'totp', '{identity_rows}'), ('identity_plane', 'lockouts', '{identity_rows}'), ('work', 'queue', '{jobs_rows}'))
           -- what the look-up of a request reads, before it is bound to an organization
           and not (policyname = 'authentication' and roles = '{identity_rows}' and cmd = 'SELECT' and exists
                     (select from pg_proc p where p.pronamespace = 'identity'::regnamespace
                         and p.prosrc ~ format('\\m%s\\.%s\\M', schemaname, tablename)))
           and not (policyname = 'operators' and roles = '{operator_rows}'
                    and tablename in ('users', 'sessions', 'passkeys', 'totp', 'recovery_codes', 'recoveries', 'api_clients', 'identity_providers', 'invitations'))",
    broken_by: "create policy careless on tenant.contacts for select using (true)",
    names: "careless on tenant.contacts",
};

const OTHERS_ONLY_READ: Rule = Rule {
    says: "a policy of the schema tenant for another role than tenant_rows may only let it read (but accept an invitation, note that a client was used, seal secrets under another key, and take back what a locked person has invited to)",
    offenders: "
        select policyname || ' on tenant.' || tablename from pg_policies
         where schemaname = 'tenant' and not 'tenant_rows' = any (roles) and cmd <> 'SELECT'
           and (policyname, tablename, cmd, roles) not in
               (('as_invited', 'memberships', 'INSERT', '{account_rows}'), ('accept_invitation', 'invitations', 'DELETE', '{account_rows}'),
                ('record_use', 'api_clients', 'UPDATE', '{identity_rows}'),
                ('operators', 'api_clients', 'ALL', '{operator_rows}'), ('operators', 'identity_providers', 'ALL', '{operator_rows}'), ('operators', 'invitations', 'ALL', '{operator_rows}'))
           -- deletes what is over, and only that
           and not (policyname = 'janitor' and roles = '{janitor_rows}' and qual ~ '^\\((expires|left)_at < ')",
    broken_by: "create policy own on tenant.contacts to account_rows using (created_by = current_setting('app.user_id')::uuid)",
    names: "own on tenant.contacts",
};

const TENANT_BY_DEFAULT: Rule = Rule {
    says: "tenant_id is not a uuid, may be null, or does not come from the transaction by default",
    offenders: "
        select c.oid::regclass::text from pg_class c
          left join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
          left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
         where c.relnamespace = 'tenant'::regnamespace and c.relkind in ('r', 'p')
           and (a.atttypid = 'uuid'::regtype and a.attnotnull
                and pg_get_expr(d.adbin, d.adrelid) = '(current_setting(''app.tenant_id''::text))::uuid') is not true",
    broken_by: "alter table tenant.contacts alter tenant_id drop default",
    names: "tenant.contacts",
};

const UNIQUE_PER_TENANT: Rule = Rule {
    says: "a unique index that does not lead with tenant_id tells one tenant what another one has",
    offenders: "
        select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indrelid
          left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
         where c.relnamespace = 'tenant'::regnamespace and (i.indisunique or i.indisexclusion)
           and a.attname is distinct from 'tenant_id'
           -- the first reveals a verified domain only to its owner; nobody can guess the random ids of the second
           and i.indexrelid::regclass::text not in ('tenant.domains_verified_unique', 'tenant.api_clients_id')",
    broken_by: "create unique index contacts_alone on tenant.contacts (id)",
    names: "tenant.contacts_alone",
};

const SIGNED_BY_ONESELF: Rule = Rule {
    says: "says who did something, and tenant_rows could write it in another one's name (tenant.check_author)",
    offenders: "
        select a.attrelid::regclass || '.' || a.attname
          from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relnamespace = 'tenant'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
           and a.atttypid = 'uuid'::regtype
           -- names the member who has left, and not the one who removed them
           and a.attrelid <> 'tenant.former_members'::regclass
           and (a.attname like '%_by' or a.attname in ('user_id', 'member')
                or exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey)
                              and k.confrelid in ('identity.users'::regclass, 'tenant.memberships'::regclass)
                              and a.attname <> 'tenant_id'))
           and (has_column_privilege('tenant_rows', c.oid, a.attnum, 'insert')
                or has_column_privilege('tenant_rows', c.oid, a.attnum, 'update'))
           and not exists (select from pg_trigger t
                            where t.tgrelid = c.oid and t.tgfoid = 'tenant.check_author()'::regprocedure and t.tgenabled = 'O'
                              and position(convert_to(a.attname, 'UTF8') || '\\x00'::bytea in t.tgargs) > 0
                              -- before, for each row, on insert, and on update where that is granted
                              and t.tgtype & 7 = 7
                              and (t.tgtype & 16 = 16
                                   or not has_column_privilege('tenant_rows', c.oid, a.attnum, 'update')))",
    broken_by: "drop trigger check_author on tenant.approvals",
    names: "tenant.approvals.requested_by",
};

const HAS_A_KEY: Rule = Rule {
    says: "has no primary key",
    offenders: "
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('tenant', 'audit', 'identity', 'jobs') and c.relkind in ('r', 'p')
           and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)",
    broken_by: "alter table tenant.contacts drop constraint contacts_pkey cascade",
    names: "tenant.contacts",
};

/// The policy is evaluated before operators that might leak, so an index that leads with another column is of no use.
const INDEXED_BY_TENANT: Rule = Rule {
    says: "an index that does not lead with tenant_id is not used under row-level security",
    offenders: "
        select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indrelid
          left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
         where (c.relnamespace = 'tenant'::regnamespace or c.relnamespace = 'audit'::regnamespace and not i.indisprimary)
           and a.attname is distinct from 'tenant_id'
           and i.indexrelid::regclass::text not in
               ('tenant.memberships_user', 'tenant.invitations_email', 'tenant.domains_verified_unique', 'tenant.api_clients_id',
                -- what looks domains up is bound to no organization
                'tenant.domains_next_check')
           -- nor is the janitor, which finds what is over by its time
           and not (a.attname in ('at', 'expires_at', 'left_at') and exists
                     (select from pg_policies p where p.policyname = 'janitor'
                         and format('%I.%I', p.schemaname, p.tablename)::regclass = c.oid))",
    broken_by: "create index contacts_company on tenant.contacts (company)",
    names: "tenant.contacts_company",
};

/// Checks of foreign keys go round row-level security. The references out of the tenant are to the person a membership
/// is of, and to the kinds of approvals, which belong to nobody.
const KEYS_STAY_INSIDE: Rule = Rule {
    says: "a foreign key that does not lead with tenant_id on both sides reaches into other tenants",
    offenders: "
        select k.conname || ' on ' || k.conrelid::regclass from pg_constraint k
          join pg_class c on c.oid = k.conrelid join pg_class r on r.oid = k.confrelid
          join pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
          join pg_attribute b on b.attrelid = r.oid and b.attnum = k.confkey[1]
         where k.contype = 'f'
           and 'tenant'::regnamespace in (c.relnamespace, r.relnamespace)
           and not (a.attname = 'tenant_id' and b.attname = 'tenant_id')
           and k.conname not in ('memberships_user_id_fkey', 'approvals_kind')",
    broken_by: "
        alter table tenant.contacts add constraint creator foreign key (created_by) references identity.users (id)",
    names: "creator on tenant.contacts",
};

const NO_CHILDREN: Rule = Rule {
    says: "a partition or child is read past the policies of its parent",
    offenders: "select inhrelid::regclass::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
                 where c.relkind in ('r', 'p', 'f')",
    broken_by: "create table tenant.old_contacts () inherits (tenant.contacts)",
    names: "tenant.old_contacts",
};

const VIEWS_AS_THE_READER: Rule = Rule {
    says: "a view without security_invoker shows what its owner sees",
    offenders: "
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'v' and n.nspname in ('tenant', 'audit', 'identity', 'jobs', 'public')
           and not coalesce(c.reloptions @> '{security_invoker=true}', false)",
    broken_by: "create view tenant.names as select name from tenant.contacts",
    names: "tenant.names",
};

const NO_MATERIALIZED_VIEW: Rule = Rule {
    says: "a materialized view knows no row-level security and is granted to nobody",
    offenders: "
        select c.oid::regclass::text from pg_class c, aclexplode(c.relacl) g
         where c.relkind = 'm' and g.grantee <> c.relowner",
    broken_by: "
        create materialized view tenant.totals as select count(*) from tenant.contacts with no data;
        grant select on tenant.totals to tenant_rows",
    names: "tenant.totals",
};

// control: TEN-01
#[tokio::test]
async fn every_table_is_under_forced_row_level_security_with_the_policies_of_protect() {
    hold(&[SECURED, ENABLED, KNOWN_SCHEMAS, PROTECTED, NO_WIDE_POLICY, OTHERS_ONLY_READ, TENANT_BY_DEFAULT]).await;
}

// control: TEN-01
#[tokio::test]
async fn keys_and_indexes_lead_with_the_tenant() {
    hold(&[HAS_A_KEY, UNIQUE_PER_TENANT, INDEXED_BY_TENANT, KEYS_STAY_INSIDE]).await;
}

// control: TEN-02
// control: POL-07
#[tokio::test]
async fn nobody_writes_in_the_name_of_somebody_else() {
    hold(&[SIGNED_BY_ONESELF]).await;
}

// control: TEN-01
#[tokio::test]
async fn nothing_bypasses_the_policies_of_a_table() {
    hold(&[NO_CHILDREN, VIEWS_AS_THE_READER, NO_MATERIALIZED_VIEW]).await;
}

// control: SUP-10
#[tokio::test]
async fn an_unprotected_table_cannot_be_reached() {
    let database = Database::create().await;
    let mut owner = database.session().await;
    owner
        .execute(
            "set role migrator; create table tenant.forgotten (tenant_id uuid, id uuid, primary key (tenant_id, id))",
        )
        .await
        .unwrap();
    let mut web = database.web().await;
    for role in ["tenant_rows", "account_rows", "identity_rows", "audit_rows", "jobs_rows", "janitor_rows"] {
        for statement in ["select id from tenant.forgotten", "insert into tenant.forgotten values (null, null)"] {
            let tried = format!("begin; set local role {role}; {statement}");
            let refused = web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tried))).await.unwrap_err();
            assert!(refused.to_string().contains("permission denied for"), "{role}: {refused}");
            web.execute("rollback").await.unwrap();
        }
    }

    owner.execute("select tenant.protect('tenant.forgotten')").await.unwrap();
    let bound = "begin; set local role tenant_rows; set local app.tenant_id = '01890000-0000-7000-8000-000000000000';
                 insert into tenant.forgotten (id) values ('01890000-0000-7000-8000-000000000001')";
    assert_eq!(web.execute(bound).await.unwrap().rows_affected(), 1);
}
