create table tenant.organizations (
  tenant_id uuid primary key,
  name text not null check (char_length(name) between 1 and 80 and tenant.is_plain(name)),
  created_at timestamptz not null default now(),
  -- From this time on nobody can sign in to it. The data is kept until an operator restores or erases it.
  deleted_at timestamptz,
  -- Settings of features, by name. A setting that is absent is off.
  settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object')
);
select tenant.protect('tenant.organizations');

-- Adds a setting of a feature to organizations. A setting is on or off.
create function tenant.add_setting(setting text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('alter table tenant.organizations add constraint %I check (jsonb_typeof(settings -> %L) = ''boolean'')',
                 'settings_' || setting, setting);
end;
$$;

create table tenant.workspaces (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  name text not null check (char_length(name) between 1 and 80 and tenant.is_plain(name)),
  -- The same for all names that look alike (`web::name_key`), so that an organization has no two of them.
  name_key bytea not null check (octet_length(name_key) = 32),
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  constraint workspaces_name_unique unique (tenant_id, name_key)
);
select tenant.protect('tenant.workspaces');

-- Roles. These two functions are the only SQL lists of roles by their rights. The policies have groups with the same names.
--
-- Their bodies are parsed here, so they need no search_path. Without one, PostgreSQL puts them into the query that calls them.
-- With one, a call took 14 of the 78 us of `identity.authenticate`.
--
-- Whether the role decides about people, money or security settings. Such a role needs a passkey.
create function tenant.is_privileged(role text) returns boolean
language sql immutable parallel safe
return role in ('owner', 'admin', 'billing_admin', 'finance');
-- Whether the role decides about other members.
create function tenant.is_administrator(role text) returns boolean
language sql immutable parallel safe
return role in ('owner', 'admin');
grant execute on function tenant.is_privileged(text), tenant.is_administrator(text) to tenant_rows, account_rows, identity_rows;

create table tenant.memberships (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  user_id uuid not null references identity.users (id),
  role text not null check (role in ('owner', 'admin', 'billing_admin', 'finance', 'creator', 'editor', 'viewer')),
  created_at timestamptz not null default now(),
  role_since timestamptz not null default now(),
  -- A member who was an administrator within the last day still counts as one when an action on them needs a second person.
  -- Otherwise an administrator could demote another one first, and then act on them alone.
  recent_administrator_until timestamptz,
  -- Sessions that began before this no longer count here. By the clock of the database.
  signed_out_at timestamptz,
  primary key (tenant_id, user_id),
  -- For foreign keys that follow the current role.
  unique (tenant_id, user_id, role)
);
create index memberships_user on tenant.memberships (user_id);
select tenant.protect('tenant.memberships');
revoke insert, update on tenant.memberships from tenant_rows;
grant insert (user_id, role), update (role, signed_out_at) on tenant.memberships to tenant_rows;
-- The person who creates an organization is its first member. Others accept an invitation (account_rows).
create trigger check_author before insert on tenant.memberships
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('user_id');

create function tenant.set_role_since() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  new.role_since := now();
  if tenant.is_administrator(old.role) and not tenant.is_administrator(new.role) then
    new.recent_administrator_until := now() + interval '24 hours';
  end if;
  return new;
end;
$$;
create trigger set_role_since before update of role on tenant.memberships
  for each row when (old.role <> new.role) execute function tenant.set_role_since();
grant execute on function tenant.set_role_since() to tenant_rows;

-- An organization always has an owner. The row of the organization is locked first. If two owners remove each other at the
-- same moment, the second one waits, sees that the first one is gone, and is refused.
create function tenant.require_an_owner() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from tenant.organizations o where o.tenant_id = old.tenant_id for update;
  if not exists (select from tenant.memberships m where m.tenant_id = old.tenant_id and m.role = 'owner') then
    raise exception 'an organization keeps at least one owner'
      using errcode = 'check_violation', constraint = 'memberships_owner_required';
  end if;
  return null;
end;
$$;
create trigger require_an_owner after update of role or delete on tenant.memberships
  for each row when (old.role = 'owner') execute function tenant.require_an_owner();
grant execute on function tenant.require_an_owner() to tenant_rows;

-- A member who leaves and joins again is not new. Their earlier sessions still do not count here, and a recent administrator
-- still counts as one.
create table tenant.former_members (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  user_id uuid not null,
  -- By the clock of the database, like `memberships.signed_out_at`.
  left_at timestamptz not null,
  recent_administrator_until timestamptz,
  primary key (tenant_id, user_id)
);
create index former_members_left on tenant.former_members (left_at);
select tenant.protect('tenant.former_members');
revoke update, delete on tenant.former_members from tenant_rows;
grant update (left_at, recent_administrator_until) on tenant.former_members to tenant_rows;
create policy own on tenant.former_members for select to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid));
grant select on tenant.former_members to account_rows;
create policy janitor on tenant.former_members to janitor_rows using (left_at < now() - interval '30 days') with check (false);
grant select (tenant_id, user_id, left_at), delete on tenant.former_members to janitor_rows;

