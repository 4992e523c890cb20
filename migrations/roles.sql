-- The roles of the cluster. Roles belong to a whole cluster and not to one database, so this is not a numbered migration. It runs
-- before the migrations each time, and changes only what is not right yet.
--
--   migrator       owns every schema, table and function; migrations run as it
--   web            the login of the application: NOINHERIT, owns nothing, has no rights of its own, can become the planes below
--   tenant_rows    rows of the one organization that the transaction names
--   account_rows   what a person sees and does outside any organization, for the person that the transaction names
--   identity_rows  users, sessions, sign-ins in progress and memberships; only the authn crate becomes it
--   audit_rows     can append to the audit log, and nothing else
--   jobs_rows      the queue of background jobs; only the jobs crate becomes it
--   janitor_rows   can delete expired rows, and nothing else; only the janitor becomes it
--   operator_rows  the commands of an operator; only the owner of the database becomes it, never `web`
do $$
declare
  wanted text;
begin
  foreach wanted in array array['migrator', 'web', 'tenant_rows', 'account_rows', 'identity_rows', 'audit_rows',
                                'jobs_rows', 'janitor_rows', 'operator_rows'] loop
    begin
      if not exists (select from pg_roles where rolname = wanted) then
        execute format('create role %I nologin noinherit', wanted);
      end if;
    exception when duplicate_object or unique_violation then
      null; -- another database of this cluster was set up at the same moment
    end;
  end loop;
  if not (select rolcanlogin and not rolinherit
                 and coalesce(rolconfig, '{}') @> array['statement_timeout=10s', 'lock_timeout=5s',
                                                        'idle_in_transaction_session_timeout=30s']
            from pg_roles where rolname = 'web') then
    alter role web login noinherit;
    -- A query or a forgotten transaction never holds a connection for long.
    alter role web set statement_timeout = '10s';
    alter role web set lock_timeout = '5s';
    alter role web set idle_in_transaction_session_timeout = '30s';
  end if;
  if not (select bool_and(pg_has_role('web', r, 'member'))
            from unnest(array['tenant_rows', 'account_rows', 'identity_rows', 'audit_rows', 'jobs_rows', 'janitor_rows']) r) then
    grant tenant_rows, account_rows, identity_rows, audit_rows, jobs_rows, janitor_rows to web;
  end if;
  if not pg_has_role(current_user, 'migrator', 'member') then
    execute format('grant migrator to %I', current_user);
  end if;
  -- An owner who is not a superuser can then run the application in development.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant tenant_rows, account_rows, identity_rows, audit_rows, jobs_rows, janitor_rows, operator_rows to %I', current_user);
  end if;
  execute format('grant create on database %I to migrator', current_database());
  execute format('revoke temporary on database %I from public', current_database());
  revoke all on schema public from public;
  grant usage, create on schema public to migrator; -- for the list of applied migrations
end;
$$;
