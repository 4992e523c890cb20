create schema identity;
create schema tenant;
create schema audit;

alter default privileges revoke execute on functions from public;

-- Puts a table under row-level security for the tenant of the transaction, and is the only thing that grants to `tenant_rows`.
-- A table that nobody protected cannot be reached by the application at all.
--
-- The raising form: without a tenant this is an error, never "no rows". A sub-select, so that the planner evaluates it
-- once per query; and no function, whose result a cached plan could keep for another tenant.
create function tenant.protect(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  -- Restrictive: whatever permissive policy a feature adds later, this one must hold as well.
  execute format($p$
    create policy tenant_only on %s as restrictive to tenant_rows
      using (tenant_id = (select current_setting('app.tenant_id')::uuid))
      with check (tenant_id = (select current_setting('app.tenant_id')::uuid))$p$, target);
  execute format($p$
    create policy tenant_access on %s to tenant_rows
      using (tenant_id = (select current_setting('app.tenant_id')::uuid))
      with check (tenant_id = (select current_setting('app.tenant_id')::uuid))$p$, target);
  execute format($p$
    alter table %s alter column tenant_id set default (current_setting('app.tenant_id')::uuid)$p$, target);
  execute format('grant select, insert, update, delete on %s to tenant_rows', target);
end;
$$;

grant usage on schema tenant to tenant_rows, account_rows, identity_rows;
grant usage on schema identity to tenant_rows, account_rows, identity_rows;
grant usage on schema audit to tenant_rows, account_rows, identity_rows, audit_rows;