create function tenant.record_former_member() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into tenant.former_members (tenant_id, user_id, left_at, recent_administrator_until)
  values (old.tenant_id, old.user_id, clock_timestamp(),
          case when tenant.is_administrator(old.role) then now() + interval '24 hours' else old.recent_administrator_until end)
  on conflict (tenant_id, user_id) do update
    set left_at = excluded.left_at, recent_administrator_until = excluded.recent_administrator_until;
  return old;
end;
$$;
create trigger record_former_member before delete on tenant.memberships
  for each row when (current_user = 'tenant_rows') execute function tenant.record_former_member();
grant execute on function tenant.record_former_member() to tenant_rows;

create function tenant.restore_former_member() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  select f.left_at, f.recent_administrator_until into new.signed_out_at, new.recent_administrator_until
    from tenant.former_members f where f.tenant_id = new.tenant_id and f.user_id = new.user_id;
  return new;
end;
$$;
create trigger restore_former_member before insert on tenant.memberships
  for each row when (current_user = 'account_rows') execute function tenant.restore_former_member();
grant execute on function tenant.restore_former_member() to account_rows;

-- Kinds of actions that take a second person. A feature registers its kinds here, and its triggers call `tenant.is_approved`.
create table identity.approval_kinds (
  kind text primary key check (kind ~ '^[a-z_]{3,40}$'),
  -- What the action affects: the organization, a member, or a member who is an owner.
  concerns text not null check (concerns in ('organization', 'member', 'owner')),
  -- Admins may request it, too, unless it affects an owner. Owners always may.
  open_to_admins boolean not null default false,
  unique (kind, concerns)
);
grant select on identity.approval_kinds to tenant_rows;
insert into identity.approval_kinds (kind, concerns, open_to_admins) values
  ('delete_organization', 'organization', false), ('remove_owner', 'owner', false), ('demote_owner', 'owner', false),
  ('reset_factors', 'member', true);

