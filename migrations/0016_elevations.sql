-- Temporary access: a member requests another role for a limited time, and somebody else approves. The request itself never changes.
-- The application can only add who approved it and who ended it, once each.
create table tenant.elevations (
  tenant_id uuid not null,
  id uuid not null,
  -- The member who requests it, and their role at that time. If the role changes, the request is void.
  user_id uuid not null,
  -- The session that requests it. It is valid in no other session.
  session_id uuid not null,
  own_role text not null check (own_role in ('owner', 'admin', 'billing_admin', 'finance', 'creator', 'editor', 'viewer')),
  role text not null check (role in ('admin', 'billing_admin', 'finance', 'creator', 'editor', 'viewer')),
  minutes int not null check (minutes between 1 and 60),
  reason text not null check (char_length(reason) between 3 and 500),
  ticket text not null check (char_length(ticket) between 1 and 500),
  requested_at timestamptz not null,
  -- It can be approved until this time.
  expires_at timestamptz not null,
  -- It lasts for `minutes` from `approved_at`.
  approved_by uuid,
  approved_at timestamptz,
  -- Null if a change of role ended it.
  ended_by uuid,
  ended_at timestamptz,
  primary key (tenant_id, id),
  -- It is deleted when the member leaves.
  constraint elevations_member foreign key (tenant_id, user_id) references tenant.memberships (tenant_id, user_id) on delete cascade,
  check (role <> own_role),
  check (expires_at - requested_at <= interval '24 hours'),
  check ((approved_by is null) = (approved_at is null)),
  check (approved_at < expires_at),
  constraint elevations_by_another check (approved_by <> user_id)
);
-- Each member has at most one that is requested or active. This index also finds it. An expired one is closed when the next one is
-- requested.
create unique index elevations_open_unique on tenant.elevations (tenant_id, user_id) where ended_at is null;
select tenant.protect('tenant.elevations');
create trigger check_author before insert or update on tenant.elevations
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('user_id', 'approved_by', 'ended_by');
revoke insert, update, delete on tenant.elevations from tenant_rows;
grant insert (id, user_id, session_id, own_role, role, minutes, reason, ticket, requested_at, expires_at),
  update (approved_by, approved_at, ended_by, ended_at) on tenant.elevations to tenant_rows;

create policy authentication on tenant.elevations for select to identity_rows using (true);
grant select (tenant_id, id, user_id, session_id, own_role, role, minutes, approved_at, ended_at) on tenant.elevations to identity_rows;

-- Marks a session that has requested one in any organization. The look-up of a request reads elevations for these sessions only.
create function tenant.flag_session_for_elevation() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update identity.sessions s
     set fact_sources = array_append(array_remove(s.fact_sources, 'elevations'), 'elevations'), rotated_at = 'epoch'
   where s.id = new.session_id and s.user_id = new.user_id;
  return null;
end;
$$;
create trigger flag_session_for_elevation after insert on tenant.elevations
  for each row execute function tenant.flag_session_for_elevation();
grant execute on function tenant.flag_session_for_elevation() to tenant_rows;

-- The role that the member has temporarily in this session.
select identity.add_facts('elevations', about => 'member', needed => $$ 'elevations' = any (s.fact_sources) $$, facts => $$
  (select jsonb_build_object('role', e.role, 'ends_at', e.approved_at + make_interval(mins => e.minutes),
                             'audit', jsonb_build_object('elevation', e.id))
     from tenant.elevations e
    where e.tenant_id = given_tenant and e.user_id = given_user and e.ended_at is null
      and e.session_id = given_session and e.own_role = given_role
      and e.approved_at <= given_now + interval '1 second'
      and e.approved_at + make_interval(mins => e.minutes) > given_now) $$);

-- A requested role needs a passkey, like the member's own role.
create or replace function tenant.needs_passkey(given_user uuid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from tenant.memberships m where m.user_id = given_user and tenant.is_privileged(m.role))
      or exists (select from tenant.elevations e
                  where e.user_id = given_user and e.ended_at is null and tenant.is_privileged(e.role));
end;
$$;

-- An elevation is never approved twice, approved after it has ended, or reopened.
create function tenant.forbid_elevation_changes() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'an elevation is approved once and ended once'
    using errcode = 'check_violation', constraint = 'elevations_once';
end;
$$;
create trigger forbid_elevation_changes before update on tenant.elevations for each row
  when (old.ended_at is not null
        or old.approved_at is not null and (new.approved_at, new.approved_by) is distinct from (old.approved_at, old.approved_by))
  execute function tenant.forbid_elevation_changes();
grant execute on function tenant.forbid_elevation_changes() to tenant_rows;

-- A change of role ends the elevation that was requested in the earlier role, even if the role changes back.
create function tenant.end_elevations() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update tenant.elevations e set ended_at = now()
   where e.tenant_id = new.tenant_id and e.user_id = new.user_id and e.ended_at is null;
  return null;
end;
$$;
create trigger end_elevations after update of role on tenant.memberships
  for each row when (new.role <> old.role) execute function tenant.end_elevations();
grant execute on function tenant.end_elevations() to tenant_rows;

-- The tokens of the sessions are replaced, as for a change of role.
create trigger rotate_sessions after update of approved_at, ended_at on tenant.elevations
  for each row execute function tenant.rotate_sessions();

create index elevations_expiry on tenant.elevations (expires_at);
create policy janitor on tenant.elevations to janitor_rows using (expires_at < now() - interval '365 days') with check (false);
grant select (tenant_id, id, expires_at), delete on tenant.elevations to janitor_rows;

-- The navigation says how many requests of others the member can approve.
grant select (expires_at) on tenant.elevations to identity_rows;
select identity.add_facts('elevations', about => 'waiting', needed => 'tenant.is_administrator(m.role)', facts => $$
  from tenant.elevations e
   where e.tenant_id = given_tenant and e.ended_at is null and e.approved_at is null and e.expires_at > given_now
     and e.user_id <> given_user and (given_role = 'owner' or e.role <> 'admin') $$);
