create table tenant.organizations (
  tenant_id uuid primary key,
  name text not null check (char_length(name) between 1 and 80 and tenant.is_plain(name)),
  created_at timestamptz not null default now()
);
select tenant.protect('tenant.organizations');

create table tenant.workspaces (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  name text not null check (char_length(name) between 1 and 80 and tenant.is_plain(name)),
  -- What names have in common that people cannot tell apart (`web::name_key`): no two of them in one organization.
  name_key bytea not null check (octet_length(name_key) = 32),
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  constraint workspaces_name_unique unique (tenant_id, name_key)
);
select tenant.protect('tenant.workspaces');

create table tenant.memberships (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  user_id uuid not null references identity.users (id),
  role text not null check (role in ('owner', 'admin', 'billing_admin', 'finance', 'creator', 'editor', 'viewer')),
  created_at timestamptz not null default now(),
  -- Sessions that began before have ended here, by the clock of the database.
  signed_out_at timestamptz,
  primary key (tenant_id, user_id),
  -- For what depends on the role somebody has now.
  unique (tenant_id, user_id, role)
);
create index memberships_user on tenant.memberships (user_id);
select tenant.protect('tenant.memberships');
revoke insert, update on tenant.memberships from tenant_rows;
grant insert (user_id, role), update (role, signed_out_at) on tenant.memberships to tenant_rows;
-- Whoever makes an organization is its first member. Others accept an invitation (account_rows).
create trigger check_author before insert on tenant.memberships
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('user_id');

-- An organization always has an owner. The row of the organization is locked first, so of two owners who remove each
-- other in the same moment the second one waits, sees the first one gone, and is refused.
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

