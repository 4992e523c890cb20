-- Single-use codes for people who have lost every passkey. The first four characters find the row. Argon2id of the rest verifies it.
create table identity.recovery_codes (
  user_id uuid not null references identity.users (id),
  selector text not null check (char_length(selector) = 4),
  hash text not null check (hash like '$argon2id$%'),
  created_at timestamptz not null,
  used_at timestamptz,
  -- See `identity.set_sso_tenant`.
  sso_tenant_id uuid default nullif(current_setting('app.sso_tenant_id', true), '')::uuid,
  sso_tenant_key uuid generated always as (coalesce(sso_tenant_id, '00000000-0000-0000-0000-000000000000')) stored,
  primary key (user_id, sso_tenant_key, selector)
);
create trigger set_sso_tenant before insert on identity.recovery_codes for each row execute function identity.set_sso_tenant();

-- A recovery that waits, so that the owner of the account can stop it. One for each person and `sso_tenant_id`.
create table identity.recoveries (
  user_id uuid not null references identity.users (id),
  -- Identifies the browser that sent the code.
  handle_hash bytea not null check (octet_length(handle_hash) = 32),
  ready_at timestamptz not null,
  expires_at timestamptz not null,
  sso_tenant_id uuid,
  sso_tenant_key uuid generated always as (coalesce(sso_tenant_id, '00000000-0000-0000-0000-000000000000')) stored,
  primary key (user_id, sso_tenant_key),
  unique nulls not distinct (user_id, sso_tenant_id)
);
create trigger set_sso_tenant before insert on identity.recoveries for each row execute function identity.set_sso_tenant();

alter table identity.recovery_codes enable row level security;
alter table identity.recovery_codes force row level security;
create policy identity_plane on identity.recovery_codes to identity_rows using (true) with check (true);
create policy own on identity.recovery_codes to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')))
  with check (user_id = (select current_setting('app.user_id')::uuid)
              and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')));
grant select, update (used_at) on identity.recovery_codes to identity_rows;
grant select (user_id, sso_tenant_id, created_at, used_at), insert, delete on identity.recovery_codes to account_rows;

alter table identity.recoveries enable row level security;
alter table identity.recoveries force row level security;
create policy identity_plane on identity.recoveries to identity_rows using (true) with check (true);
create policy own on identity.recoveries to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')));
grant select, insert, update (handle_hash, ready_at, expires_at), delete on identity.recoveries to identity_rows;
grant select (user_id, sso_tenant_id, ready_at, expires_at), delete on identity.recoveries to account_rows;

create index recoveries_expiry on identity.recoveries (expires_at);
create policy janitor on identity.recoveries to janitor_rows using (expires_at < now());
grant select (user_id, sso_tenant_key, expires_at), delete on identity.recoveries to janitor_rows;

-- An organization can delete those of people whose accounts it manages, and of nobody else.
create policy managed on identity.recovery_codes to tenant_rows
  using (exists (select from identity.users u
                  where u.id = recovery_codes.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
create policy managed on identity.recoveries to tenant_rows
  using (exists (select from identity.users u
                  where u.id = recoveries.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
grant select (user_id), delete on identity.recovery_codes, identity.recoveries to tenant_rows;

create policy operators on identity.recovery_codes to operator_rows using (true);
create policy operators on identity.recoveries to operator_rows using (true);
grant select (user_id), delete on identity.recovery_codes, identity.recoveries to operator_rows;
