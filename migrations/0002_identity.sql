create table identity.users (
  id uuid primary key,
  display_name text not null check (char_length(display_name) between 1 and 200 and tenant.is_plain(display_name)),
  -- What it has in common with names that people cannot tell apart from it; null where nobody has signed in yet.
  name_key bytea check (octet_length(name_key) = 32),
  email text not null default '' check (char_length(email) <= 320),
  email_verified boolean not null default false,
  -- The organization whose own provider made the account and speaks for it. Null: a provider that is trusted for all.
  managed_by uuid,
  -- The address they have verified with a code, if the provider does not vouch for it.
  confirmed_email text not null default '',
  -- The address that is known to be theirs, if it is, in one form: A to Z in small letters, and no letter that only
  -- looks like one of them.
  verified_email text generated always as (
    case when email <> '' and (email_verified or email = confirmed_email) then lower(email collate "C") end) stored,
  -- What colleagues find them by.
  words text[] collate tenant.alike generated always as (tenant.words(display_name, email)) stored,
  created_at timestamptz not null,
  locked_at timestamptz
);
create index users_name_key on identity.users (name_key);

-- The key of a person is who vouches for them and under which subject, never an e-mail address.
create table identity.accounts (
  issuer text not null check (char_length(issuer) <= 512),
  subject text not null check (char_length(subject) between 1 and 255),
  user_id uuid not null references identity.users (id),
  created_at timestamptz not null,
  primary key (issuer, subject)
);
create index accounts_user on identity.accounts (user_id);

-- A sign-in on its way through a provider. Taken with DELETE .. RETURNING, so it works once.
create table identity.login_flows (
  -- Of the browser, in which several tabs may have one under way; the state tells them apart.
  handle_hash bytea not null check (octet_length(handle_hash) = 32),
  state_hash bytea not null check (octet_length(state_hash) = 32),
  -- The key in its one spelling, here and below: what a notice of the provider is compared with.
  provider text not null check (provider ~ '^[a-z0-9-]{1,38}$' and (provider !~ '^o-' or char_length(provider) = 38)),
  issuer text not null,
  nonce text not null,
  pkce_verifier text not null,
  -- The provider must have authenticated the person after this began.
  reauthenticate boolean not null,
  return_to text not null check (return_to like '/%' and char_length(return_to) <= 2048),
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- The session this browser had when it started, or has got in another tab since: ended when the new one begins.
  replaces uuid,
  primary key (handle_hash, state_hash)
);
create index login_flows_expiry on identity.login_flows (expires_at);

-- A code that was sent to an address, to verify that the person who is signed in can read it.
create table identity.email_codes (
  user_id uuid primary key references identity.users (id),
  email text not null check (char_length(email) between 3 and 320),
  code_hash bytea not null check (octet_length(code_hash) = 32),
  tries_left int not null check (tries_left >= 0),
  expires_at timestamptz not null
);
create index email_codes_expiry on identity.email_codes (expires_at);

-- What an organization's own provider says counts in that organization and nowhere else. So does everything that depends on it:
-- sessions, and the passkeys, recovery codes, authenticator apps and recoveries that such a session creates. `sso_tenant_id`
-- names that organization. It is null for a provider that is trusted everywhere. It is written once.
--
-- The transaction has it as `app.sso_tenant_id`, empty for none. A session without one sees everything that belongs to its
-- person; a session with one sees what belongs to that organization. Factors are separate: each session creates, changes and
-- removes those with the same `sso_tenant_id`. (`sso_tenant_key` is the same without a null, for keys.)
create function identity.set_sso_tenant() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- An account that only one organization manages depends on that organization in everything.
  if new.sso_tenant_id is null then
    new.sso_tenant_id := (select u.managed_by from identity.users u where u.id = new.user_id);
  end if;
  return new;
end;
$$;
grant execute on function identity.set_sso_tenant() to account_rows, identity_rows;

