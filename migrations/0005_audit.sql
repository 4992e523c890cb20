-- Events. `tenant_id` is null for an event that belongs to a person and to no organization, such as a sign-in.
create table audit.events (
  id uuid primary key,
  tenant_id uuid,
  at timestamptz not null default now(),
  actor uuid,
  -- The person's name at the time. Empty if no person is known.
  actor_name text not null default '' check (char_length(actor_name) <= 200),
  -- The API client's name at the time. Empty if there is none.
  client_name text not null default '' check (char_length(client_name) <= 200),
  kind text not null check (char_length(kind) between 1 and 80),
  -- Events of tokens have a list of their own, because there can be thousands of them in an hour.
  about_token boolean not null generated always as (starts_with(kind, 'api_token.')) stored,
  target text not null check (char_length(target) <= 200),
  request_id uuid,
  session_id uuid,
  network text not null default '',
  details jsonb not null default '{}',
  -- How the actor acted, as features report it. `client` is the API client that was used.
  context jsonb not null default '{}' check (jsonb_typeof(context) = 'object')
);
create index events_by_tenant on audit.events (tenant_id, about_token, id desc);
create index events_by_actor on audit.events (tenant_id, actor, id desc);
create index events_by_kind on audit.events (tenant_id, kind, id desc);

-- Every policy decision: who requested what, the answer, and the policies and the policy set that gave it.
create table audit.decisions (
  id uuid primary key,
  tenant_id uuid,
  at timestamptz not null,
  principal text not null,
  action text not null,
  resource text not null,
  allowed boolean not null,
  -- It was refused, but would be allowed after a fresh passkey.
  step_up boolean not null default false,
  policies text[] not null,
  policy_set bytea not null,
  request_id uuid not null,
  -- Like `audit.events.context`.
  context jsonb not null default '{}' check (jsonb_typeof(context) = 'object')
);
create index decisions_by_tenant on audit.decisions (tenant_id, id desc);
create index events_at on audit.events (at);
create index decisions_at on audit.decisions (at);

alter table audit.events enable row level security;
alter table audit.events force row level security;
alter table audit.decisions enable row level security;
alter table audit.decisions force row level security;

-- These tables are append-only. A tenant appends to and reads its own rows. Nobody is granted update or truncate, and only the
-- janitor is granted delete.
create policy tenant_append on audit.events for insert to tenant_rows
  with check (tenant_id = (select current_setting('app.tenant_id')::uuid)
              and coalesce(actor = (select nullif(current_setting('app.user_id', true), '')::uuid), actor is null));
create policy tenant_read on audit.events for select to tenant_rows
  using (tenant_id = (select current_setting('app.tenant_id')::uuid));
create policy identity_append on audit.events for insert to identity_rows with check (tenant_id is null);
create policy own_append on audit.events for insert to account_rows
  with check (tenant_id is null and actor = (select current_setting('app.user_id')::uuid));

create policy tenant_append on audit.decisions for insert to tenant_rows
  with check (tenant_id = (select current_setting('app.tenant_id')::uuid));
create policy tenant_read on audit.decisions for select to tenant_rows
  using (tenant_id = (select current_setting('app.tenant_id')::uuid));
create policy own_append on audit.decisions for insert to account_rows with check (tenant_id is null);
create policy append on audit.decisions for insert to audit_rows with check (true);

grant insert on audit.events to tenant_rows, account_rows, identity_rows;
grant insert on audit.decisions to tenant_rows, account_rows, audit_rows;
grant select on audit.events, audit.decisions to tenant_rows;

-- Grants already keep the application from changing rows. These triggers also stop mistakes by the owner of the tables. The janitor
-- deletes rows after a year.
create function audit.refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end;
$$;
grant execute on function audit.refuse_change() to janitor_rows;
create trigger append_only before update or truncate on audit.events
  for each statement execute function audit.refuse_change();
create trigger append_only before update or truncate on audit.decisions
  for each statement execute function audit.refuse_change();
create trigger only_the_janitor before delete on audit.events
  for each statement when (current_user <> 'janitor_rows') execute function audit.refuse_change();
create trigger only_the_janitor before delete on audit.decisions
  for each statement when (current_user <> 'janitor_rows') execute function audit.refuse_change();
create trigger kept_for_a_year before delete on audit.events
  for each row when (old.at > now() - interval '365 days') execute function audit.refuse_change();
create trigger kept_for_a_year before delete on audit.decisions
  for each row when (old.at > now() - interval '365 days') execute function audit.refuse_change();
create policy janitor on audit.events to janitor_rows using (at < now() - interval '365 days') with check (false);
create policy janitor on audit.decisions to janitor_rows using (at < now() - interval '365 days') with check (false);
grant select (id, at), delete on audit.events, audit.decisions to janitor_rows;
