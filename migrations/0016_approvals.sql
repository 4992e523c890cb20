-- What destroys takes two people: one asks, and another one approves. What is done is what stands here and not what a form
-- says, and what stands here is not changed by the application but for the decision.
create table tenant.approvals (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  kind text not null
    check (kind in ('delete_organization', 'stop_requiring_sso', 'reset_factors', 'remove_owner', 'demote_owner')),
  -- The organization or the member.
  target uuid not null,
  -- What it is about, as it was when it was asked for. If that has changed, nothing is done.
  parameters jsonb not null check (jsonb_typeof(parameters) = 'object'),
  reason text not null check (char_length(reason) between 3 and 500),
  ticket text check (char_length(ticket) between 1 and 500),
  -- Who asked, and what they are now: it follows a change of their role, and goes when they go.
  requested_by uuid not null,
  requester_role text not null,
  requested_at timestamptz not null,
  expires_at timestamptz not null,
  -- Of what is done to an owner: from then on an owner approves it without a second person. Until then the one concerned
  -- can decline.
  single_approver_from timestamptz,
  decided_by uuid,
  decided_at timestamptz,
  outcome text check (outcome in ('approved', 'declined', 'expired')),
  -- The transaction of the decision, and so of what it approved.
  decided_in xid8,
  primary key (tenant_id, id),
  constraint approvals_requester foreign key (tenant_id, requested_by, requester_role) references tenant.memberships (tenant_id, user_id, role)
    on update cascade on delete cascade,
  check (expires_at - requested_at <= case when single_approver_from is null then interval '24 hours' else interval '7 days' end),
  check ((kind in ('remove_owner', 'demote_owner') or kind = 'reset_factors' and coalesce(parameters ->> 'role', '') = 'owner')
         = (single_approver_from is not null)),
  check (kind <> 'reset_factors' or parameters ? 'role'),
  check (single_approver_from - requested_at >= interval '72 hours'),
  check (num_nulls(decided_at, outcome, decided_in) in (0, 3)),
  check (outcome = 'expired' or (outcome is null) = (decided_by is null)),
  check (outcome <> 'approved' or decided_at < expires_at),
  constraint approvals_by_another check (outcome <> 'approved' or decided_by <> requested_by or single_approver_from is not null)
);
create unique index approvals_open_unique on tenant.approvals (tenant_id, kind, target) where decided_at is null;
create index approvals_by_requester on tenant.approvals (tenant_id, requested_by, requester_role);
select tenant.protect('tenant.approvals');
create trigger check_author before insert or update on tenant.approvals
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('requested_by', 'decided_by');
revoke insert, update, delete on tenant.approvals from tenant_rows;
grant insert (id, kind, target, parameters, reason, ticket, requested_by, requester_role, requested_at, expires_at, single_approver_from),
  update (decided_by, decided_at, outcome) on tenant.approvals to tenant_rows;

-- Decided once, and in which transaction is for nobody to say.
create function tenant.record_approval_decision() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.decided_at is not null then
    raise exception 'this is decided' using errcode = 'check_violation', constraint = 'approvals_once';
  end if;
  -- With room for clocks that differ, here and below.
  if new.outcome <> 'expired' and new.decided_at < now() - interval '5 minutes' then
    raise exception 'this is not decided in the past' using errcode = 'check_violation', constraint = 'approvals_backdated';
  end if;
  new.decided_in := pg_current_xact_id();
  return new;
end;
$$;
create trigger record_approval_decision before update of decided_by, decided_at, outcome on tenant.approvals
  for each row execute function tenant.record_approval_decision();
grant execute on function tenant.record_approval_decision() to tenant_rows;

-- The waits begin when it is asked for, and not before.
create function tenant.check_request_time() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.requested_at < now() - interval '5 minutes' then
    raise exception 'this is not asked for in the past' using errcode = 'check_violation', constraint = 'approvals_backdated';
  end if;
  return new;
