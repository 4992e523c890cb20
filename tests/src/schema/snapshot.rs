//! The whole of what the roles may do, as reviewed files: a grant or policy more or less shows as a difference.

use crate::harness::Database;

async fn listed(sql: &'static str) -> String {
    let mut lines: Vec<String> =
        sqlx::query_scalar(sql).fetch_all(&mut Database::create().await.owner().await).await.unwrap();
    lines.sort();
    lines.join("\n")
}

// control: TEN-04
#[tokio::test]
async fn the_grants_are_the_reviewed_ones() {
    let grants = listed(
        "with object (name, owner, acl) as (
           select 'table ' || c.oid::regclass, c.relowner, c.relacl from pg_class c
             join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^(pg_|information_schema$)'
           union all select 'column ' || a.attrelid::regclass || '.' || a.attname, c.relowner, a.attacl from pg_attribute a
             join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
            where n.nspname !~ '^(pg_|information_schema$)'
           union all select 'schema ' || nspname, nspowner, nspacl from pg_namespace
            where nspname !~ '^(pg_|information_schema$)'
           union all select 'function ' || p.oid::regprocedure, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
             from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname !~ '^(pg_|information_schema$)'
         )
         select rpad(case when g.grantee = 0 then 'PUBLIC' else g.grantee::regrole::text end, 14) || name || ': '
                || string_agg(lower(g.privilege_type), ', ' order by g.privilege_type)
           from object, aclexplode(acl) g
          where g.grantee <> owner and g.grantee <> 'pg_database_owner'::regrole
          group by g.grantee, name",
    )
    .await;
    insta::assert_snapshot!("grants", grants);
}

// control: TEN-01
#[tokio::test]
async fn the_policies_and_triggers_are_the_reviewed_ones() {
    let policies = listed(
        "select schemaname || '.' || tablename || ': ' || policyname || ' ' || lower(permissive) || ' ' || lower(cmd)
                || ' to ' || array_to_string(roles, ', ')
                || coalesce(E'\\n    using ' || regexp_replace(qual, '\\s+', ' ', 'g'), '')
                || coalesce(E'\\n    with check ' || regexp_replace(with_check, '\\s+', ' ', 'g'), '')
           from pg_policies",
    )
    .await;
    let triggers = listed(
        "select pg_get_triggerdef(t.oid) from pg_trigger t
          where not t.tgisinternal and t.tgenabled = 'O'",
    )
    .await;
    insta::assert_snapshot!("policies", format!("{policies}\n\n{triggers}"));
}

#[tokio::test]
async fn the_look_up_is_the_reviewed_one() {
    let functions = listed(
        "select pg_get_functiondef(p.oid) from pg_proc p
          where p.pronamespace = 'identity'::regnamespace
            and (p.proname in ('authenticate', 'authenticate_client') or p.proname like '%\\_facts\\__')",
    )
    .await;
    insta::assert_snapshot!("look_up", functions);
}