-- Whether this transaction approves the action for `given_target` with at least these parameters. Without the feature of approvals
-- the answer is no, so actions that take a second person are impossible. That feature replaces this function.
create function tenant.is_approved(given_tenant uuid, given_kind text, given_target uuid, given_parameters jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return false;
end;
$$;
grant execute on function tenant.is_approved(uuid, text, uuid, jsonb) to tenant_rows;

-- An action that needs an approval happens in the transaction of the approval, or not at all. The application cannot override this.
create function tenant.require_approval() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not tenant.is_approved(old.tenant_id, tg_argv[0], old.tenant_id, '{}') then
    raise exception 'this needs an approval' using errcode = 'check_violation', constraint = 'approval_required';
  end if;
  return new;
end;
$$;
create trigger require_approval_to_delete before update on tenant.organizations
  for each row when (old.deleted_at is null and new.deleted_at is not null)
  execute function tenant.require_approval('delete_organization');
grant execute on function tenant.require_approval() to tenant_rows;

-- Without an approval, only the owners themselves can give up their ownership.
create function tenant.protect_owners() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  is_removal boolean := tg_op = 'DELETE';
begin
  if old.user_id::text is distinct from current_setting('app.user_id', true)
     and not tenant.is_approved(
       old.tenant_id, case when is_removal then 'remove_owner' else 'demote_owner' end, old.user_id,
       case when is_removal then '{}' else jsonb_build_object('role', new.role) end) then
    raise exception 'this needs an approval' using errcode = 'check_violation', constraint = 'approval_required';
  end if;
  if is_removal then
    return old;
  end if;
  return new;
end;
$$;
create trigger protect_owners_from_removal before delete on tenant.memberships
  for each row when (old.role = 'owner' and current_user = 'tenant_rows') execute function tenant.protect_owners();
create trigger protect_owners_from_demotion before update of role on tenant.memberships
  for each row when (old.role = 'owner' and new.role <> 'owner' and current_user = 'tenant_rows')
  execute function tenant.protect_owners();
grant execute on function tenant.protect_owners() to tenant_rows;

-- Whether a person has a role that needs a passkey, in any organization. The feature of temporary access replaces this function.
create function tenant.needs_passkey(given_user uuid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from tenant.memberships m where m.user_id = given_user and tenant.is_privileged(m.role));
end;
$$;
grant execute on function tenant.needs_passkey(uuid) to identity_rows;

-- An organization can end sessions that depend on its own provider. For other sessions of its members it can only have the token
-- replaced (`rotated_at`), because they also count in other organizations. `fact_sources` grants nothing.
create policy members on identity.sessions to tenant_rows
  using (exists (select from tenant.memberships m
                  where m.tenant_id = (select current_setting('app.tenant_id')::uuid) and m.user_id = sessions.user_id)
         or sso_tenant_id = (select current_setting('app.tenant_id')::uuid))
  with check (sso_tenant_id = (select current_setting('app.tenant_id')::uuid)
              or ended_at is null and rotated_at = 'epoch'
              or exists (select from identity.users u
                          where u.id = sessions.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
grant select (id, user_id, sso_tenant_id, fact_sources, expires_at, ended_at),
      update (rotated_at, fact_sources, ended_at, ended_reason) on identity.sessions to tenant_rows;

-- A session that has ended stays ended.
create function identity.forbid_session_reopening() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'this session has ended' using errcode = 'check_violation', constraint = 'session_ended';
end;
$$;
create trigger forbid_session_reopening before update of ended_at, ended_reason on identity.sessions
  for each row when (old.ended_at is not null and (new.ended_at, new.ended_reason) is distinct from (old.ended_at, old.ended_reason)
                     and current_user in ('tenant_rows', 'account_rows', 'identity_rows'))
  execute function identity.forbid_session_reopening();
grant execute on function identity.forbid_session_reopening() to tenant_rows, account_rows, identity_rows;

-- When a role changes, the tokens of that person's sessions are replaced with the next request.
create function tenant.rotate_sessions() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update identity.sessions s set rotated_at = 'epoch'
   where s.user_id = new.user_id and s.ended_at is null
     -- Allows for clocks that differ.
     and s.expires_at > now() - interval '5 minutes';
  return null;
end;
$$;
create trigger rotate_sessions after insert or update of role on tenant.memberships
  for each row execute function tenant.rotate_sessions();
grant execute on function tenant.rotate_sessions() to tenant_rows, account_rows;

create policy colleagues on identity.users for select to tenant_rows
  using (exists (select from tenant.memberships m
                  where m.tenant_id = (select current_setting('app.tenant_id')::uuid) and m.user_id = users.id));
grant select (managed_by) on identity.users to tenant_rows;

-- A person sees their own memberships in all organizations, and the names of those organizations. A session that depends on an
-- organization's provider sees only that organization's.
create policy own_memberships on tenant.memberships for select to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and (select current_setting('app.sso_tenant_id')) in ('', tenant_id::text));
create policy own_organizations on tenant.organizations for select to account_rows
  using (exists (select from tenant.memberships m
                  where m.tenant_id = organizations.tenant_id
                    and m.user_id = (select current_setting('app.user_id')::uuid)));
grant select on tenant.memberships, tenant.organizations to account_rows;

-- Code that creates sessions can act as any person, so row-level security cannot limit it. Its plane can read the columns that
-- authentication needs, and no others.
create policy authentication on tenant.memberships for select to identity_rows using (true);
create policy authentication on tenant.organizations for select to identity_rows using (true);
create policy authentication on tenant.workspaces for select to identity_rows using (true);
grant select (tenant_id, user_id, role, signed_out_at) on tenant.memberships to identity_rows;
grant select (tenant_id, name, settings, deleted_at) on tenant.organizations to identity_rows;
grant select (tenant_id, id, name) on tenant.workspaces to identity_rows;

-- A person who signs in cannot see a deleted organization.
create policy live on tenant.organizations as restrictive for select to account_rows, identity_rows using (deleted_at is null);
