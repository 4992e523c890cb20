-- A passkey (WebAuthn credential) of a person.
create table identity.passkeys (
  id uuid primary key,
  user_id uuid not null references identity.users (id),
  credential_id bytea not null check (octet_length(credential_id) between 16 and 1023),
  -- Public key, signature counter and flags, in the format of the WebAuthn library.
  credential jsonb not null,
  name text not null check (char_length(name) between 1 and 60 and tenant.is_plain(name)),
  -- Whether it is discoverable, so that it can sign in without a provider. The browser said so when it was created (credProps.rk, which
  -- is not signed). It becomes true after such a sign-in. Null if unknown. Only texts of pages and emails depend on it.
  discoverable boolean,
  -- The passkey that was verified in the session that created this one. If that one was cloned, this one is not safe either.
  enrolled_with uuid,
  -- See `identity.set_sso_tenant`. Sessions that begin with this passkey have the same value.
  sso_tenant_id uuid default nullif(current_setting('app.sso_tenant_id', true), '')::uuid,
  created_at timestamptz not null,
  last_used_at timestamptz,
  disabled_at timestamptz,
  disabled_reason text,
  constraint passkeys_credential_unique unique (credential_id),
  check ((disabled_at is null) = (disabled_reason is null))
);
create index passkeys_user on identity.passkeys (user_id);
create trigger set_sso_tenant before insert on identity.passkeys for each row execute function identity.set_sso_tenant();

-- A person with passkeys keeps at least one usable passkey for each `sso_tenant_id`. So the last one can be replaced but not removed.
-- If two are removed at the same moment, the second transaction waits for the first one.
create function identity.require_a_passkey() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(old.user_id::text, 0));
  if not exists (select from identity.passkeys p
                  where p.user_id = old.user_id and p.disabled_at is null and p.sso_tenant_id is not distinct from old.sso_tenant_id) then
    raise exception 'the last passkey cannot be removed'
      using errcode = 'check_violation', constraint = 'passkeys_one_required';
  end if;
  return null;
end;
$$;
create trigger require_a_passkey after delete on identity.passkeys
  for each row when (old.disabled_at is null) execute function identity.require_a_passkey();
grant execute on function identity.require_a_passkey() to account_rows;

-- A challenge that was sent out. It is deleted with DELETE .. RETURNING before the answer is checked, so an answer works once.
create table identity.ceremonies (
  handle_hash bytea primary key check (octet_length(handle_hash) = 32),
  kind text not null check (kind in ('enrol', 'sign_in', 'step_up')),
  user_id uuid references identity.users (id),
  session_id uuid references identity.sessions (id),
  state jsonb not null,
  expires_at timestamptz not null,
  check (num_nulls(user_id, session_id) = case kind when 'sign_in' then 2 else 0 end)
);
create index ceremonies_expiry on identity.ceremonies (expires_at);
create index ceremonies_session on identity.ceremonies (session_id);

-- People manage their own passkeys. Only `authn` records that a passkey was used or disabled.
alter table identity.passkeys enable row level security;
alter table identity.passkeys force row level security;
create policy identity_plane on identity.passkeys to identity_rows using (true) with check (true);
create policy own on identity.passkeys to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')))
  with check (user_id = (select current_setting('app.user_id')::uuid)
              and coalesce(sso_tenant_id::text, '') = (select current_setting('app.sso_tenant_id')));
grant select, update (credential, discoverable, last_used_at, disabled_at, disabled_reason) on identity.passkeys to identity_rows;
grant select, insert, update (name), delete on identity.passkeys to account_rows;

alter table identity.ceremonies enable row level security;
alter table identity.ceremonies force row level security;
create policy identity_plane on identity.ceremonies to identity_rows using (true) with check (true);
create policy own_enrolment on identity.ceremonies to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid) and kind = 'enrol')
  with check (user_id = (select current_setting('app.user_id')::uuid) and kind = 'enrol');
grant select, insert, delete on identity.ceremonies to identity_rows, account_rows;

create policy janitor on identity.ceremonies to janitor_rows using (expires_at < now());
grant select (handle_hash, expires_at), delete on identity.ceremonies to janitor_rows;

-- An organization disables and removes passkeys of the people whose accounts it manages, and of nobody else.
create policy managed on identity.passkeys to tenant_rows
  using (exists (select from identity.users u
                  where u.id = passkeys.user_id and u.managed_by = (select current_setting('app.tenant_id')::uuid)));
grant select (user_id, disabled_at), update (disabled_at, disabled_reason), delete on identity.passkeys to tenant_rows;

create policy operators on identity.passkeys to operator_rows using (true) with check (true);
grant select (id, user_id, disabled_at), update (disabled_at, disabled_reason), delete on identity.passkeys to operator_rows;

-- Whether the person has a passkey that counts in this session. A disabled one counts. If one was verified in the session, the row of
-- the session already says so.
select identity.add_facts('passkeys', about => 'session', needed => 's.passkey_at is null', facts => $$
  jsonb_build_object('enrolled', exists (
    select from identity.passkeys p
     where p.user_id = given_user and (p.sso_tenant_id is null or p.sso_tenant_id = given_sso_tenant))) $$);
