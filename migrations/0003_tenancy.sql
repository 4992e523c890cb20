create table tenant.organizations (
  tenant_id uuid primary key,
  name text not null check (char_length(name) between 1 and 80),
  created_at timestamptz not null default now()
);
select tenant.protect('tenant.organizations');

create table tenant.workspaces (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  name text not null check (char_length(name) between 1 and 80),
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  constraint workspaces_name_unique unique (tenant_id, name)
);
select tenant.protect('tenant.workspaces');

create table tenant.memberships (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  user_id uuid not null references identity.users (id),
  role text not null check (role in ('owner', 'admin', 'billing_admin', 'finance', 'creator', 'editor', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (tenant_id, user_id)
);
create index memberships_user on tenant.memberships (user_id);
select tenant.protect('tenant.memberships');

-- An organization always has an owner. The row of the organization is locked first, so of two owners who remove each
-- other in the same moment the second one waits, sees the first one gone, and is refused.
create function tenant.keep_an_owner() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from tenant.organizations o where o.tenant_id = old.tenant_id for update;
  if not exists (select from tenant.memberships m where m.tenant_id = old.tenant_id and m.role = 'owner') then
    raise exception 'an organization keeps at least one owner'
      using errcode = 'check_violation', constraint = 'memberships_keep_an_owner';
  end if;
  return null;
end;
$$;
create trigger keep_an_owner after update of role or delete on tenant.memberships
  for each row when (old.role = 'owner') execute function tenant.keep_an_owner();
grant execute on function tenant.keep_an_owner() to tenant_rows;

-- A role that changes changes what the sessions of that person are worth: their tokens are replaced with the next
-- request. Runs as its owner, because nobody who writes memberships may touch sessions.
create function tenant.renew_sessions() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update identity.sessions s set rotated_at = 'epoch' where s.user_id = new.user_id and s.ended_at is null;
  return null;
end;
$$;
create trigger renew_sessions after insert or update of role on tenant.memberships
  for each row execute function tenant.renew_sessions();
grant execute on function tenant.renew_sessions() to tenant_rows;

create policy colleagues on identity.users for select to tenant_rows
  using (exists (select from tenant.memberships m
                  where m.tenant_id = (select current_setting('app.tenant_id')::uuid) and m.user_id = users.id));

-- A person sees the own memberships, whichever organization they belong to, and the names of those organizations.
create policy own_memberships on tenant.memberships for select to account_rows, identity_rows
  using (user_id = (select current_setting('app.user_id')::uuid));
create policy own_organizations on tenant.organizations for select to account_rows, identity_rows
  using (exists (select from tenant.memberships m
                  where m.tenant_id = organizations.tenant_id
                    and m.user_id = (select current_setting('app.user_id')::uuid)));
create policy own_workspaces on tenant.workspaces for select to identity_rows
  using (tenant_id = (select current_setting('app.tenant_id')::uuid));
grant select on tenant.memberships, tenant.organizations to account_rows, identity_rows;
grant select on tenant.workspaces to identity_rows;

-- Who is asking, and where: the session behind a cookie, and the membership and workspace that the URL selects.
-- One call, so that a request costs one round trip before its own query. It binds the transaction to the tenant only
-- where a membership exists; everything that reads tenant rows without one fails.
create function identity.enter(given_hash bytea, given_now timestamptz, given_tenant uuid, given_workspace uuid)
returns table (
  session_id uuid, user_id uuid, display_name text, email text, email_verified boolean,
  issuer text, subject text, auth_time timestamptz, methods text[], device text, network text,
  created_at timestamptz, rotated_at timestamptz, last_seen_at timestamptz, expires_at timestamptz, by_previous boolean,
  tenant_id uuid, organization_name text, role text, workspace_id uuid, workspace_name text
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  select s.id, s.user_id, u.display_name, u.email, u.email_verified,
         s.issuer, s.subject, s.auth_time, s.methods, s.device, s.network,
         s.created_at, s.rotated_at, s.last_seen_at, s.expires_at, s.token_hash <> given_hash
    into session_id, user_id, display_name, email, email_verified,
         issuer, subject, auth_time, methods, device, network,
         created_at, rotated_at, last_seen_at, expires_at, by_previous
    from identity.sessions s join identity.users u on u.id = s.user_id
   where s.id = coalesce((select t.id from identity.sessions t where t.token_hash = given_hash),
                         (select p.id from identity.sessions p
                           where p.previous_hash = given_hash and p.previous_until > given_now))
     and s.ended_at is null and s.idle_expires_at > given_now and s.expires_at > given_now
     and u.locked_at is null;
  if not found then
    return;
  end if;
  perform set_config('app.user_id', user_id::text, true);
  if given_tenant is not null then
    select m.tenant_id, m.role, o.name into tenant_id, role, organization_name
      from tenant.memberships m join tenant.organizations o on o.tenant_id = m.tenant_id
     where m.tenant_id = given_tenant and m.user_id = enter.user_id;
    if found then
      perform set_config('app.tenant_id', tenant_id::text, true);
      if given_workspace is not null then
        select w.id, w.name into workspace_id, workspace_name
          from tenant.workspaces w where w.tenant_id = given_tenant and w.id = given_workspace;
      end if;
    end if;
  end if;
  return next;
end;
$$;
grant execute on function identity.enter(bytea, timestamptz, uuid, uuid) to identity_rows;