end;
$$;
create trigger check_request_time before insert on tenant.approvals for each row execute function tenant.check_request_time();
grant execute on function tenant.check_request_time() to tenant_rows;

-- Nobody comes in any more, and what is there is kept until an operator restores or erases it.
alter table tenant.organizations add column deleted_at timestamptz;

-- Since when somebody has been what they are.
alter table tenant.memberships add column role_since timestamptz not null default now();
create function tenant.set_role_since() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  new.role_since := now();
  return new;
end;
$$;
create trigger set_role_since before update of role on tenant.memberships
  for each row when (old.role <> new.role) execute function tenant.set_role_since();
grant execute on function tenant.set_role_since() to tenant_rows;

-- The second people: owners and admins who have been that for three days. One who was made today may be a second account of
-- who asks. What is done to an owner is approved by owners, by the one concerned as well, and after the wait by all of them.
create function tenant.approvers(given tenant.approvals) returns uuid[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(m.user_id), '{}') from tenant.memberships m
   where m.tenant_id = given.tenant_id
     and (m.role = 'owner' or m.role = 'admin' and given.single_approver_from is null)
     and (m.user_id <> given.requested_by and m.role_since <= now() - interval '72 hours'
          or m.role = 'owner' and given.single_approver_from is not null and (m.user_id = given.target or given.single_approver_from <= now()))
$$;
grant execute on function tenant.approvers(tenant.approvals) to tenant_rows;

-- Whatever the application believes: what takes an approval is done in the transaction of one, or not at all.
create function tenant.require_approval() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from tenant.approvals a
                  where a.tenant_id = old.tenant_id and a.target = old.tenant_id and a.kind = tg_argv[0]
                    and a.outcome = 'approved' and a.decided_in = pg_current_xact_id()
                    and a.decided_by = any (tenant.approvers(a))) then
    raise exception 'this takes an approval' using errcode = 'check_violation', constraint = 'approval_required';
  end if;
  return new;
end;
$$;
create trigger require_approval_to_delete before update on tenant.organizations
  for each row when (old.deleted_at is null and new.deleted_at is not null)
  execute function tenant.require_approval('delete_organization');
create trigger require_approval_to_stop_requiring_sso before update on tenant.organizations
  for each row when (old.requires_sso and not new.requires_sso)
  execute function tenant.require_approval('stop_requiring_sso');
grant execute on function tenant.require_approval() to tenant_rows;

-- For whoever is about to come in, it is not there.
create policy live on tenant.organizations as restrictive for select to account_rows, identity_rows using (deleted_at is null);
grant select (deleted_at) on tenant.organizations to identity_rows;

