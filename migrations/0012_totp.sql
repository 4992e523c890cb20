-- Authenticator apps (TOTP, RFC 6238). At most one for each person and `sso_tenant_id`.
create table identity.totp (
  user_id uuid not null references identity.users (id),
  -- 160 bits, encrypted for this row.
  secret bytea not null check (octet_length(secret) between 56 and 200),
  created_at timestamptz not null,
  -- The session it was created in. Only that session can confirm it.
  created_in uuid not null,
  -- When its first code was verified. Before that, it is not a factor, and another app can replace it.
  confirmed_at timestamptz,
  -- The time step (30 seconds each, since 1970) of the last code that was accepted. That code and earlier ones are refused.
  last_step bigint not null default 0 check (last_step >= 0),
  last_used_at timestamptz,
  -- See `identity.set_sso_tenant`.
  sso_tenant_id uuid default nullif(current_setting('app.sso_tenant_id', true), '')::uuid,
  sso_tenant_key uuid generated always as (coalesce(sso_tenant_id, '00000000-0000-0000-0000-000000000000')) stored,
  primary key (user_id, sso_tenant_key),
  unique nulls not distinct (user_id, sso_tenant_id)
);
create trigger set_sso_tenant before insert on identity.totp for each row execute function identity.set_sso_tenant();

alter table identity.totp enable row level security;
alter table identity.totp force row level security;
create policy identity_plane on identity.totp to identity_rows using (true) with check (true);
create policy own on identity.totp to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')))
  with check (user_id = (select current_setting('app.user_id')::uuid)
              and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')));
grant select, update (secret, last_step, last_used_at) on identity.totp to identity_rows;
grant select, insert, update (secret, created_at, created_in, confirmed_at, last_step), delete on identity.totp to account_rows;

-- An organization can delete those of people whose accounts it manages, and of nobody else.
create policy managed on identity.totp to tenant_rows
  using (exists (select from identity.users u
                  where u.id = totp.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
grant select (user_id), delete on identity.totp to tenant_rows;

create policy operators on identity.totp to operator_rows using (true) with check (true);
grant select (user_id, secret), update (secret), delete on identity.totp to operator_rows;

-- Whether the person has an authenticator app that counts in this session. After a passkey, no code is accepted.
select identity.add_facts('totp', about => 'session', needed => 's.passkey_at is null', facts => $$
  jsonb_build_object('enrolled', exists (
    select from identity.totp t
     where t.user_id = given_user and t.confirmed_at is not null
       and (t.sso_tenant_id is null or t.sso_tenant_id = given_sso_tenant))) $$);
