-- Destructive actions take two people: one requests, and another one approves. The row says what is done, and no form does. The
-- application can only add the decision to a row.
create table tenant.approvals (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  kind text not null,
  -- What the kind concerns, as its feature registered it.
  concerns text not null,
  -- The organization or the member.
  target uuid not null,
  -- The state of the target at the time of the request. If that has changed, nothing is done.
  parameters jsonb not null check (jsonb_typeof(parameters) = 'object'),
  reason text not null check (char_length(reason) between 3 and 500),
  ticket text check (char_length(ticket) between 1 and 500),
  -- The requester and their current role. The role follows changes. The row is deleted when they leave.
  requested_by uuid not null,
  requester_role text not null,
  requested_at timestamptz not null,
  expires_at timestamptz not null,
  -- If it affects an owner: from this time on, an owner can approve it without a second person. Before that, the affected owner can
  -- decline it.
  single_approver_from timestamptz,
  decided_by uuid,
  decided_at timestamptz,
  outcome text check (outcome in ('approved', 'declined', 'expired')),
  -- The transaction of the decision. The approved action happens in the same transaction.
  decided_in xid8,
  primary key (tenant_id, id),
  constraint approvals_requester foreign key (tenant_id, requested_by, requester_role) references tenant.memberships (tenant_id, user_id, role)
    on update cascade on delete cascade,
  check (expires_at - requested_at <= case when single_approver_from is null then interval '24 hours' else interval '7 days' end),
  constraint approvals_kind foreign key (kind, concerns) references identity.approval_kinds (kind, concerns),
  -- For a member, the role says whether it affects an owner.
  check (concerns <> 'member' or parameters ? 'role'),
  check ((concerns = 'owner' or concerns = 'member' and coalesce(parameters ->> 'role', '') = 'owner')
         = (single_approver_from is not null)),
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

-- An approval is decided once. The application cannot choose which transaction is recorded.
create function tenant.record_approval_decision() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.decided_at is not null then
    raise exception 'this approval is already decided' using errcode = 'check_violation', constraint = 'approvals_once';
  end if;
  -- Allows for clocks that differ, here and below.
  if new.outcome <> 'expired' and new.decided_at < now() - interval '5 minutes' then
    raise exception 'a decision cannot be in the past' using errcode = 'check_violation', constraint = 'approvals_backdated';
  end if;
  new.decided_in := pg_current_xact_id();
  return new;
end;
$$;
create trigger record_approval_decision before update of decided_by, decided_at, outcome on tenant.approvals
  for each row execute function tenant.record_approval_decision();
grant execute on function tenant.record_approval_decision() to tenant_rows;

-- The feature that registered the kind says what it concerns. The waiting times begin with the request, and not earlier.
create function tenant.complete_approval_request() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.requested_at < now() - interval '5 minutes' then
    raise exception 'a request cannot be in the past' using errcode = 'check_violation', constraint = 'approvals_backdated';
  end if;
  new.concerns := (select k.concerns from identity.approval_kinds k where k.kind = new.kind);
  return new;
end;
$$;
create trigger complete_approval_request before insert on tenant.approvals
  for each row execute function tenant.complete_approval_request();
grant execute on function tenant.complete_approval_request() to tenant_rows;

-- The members who can approve. They have been administrators for three days, because a new one may be a second account of the
-- requester. A request that affects an owner needs an owner. The affected owner can approve it, too. After the wait, any owner can.
create function tenant.approvers(given tenant.approvals) returns uuid[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(m.user_id), '{}') from tenant.memberships m
   where m.tenant_id = given.tenant_id
     and tenant.is_administrator(m.role) and (m.role = 'owner' or given.single_approver_from is null)
     and (m.user_id <> given.requested_by and m.role_since <= now() - interval '72 hours'
          or m.role = 'owner' and given.single_approver_from is not null and (m.user_id = given.target or given.single_approver_from <= now()))
$$;
grant execute on function tenant.approvers(tenant.approvals) to tenant_rows;

-- An action is approved only in the transaction that approves a request for it, by somebody who can approve it.
create or replace function tenant.is_approved(given_tenant uuid, given_kind text, given_target uuid, given_parameters jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from tenant.approvals a
                  where a.tenant_id = given_tenant and a.target = given_target and a.kind = given_kind
                    and a.parameters @> given_parameters
                    and a.outcome = 'approved' and a.decided_in = pg_current_xact_id()
                    and a.decided_by = any (tenant.approvers(a)));
end;
$$;

-- Open requests about a member end when the member leaves.
create function tenant.expire_approvals() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update tenant.approvals a set decided_at = now(), outcome = 'expired'
   where a.tenant_id = old.tenant_id and a.target = old.user_id and a.decided_at is null;
  return old;
end;
$$;
create trigger expire_approvals before delete on tenant.memberships
  for each row when (current_user = 'tenant_rows') execute function tenant.expire_approvals();
grant execute on function tenant.expire_approvals() to tenant_rows;

create index approvals_expiry on tenant.approvals (expires_at);
create policy janitor on tenant.approvals to janitor_rows using (expires_at < now() - interval '365 days') with check (false);
grant select (tenant_id, id, expires_at), delete on tenant.approvals to janitor_rows;

-- The navigation says how many requests of others are pending.
create policy authentication on tenant.approvals for select to identity_rows using (true);
grant select (tenant_id, requested_by, expires_at, decided_at) on tenant.approvals to identity_rows;
select identity.add_facts('approvals', about => 'waiting', needed => 'tenant.is_administrator(m.role)', facts => $$
  from tenant.approvals a
   where a.tenant_id = given_tenant and a.decided_at is null and a.expires_at > given_now
     and a.requested_by <> given_user $$);
