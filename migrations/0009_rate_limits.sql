-- Rate limits (GCRA). `tat` is the theoretical arrival time. The key is a hash of the name of the limit and of what it limits.
create table identity.rate_limits (
  key bytea primary key check (octet_length(key) = 32),
  tat timestamptz not null
);
create index rate_limits_tat on identity.rate_limits (tat);
grant select, insert, update on identity.rate_limits to identity_rows;

-- Proofs of work that were used. They are kept for as long as they could be sent again.
create table identity.proof_of_work_solutions (
  mac bytea primary key check (octet_length(mac) = 32),
  expires_at timestamptz not null
);
create index proof_of_work_solutions_expiry on identity.proof_of_work_solutions (expires_at);
grant select, insert on identity.proof_of_work_solutions to identity_rows;

-- How many wrong codes a person has entered since the last right one, and until when no code is checked. Sessions with another
-- `sso_tenant_id` are counted separately.
create table identity.lockouts (
  user_id uuid not null references identity.users (id),
  failures int not null check (failures > 0),
  locked_until timestamptz not null,
  -- When the person was last notified.
  notified_at timestamptz,
  sso_tenant_id uuid,
  sso_tenant_key uuid generated always as (coalesce(sso_tenant_id, '00000000-0000-0000-0000-000000000000')) stored,
  primary key (user_id, sso_tenant_key),
  unique nulls not distinct (user_id, sso_tenant_id)
);

alter table identity.lockouts enable row level security;
alter table identity.lockouts force row level security;
create policy identity_plane on identity.lockouts to identity_rows using (true) with check (true);
create policy own on identity.lockouts to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')));
grant select, insert, update (failures, locked_until, notified_at), delete on identity.lockouts to identity_rows;
grant select (user_id, sso_tenant_id), delete on identity.lockouts to account_rows;

create index lockouts_expiry on identity.lockouts (locked_until);
create policy janitor on identity.lockouts to janitor_rows using (locked_until < now());
grant select (user_id, sso_tenant_key, locked_until), delete on identity.lockouts to janitor_rows;
grant select (key, tat), delete on identity.rate_limits to janitor_rows;
grant select (mac, expires_at), delete on identity.proof_of_work_solutions to janitor_rows;
