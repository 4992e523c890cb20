-- How often something was tried: the time at which everything tried so far is paid for. The key is a hash of what is
-- limited and for whom.
create table identity.limits (
  key bytea primary key check (octet_length(key) = 32),
  free_at timestamptz not null
);
create index limits_free on identity.limits (free_at);
grant select, insert, update on identity.limits to identity_rows;

-- Proofs of work that were used, as long as they could be shown again.
create table identity.solutions (
  mark bytea primary key check (octet_length(mark) = 32),
  expires_at timestamptz not null
);
create index solutions_expired on identity.solutions (expires_at);
grant select, insert on identity.solutions to identity_rows;

-- Wrong codes of a person since the last right one, and until when no further one is looked at. Sessions of one bond have no
-- part in those of another one.
create table identity.lockouts (
  user_id uuid not null references identity.users (id),
  failures int not null check (failures > 0),
  free_at timestamptz not null,
  -- When the owner was last told.
  told_at timestamptz,
  sign_on uuid,
  bond uuid generated always as (coalesce(sign_on, '00000000-0000-0000-0000-000000000000')) stored,
  primary key (user_id, bond),
  unique nulls not distinct (user_id, sign_on)
);

alter table identity.lockouts enable row level security;
alter table identity.lockouts force row level security;
create policy identity_plane on identity.lockouts to identity_rows using (true) with check (true);
create policy own on identity.lockouts to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and coalesce(sign_on::text, '') = (select current_setting('app.sign_on')));
grant select, insert, update (failures, free_at, told_at), delete on identity.lockouts to identity_rows;
grant select (user_id, sign_on), delete on identity.lockouts to account_rows;

create index lockouts_free on identity.lockouts (free_at);
create policy janitor on identity.lockouts to janitor_rows using (free_at < now());
grant select (user_id, bond, free_at), delete on identity.lockouts to janitor_rows;
grant select (key, free_at), delete on identity.limits to janitor_rows;
grant select (mark, expires_at), delete on identity.solutions to janitor_rows;
