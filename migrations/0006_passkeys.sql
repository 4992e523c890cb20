-- A passkey (WebAuthn credential) of a person.
create table identity.passkeys (
  id uuid primary key,
  user_id uuid not null references identity.users (id),
  credential_id bytea not null check (octet_length(credential_id) between 16 and 1023),
  -- Public key, signature counter and flags, as the WebAuthn library keeps them.
  credential jsonb not null,
  name text not null check (char_length(name) between 1 and 60 and tenant.is_plain(name)),
  -- Whether it is discoverable, that is, signs in alone: what the browser said when it was made (credProps.rk, which nobody signs),
  -- and true once it has. Null where nobody knows. Only the words of pages and mails depend on it.
  discoverable boolean,
  -- The passkey that was proved in the session that made this one: whoever had a copy of that one made this one, too.
  enrolled_with uuid,
  -- Its bond: sessions it begins have the same.
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

-- Who has a passkey keeps one that can be used, of each bond: the last is replaced, not removed. Of two that are removed in the same
-- moment the second one waits for the first.
create function identity.require_a_passkey() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(old.user_id::text, 0));
  if not exists (select from identity.passkeys p
                  where p.user_id = old.user_id and p.disabled_at is null and p.sso_tenant_id is not distinct from old.sso_tenant_id) then
    raise exception 'the last passkey stays'
      using errcode = 'check_violation', constraint = 'passkeys_one_required';
  end if;
  return null;
end;
$$;
create trigger require_a_passkey after delete on identity.passkeys
  for each row when (old.disabled_at is null) execute function identity.require_a_passkey();
grant execute on function identity.require_a_passkey() to account_rows;

-- A challenge we gave out. Taken with DELETE .. RETURNING before the answer is looked at, so an answer works once.
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

-- A form that was sent without a fresh passkey, or after its session had ended. It is kept for the same person on the same word
-- (`sso_tenant_id`, null for none) in the same browser. Taken once.
create table identity.deferred_requests (
  id uuid primary key,
  user_id uuid not null references identity.users (id),
  sso_tenant_id uuid,
  handle_hash bytea not null check (octet_length(handle_hash) = 32),
  action text not null,
  path text not null check (path like '/%' and char_length(path) <= 2048),
  -- What was sent, sealed with a key that only the browser's cookie has.
  sealed bytea not null check (octet_length(sealed) <= 65536 + 16),
  created_at timestamptz not null,
  expires_at timestamptz not null
);
create index deferred_requests_user on identity.deferred_requests (user_id);
create index deferred_requests_expiry on identity.deferred_requests (expires_at);

-- People manage their own. That a passkey was used, or must not be used again, only `authn` notes.
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

grant select, insert, delete on identity.deferred_requests to identity_rows;

create policy janitor on identity.ceremonies to janitor_rows using (expires_at < now());
grant select (handle_hash, expires_at), delete on identity.ceremonies to janitor_rows;
grant select (id, expires_at), delete on identity.deferred_requests to janitor_rows;