-- An organization ends the sessions that stand on its own word. Of the other sessions of its members it has the token
-- replaced (`rotated_at`), and nothing else: what they are elsewhere is not for it to say.
create policy members on identity.sessions to tenant_rows
  using (exists (select from tenant.memberships m
                  where m.tenant_id = (select current_setting('app.tenant_id')::uuid) and m.user_id = sessions.user_id)
         or sso_tenant_id = (select current_setting('app.tenant_id')::uuid))
  with check (sso_tenant_id = (select current_setting('app.tenant_id')::uuid)
              or ended_at is null and rotated_at = 'epoch'
              or exists (select from identity.users u
                          where u.id = sessions.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
grant select (id, user_id, sso_tenant_id, expires_at, ended_at), update (rotated_at, ended_at, ended_reason) on identity.sessions to tenant_rows;

-- What has ended stays ended.
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

-- A role that changes changes what the sessions of that person are worth: their tokens are replaced with the next
-- request.
create function tenant.rotate_sessions() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update identity.sessions s set rotated_at = 'epoch' 
   where s.user_id = new.user_id and s.ended_at is null
     -- With room for clocks that differ.
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

-- A person sees the own memberships, whichever organization they belong to, and the names of those organizations. In a
-- session with a bond, those of that organization.
create policy own_memberships on tenant.memberships for select to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and (select current_setting('app.sso_tenant_id')) in ('', tenant_id::text));
create policy own_organizations on tenant.organizations for select to account_rows
  using (exists (select from tenant.memberships m
                  where m.tenant_id = organizations.tenant_id
                    and m.user_id = (select current_setting('app.user_id')::uuid)));
grant select on tenant.memberships, tenant.organizations to account_rows;

-- Whoever reads sessions and makes them could be anybody, so what an entry needs is open to that plane, and no column more.
create policy authentication on tenant.memberships for select to identity_rows using (true);
create policy authentication on tenant.organizations for select to identity_rows using (true);
create policy authentication on tenant.workspaces for select to identity_rows using (true);
grant select (tenant_id, user_id, role, signed_out_at) on tenant.memberships to identity_rows;
grant select (tenant_id, name) on tenant.organizations to identity_rows;
grant select (tenant_id, id, name) on tenant.workspaces to identity_rows;

-- Who is asking, and where: the session behind a cookie, and the membership and workspace that the URL selects.
-- One call, so that a request costs one round trip before its own query. It binds the transaction to the tenant only
-- where a membership exists; everything that reads tenant rows without one fails.
--
-- One query and one value, because what is asked before every request is felt in every request: as three queries and a
-- row of 21 columns it took three times as long. What few requests need is in functions of its own, and only called where it
-- is: as joins it took a quarter of the time, and with more than 16 tables and indexes a transaction takes its locks in
-- memory that all share.
create function identity.authenticate(given_hash bytea, given_now timestamptz, given_tenant uuid, given_workspace uuid)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  found_user uuid;
  found_bond uuid;
  found_tenant uuid;
  entry json;
begin
  select u.id, s.sso_tenant_id, m.tenant_id, json_build_object(
           'session', json_build_object(
             'session', s.id, 'user', u.id, 'name', u.display_name, 'email', u.email,
             'email_verified', u.verified_email is not null, 'issuer', s.issuer, 'subject', s.subject, 'auth_time', s.auth_time,
             'methods', s.methods, 'device', s.device, 'network', s.network, 'created_at', s.created_at,
             'rotated_at', s.rotated_at, 'last_seen_at', s.last_seen_at, 'expires_at', s.expires_at,
             'passkey_at', s.passkey_at, 'totp_at', s.totp_at, 'recovered_at', s.recovered_at,
             'enrolled', case when s.passkey_at is not null then json_build_object('passkey', true, 'totp', false)
                              else identity.enrolled_factors(u.id, s.sso_tenant_id) end,
             'drift', case when s.new_device or s.location_changed_at is not null then
               json_build_object('new_device', s.new_device, 'seen_device', s.last_device,
                                 'seen_network', s.last_network, 'changes', s.location_changes, 'returns', s.location_returns,
                                 'changed_at', s.location_changed_at) end,
             'sign_on', s.sso_tenant_id, 'by_previous', s.token_hash <> given_hash),
           'membership', case when m.role is not null then
             json_build_object('tenant', m.tenant_id, 'organization', o.name, 'role', m.role,
                               'unaccepted', case
                                 when s.started_at <= m.signed_out_at then 'signed_out'
                                 when s.methods[1] = 'mail' and not o.allows_magic_links then 'link'
                                 when s.sso_tenant_id <> m.tenant_id then 'elsewhere'
                                 when s.sso_tenant_id is not null and s.provider is null
                                      and not identity.sso_is_current(m.tenant_id, m.user_id, m.role, given_now) then 'sign_on'
                                 when o.requires_sso and (s.sso_tenant_id is null or s.provider is null)
                                      and (m.role <> 'owner' or s.passkey_at is null) then 'sign_on' end,
                               'elevation', case when s.asked_for_role then
                                 identity.elevation(s.id, m.tenant_id, m.user_id, m.role, given_now) end) end,
           'workspace', case when w.id is not null then json_build_object('id', w.id, 'name', w.name) end)
    into found_user, found_bond, found_tenant, entry
    from identity.sessions s
    join identity.users u on u.id = s.user_id
    left join tenant.organizations o on o.tenant_id = given_tenant
    left join tenant.memberships m on m.tenant_id = o.tenant_id and m.user_id = s.user_id
    left join tenant.workspaces w on w.tenant_id = m.tenant_id and w.id = given_workspace
   where (s.token_hash = given_hash or s.previous_hash = given_hash and s.previous_until > given_now)
     and s.ended_at is null and s.idle_expires_at > given_now and s.expires_at > given_now
     and u.locked_at is null;
  if found then
    perform set_config('app.user_id', found_user::text, true), set_config('app.sso_tenant_id', coalesce(found_bond::text, ''), true);
    if found_tenant is not null then
      perform set_config('app.tenant_id', found_tenant::text, true);
    end if;
  end if;
  return entry;
end;
$$;
grant execute on function identity.authenticate(bytea, timestamptz, uuid, uuid) to identity_rows;