create table identity.sessions (
  id uuid primary key,
  user_id uuid not null references identity.users (id),
  -- SHA-256 of the 256-bit token in the cookie; the token itself is stored nowhere.
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  -- The token before the last rotation, good for a moment so that parallel tabs are not signed out.
  previous_hash bytea unique check (octet_length(previous_hash) = 32),
  previous_until timestamptz,
  -- The provider that authenticated the person. Null if they signed in with a passkey or a link alone.
  provider text check (provider ~ '^[a-z0-9-]{1,38}$' and (provider !~ '^o-' or char_length(provider) = 38)),
  issuer text,
  subject text,
  upstream_sid text,
  -- See `identity.set_sso_tenant`.
  sso_tenant_id uuid,
  auth_time timestamptz not null,
  methods text[] not null,
  -- When a passkey was last proved in this session, and which.
  passkey_at timestamptz,
  passkey_id uuid,
  -- When a code of an authenticator app was last proved in it.
  totp_at timestamptz,
  -- When a recovery was accepted, which lets it make a passkey and nothing else.
  recovered_at timestamptz,
  -- Where it began, or where a passkey was last proved in it: what later requests are compared with.
  device text not null,
  network text not null,
  -- A device this person had not come with before.
  new_device boolean not null,
  -- Features that have facts about this session, for the look-up of a request (migration 0004). It grants nothing.
  fact_sources text[] not null default '{}',
  -- Where the last request came from, and the one before the last change; how often that changed, and went back, without
  -- a pause.
  last_device text not null,
  last_network text not null,
  previous_device text not null default '',
  previous_network text not null default '',
  location_changes int not null default 0,
  location_returns int not null default 0,
  location_changed_at timestamptz,
  created_at timestamptz not null,
  -- The same by the clock of the database, which all instances share: what an organization has ended began before.
  started_at timestamptz not null default clock_timestamp(),
  rotated_at timestamptz not null,
  last_seen_at timestamptz not null,
  idle_expires_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  ended_reason text,
  check ((previous_hash is null) = (previous_until is null)),
  check ((ended_at is null) = (ended_reason is null)),
  check (num_nulls(provider, issuer, subject) in (0, 3)),
  check ((passkey_at is null) = (passkey_id is null)),
  -- Without a provider: a passkey, or a link by mail.
  check (provider is not null or passkey_at is not null or methods[1] = 'mail'),
  -- The provider that an organization brings has the key `o-` and the id of the organization.
  check (provider not like 'o-%' or sso_tenant_id is not null and provider = 'o-' || sso_tenant_id)
);
create trigger set_sso_tenant before insert on identity.sessions for each row execute function identity.set_sso_tenant();
-- Whatever goes over sessions that still count says `ended_at is null and expires_at > ..`, and reads those alone: sessions that
-- nobody ended expire, and there can be very many of them until they are deleted.
create index sessions_live on identity.sessions (user_id, expires_at) where ended_at is null;
create index sessions_sso_tenant on identity.sessions (sso_tenant_id, expires_at) where ended_at is null and sso_tenant_id is not null;
create index sessions_issuer on identity.sessions (issuer, expires_at) where ended_at is null;
-- Sessions of the provider's own session, also those that have ended here.
create index sessions_upstream on identity.sessions (provider, upstream_sid) where upstream_sid is not null;
-- Devices somebody came with before.
create index sessions_device on identity.sessions (user_id, device);
create index sessions_expiry on identity.sessions (expires_at);

-- Logout tokens already acted on (OpenID Connect Back-Channel Logout 1.0, section 2.6), kept while they could return, and
-- for sign-ins that were between the provider and their session when they came.
create table identity.logout_tokens (
  issuer text not null,
  jti text not null check (char_length(jti) between 1 and 255),
  provider text not null check (provider ~ '^[a-z0-9-]{1,38}$' and (provider !~ '^o-' or char_length(provider) = 38)),
  subject text,
  sid text,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  check (subject is not null or sid is not null),
  primary key (issuer, jti)
);

create index logout_tokens_expiry on identity.logout_tokens (expires_at);

-- A form that was sent without a fresh passkey, or after its session had ended. It is kept for the same person on the same word
-- (`sso_tenant_id`, null for none) in the same browser. It works once.
create table identity.deferred_requests (
  id uuid primary key,
  user_id uuid not null references identity.users (id),
  sso_tenant_id uuid,
  handle_hash bytea not null check (octet_length(handle_hash) = 32),
  action text not null,
  path text not null check (path like '/%' and char_length(path) <= 2048),
  -- What was sent, encrypted with a key that only the browser's cookie has.
  ciphertext bytea not null check (octet_length(ciphertext) <= 65536 + 16),
  created_at timestamptz not null,
  expires_at timestamptz not null
);
create index deferred_requests_user on identity.deferred_requests (user_id);
create index deferred_requests_expiry on identity.deferred_requests (expires_at);