-- An organization takes the factors of the people for whom its own provider speaks, and of nobody else.
grant select (managed_by) on identity.users to tenant_rows;
create policy managed on identity.passkeys to tenant_rows
  using (exists (select from identity.users u
                  where u.id = passkeys.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
create policy managed on identity.totp to tenant_rows
  using (exists (select from identity.users u
                  where u.id = totp.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
create policy managed on identity.recovery_codes to tenant_rows
  using (exists (select from identity.users u
                  where u.id = recovery_codes.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
create policy managed on identity.recoveries to tenant_rows
  using (exists (select from identity.users u
                  where u.id = recoveries.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
grant select (user_id, disabled_at), update (disabled_at, disabled_reason), delete on identity.passkeys to tenant_rows;
grant select (user_id), delete on identity.totp, identity.recovery_codes, identity.recoveries to tenant_rows;

-- Whoever was an owner or an admin within a day counts as one where that decides whether one person is enough: a role that
-- is taken and given back makes no second person of anybody.
alter table tenant.memberships add column recently_privileged_until timestamptz;
create function tenant.set_recently_privileged() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  new.recently_privileged_until := now() + interval '24 hours';
  return new;
end;
$$;
create trigger set_recently_privileged before update of role on tenant.memberships
  for each row when (old.role in ('owner', 'admin') and new.role not in ('owner', 'admin'))
  execute function tenant.set_recently_privileged();
grant execute on function tenant.set_recently_privileged() to tenant_rows;

-- Nobody but themselves takes ownership from an owner alone.
create function tenant.protect_owners() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.user_id::text is distinct from current_setting('app.user_id', true)
     and not exists (select from tenant.approvals a
                      where a.tenant_id = old.tenant_id and a.target = old.user_id
                        and case when tg_op = 'DELETE' then a.kind = 'remove_owner'
                                 else a.kind = 'demote_owner' and a.parameters ->> 'role' = new.role end
                        and a.outcome = 'approved' and a.decided_in = pg_current_xact_id()
                        and a.decided_by = any (tenant.approvers(a))) then
    raise exception 'this takes an approval' using errcode = 'check_violation', constraint = 'approval_required';
  end if;
  if tg_op = 'DELETE' then
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

-- A member who leaves and comes back is not new. Their earlier sessions stay ended here, and a recent owner or admin still
-- counts as one. Open requests about them end when they leave.
create table tenant.former_members (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  user_id uuid not null,
  -- By the clock of the database, as `memberships.signed_out_at`.
  left_at timestamptz not null,
  recently_privileged_until timestamptz,
  primary key (tenant_id, user_id)
);
create index former_members_left on tenant.former_members (left_at);
select tenant.protect('tenant.former_members');
revoke update, delete on tenant.former_members from tenant_rows;
grant update (left_at, recently_privileged_until) on tenant.former_members to tenant_rows;
create policy own on tenant.former_members for select to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid));
grant select on tenant.former_members to account_rows;

create function tenant.record_former_member() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into tenant.former_members (tenant_id, user_id, left_at, recently_privileged_until)
  values (old.tenant_id, old.user_id, clock_timestamp(),
          case when old.role in ('owner', 'admin') then now() + interval '24 hours' else old.recently_privileged_until end)
  on conflict (tenant_id, user_id) do update set left_at = excluded.left_at, recently_privileged_until = excluded.recently_privileged_until;
  update tenant.approvals a set decided_at = now(), outcome = 'expired'
   where a.tenant_id = old.tenant_id and a.target = old.user_id and a.decided_at is null;
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
  select f.left_at, f.recently_privileged_until into new.signed_out_at, new.recently_privileged_until
    from tenant.former_members f where f.tenant_id = new.tenant_id and f.user_id = new.user_id;
  return new;
end;
$$;
create trigger restore_former_member before insert on tenant.memberships
  for each row when (current_user = 'account_rows') execute function tenant.restore_former_member();
grant execute on function tenant.restore_former_member() to account_rows;

-- A provider that is required is not replaced by another one: that would be to stop requiring it.
create function tenant.forbid_provider_replacement() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from tenant.organizations o where o.tenant_id = old.tenant_id for update;
  if exists (select from tenant.organizations o where o.tenant_id = old.tenant_id and o.requires_sso) then
    raise exception 'sign-on is enforced and its provider stays'
      using errcode = 'check_violation', constraint = 'sso_requires_provider';
  end if;
  return new;
end;
$$;
create trigger forbid_provider_replacement before update on tenant.identity_providers
  for each row when ((new.issuer, new.client_id) is distinct from (old.issuer, old.client_id))
  execute function tenant.forbid_provider_replacement();
grant execute on function tenant.forbid_provider_replacement() to tenant_rows;

create policy janitor on tenant.former_members to janitor_rows using (left_at < now() - interval '30 days') with check (false);
grant select (tenant_id, user_id, left_at), delete on tenant.former_members to janitor_rows;
create index approvals_expiry on tenant.approvals (expires_at);
create policy janitor on tenant.approvals to janitor_rows using (expires_at < now() - interval '365 days') with check (false);
grant select (tenant_id, id, expires_at), delete on tenant.approvals to janitor_rows;