grant select, insert, update on identity.users to identity_rows;
grant select, insert on identity.accounts to identity_rows;
grant select, insert, update (replaces), delete on identity.login_flows to identity_rows;
-- Who began a session, and on whose word, stays as it is.
grant select, insert,
      update (token_hash, previous_hash, previous_until, methods, passkey_at, passkey_id, totp_at, recovered_at, device, network,
              new_device, last_device, last_network, previous_device, previous_network, location_changes, location_returns,
              location_changed_at, rotated_at, last_seen_at, idle_expires_at, ended_at, ended_reason)
  on identity.sessions to identity_rows;
grant select, insert on identity.logout_tokens to identity_rows;
grant select, insert, delete on identity.deferred_requests to identity_rows;

-- People see and end their own sessions. Tokens are no column they can see, not even as hashes.
alter table identity.sessions enable row level security;
alter table identity.sessions force row level security;
create policy identity_plane on identity.sessions to identity_rows using (true) with check (true);
create policy own on identity.sessions to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and (select current_setting('app.sso_tenant_id')) in ('', sso_tenant_id::text))
  with check (user_id = (select current_setting('app.user_id')::uuid)
              and (select current_setting('app.sso_tenant_id')) in ('', sso_tenant_id::text));
grant select (id, user_id, sso_tenant_id, methods, passkey_at, totp_at, device, network, last_device, last_network, created_at,
              passkey_id, last_seen_at, idle_expires_at, expires_at, ended_at),
      update (rotated_at, ended_at, ended_reason) on identity.sessions to account_rows;

-- Names of people are seen by those who share an organization with them (policy in 0003) and by themselves.
alter table identity.users enable row level security;
alter table identity.users force row level security;
create policy identity_plane on identity.users to identity_rows using (true) with check (true);
create policy oneself on identity.users for select to account_rows
  using (id = (select current_setting('app.user_id')::uuid));
-- A session verifies an address only if it depends on the provider that manages the account.
create policy confirm_email on identity.users for update to account_rows
  using (id = (select current_setting('app.user_id')::uuid)
         and coalesce(managed_by::text, '') = (select current_setting('app.sso_tenant_id')))
  with check (id = (select current_setting('app.user_id')::uuid));
grant select (id, display_name, email, email_verified, verified_email, created_at) on identity.users
  to account_rows, tenant_rows;
grant select (words) on identity.users to tenant_rows;
grant select (confirmed_email, managed_by) on identity.users to account_rows;
grant select (name_key) on identity.users to tenant_rows;
grant update (confirmed_email) on identity.users to account_rows;

alter table identity.email_codes enable row level security;
alter table identity.email_codes force row level security;
create policy own on identity.email_codes to account_rows
  using (user_id = (select current_setting('app.user_id')::uuid)
         and exists (select from identity.users u
                      where u.id = email_codes.user_id
                        and coalesce(u.managed_by::text, '') = (select current_setting('app.sso_tenant_id'))))
  with check (user_id = (select current_setting('app.user_id')::uuid)
              and exists (select from identity.users u
                           where u.id = email_codes.user_id
                             and coalesce(u.managed_by::text, '') = (select current_setting('app.sso_tenant_id'))));
grant select, insert, update, delete on identity.email_codes to account_rows;

-- The janitor deletes expired rows, and sees nothing else of them.
create policy janitor on identity.sessions to janitor_rows using (expires_at < now());
create policy janitor on identity.email_codes to janitor_rows using (expires_at < now());
grant select (handle_hash, state_hash, expires_at), delete on identity.login_flows to janitor_rows;
grant select (id, expires_at), delete on identity.sessions to janitor_rows;
grant select (user_id, expires_at), delete on identity.email_codes to janitor_rows;
grant select (issuer, jti, expires_at), delete on identity.logout_tokens to janitor_rows;
grant select (id, expires_at), delete on identity.deferred_requests to janitor_rows;
