create table identity.users (
  id uuid primary key,
  display_name text not null check (char_length(display_name) between 1 and 200 and tenant.is_plain(display_name)),
  -- The same for all names that look alike (`web::name_key`). Null if the person has not signed in yet.
  name_key bytea check (octet_length(name_key) = 32),
  email text not null default '' check (char_length(email) <= 320),
  email_verified boolean not null default false,
  -- The organization whose own identity provider created and manages the account. Null if a configured provider did.
  managed_by uuid,
  -- The address that they have verified with a code, if the provider does not verify it.
  confirmed_email text not null default '',
  -- The address, if it is verified. A to Z are in lower case. Other letters are unchanged, because some only look like those.
  verified_email text generated always as (
    case when email <> '' and (email_verified or email = confirmed_email) then lower(email collate "C") end) stored,
  -- The words that colleagues find them by.
  words text[] collate tenant.alike generated always as (tenant.words(display_name, email)) stored,
  created_at timestamptz not null,
  locked_at timestamptz
);
create index users_name_key on identity.users (name_key);

-- A person is identified by issuer and subject, never by an email address.
create table identity.accounts (
  issuer text not null check (char_length(issuer) <= 512),
  subject text not null check (char_length(subject) between 1 and 255),
  user_id uuid not null references identity.users (id),
  created_at timestamptz not null,
  primary key (issuer, subject)
);
create index accounts_user on identity.accounts (user_id);

-- A sign-in that is in progress at a provider. It is used with DELETE .. RETURNING, so it works once.
create table identity.login_flows (
  -- Identifies the browser. Several of its tabs can be signing in. The state tells them apart.
  handle_hash bytea not null check (octet_length(handle_hash) = 32),
  state_hash bytea not null check (octet_length(state_hash) = 32),
  -- The key of the provider in its only spelling, here and below. Logout tokens of the provider are matched by it.
  provider text not null check (provider ~ '^[a-z0-9-]{1,38}$' and (provider !~ '^o-' or char_length(provider) = 38)),
  issuer text not null,
  nonce text not null,
  pkce_verifier text not null,
  -- The provider must have authenticated the person after this began.
  reauthenticate boolean not null,
  return_to text not null check (return_to like '/%' and char_length(return_to) <= 2048),
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- The session that this browser had when the sign-in started, or that another tab has begun since. It ends when the new one begins.
  replaces uuid,
  primary key (handle_hash, state_hash)
);
create index login_flows_expiry on identity.login_flows (expires_at);

-- A code that was sent to an address. It verifies that the person who is signed in can read mail sent to that address.
create table identity.email_codes (
  user_id uuid primary key references identity.users (id),
  email text not null check (char_length(email) between 3 and 320),
  code_hash bytea not null check (octet_length(code_hash) = 32),
  tries_left int not null check (tries_left >= 0),
  expires_at timestamptz not null
);
create index email_codes_expiry on identity.email_codes (expires_at);

-- An organization's own identity provider counts in that organization and nowhere else. The same holds for everything that depends on
-- it: sessions, and the passkeys, recovery codes, authenticator apps and recoveries that such a session creates. `sso_tenant_id`
-- names that organization. It is null for a provider of the configuration, which counts everywhere. It never changes.
--
-- A transaction has it as `app.sso_tenant_id`, which is empty for none. A session without one sees everything that belongs to its
-- person. A session with one sees only what belongs to that organization. Factors are separate: each session creates, changes and
-- removes those with the same `sso_tenant_id`. (`sso_tenant_key` is the same value with a placeholder for null, for keys.)
create function identity.set_sso_tenant() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Everything of an account that an organization manages depends on that organization.
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
  -- SHA-256 of the 256-bit token in the cookie. The token itself is not stored.
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  -- The token before the last rotation. It stays valid for a moment, so that parallel tabs are not signed out.
  previous_hash bytea unique check (octet_length(previous_hash) = 32),
  previous_until timestamptz,
  -- The provider that authenticated the person. Null if they signed in with only a passkey or a link.
  provider text check (provider ~ '^[a-z0-9-]{1,38}$' and (provider !~ '^o-' or char_length(provider) = 38)),
  issuer text,
  subject text,
  upstream_sid text,
  -- See `identity.set_sso_tenant`.
  sso_tenant_id uuid,
  auth_time timestamptz not null,
  methods text[] not null,
  -- When a passkey was last verified in this session, and which one.
  passkey_at timestamptz,
  passkey_id uuid,
  -- When a code of an authenticator app was last verified in it.
  totp_at timestamptz,
  -- When a recovery was accepted in it. That lets the session create a passkey and nothing else.
  recovered_at timestamptz,
  -- Where it began, or where a passkey was last verified in it. Later requests are compared with this.
  device text not null,
  network text not null,
  -- The person had not used this device before.
  new_device boolean not null,
  -- Features that have facts about this session, for the look-up of a request (migration 0004). This grants nothing.
  fact_sources text[] not null default '{}',
  -- Where the last request came from, and where requests came from before the last change. How often that has changed, and changed
  -- back, without a pause.
  last_device text not null,
  last_network text not null,
  previous_device text not null default '',
  previous_network text not null default '',
  location_changes int not null default 0,
  location_returns int not null default 0,
  location_changed_at timestamptz,
  created_at timestamptz not null,
  -- The same by the clock of the database, which all instances share. `memberships.signed_out_at` is compared with it.
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
  -- Without a provider, there is a passkey or a link by email.
  check (provider is not null or passkey_at is not null or methods[1] = 'mail'),
  -- The key of an organization's own provider is `o-` and the id of the organization.
  check (provider not like 'o-%' or sso_tenant_id is not null and provider = 'o-' || sso_tenant_id)
);
create trigger set_sso_tenant before insert on identity.sessions for each row execute function identity.set_sso_tenant();
-- Queries for live sessions say `ended_at is null and expires_at > ..`, so that these indexes find only those. There can be very many
-- expired sessions until they are deleted.
create index sessions_live on identity.sessions (user_id, expires_at) where ended_at is null;
create index sessions_sso_tenant on identity.sessions (sso_tenant_id, expires_at) where ended_at is null and sso_tenant_id is not null;
create index sessions_issuer on identity.sessions (issuer, expires_at) where ended_at is null;
-- Finds the sessions that belong to one session at the provider, including those that have ended here.
create index sessions_upstream on identity.sessions (provider, upstream_sid) where upstream_sid is not null;
-- Finds the devices that a person has used before.
create index sessions_device on identity.sessions (user_id, device);
create index sessions_expiry on identity.sessions (expires_at);

-- Logout tokens that were accepted (OpenID Connect Back-Channel Logout 1.0, section 2.6). They are kept for as long as they could be
-- sent again, and for sign-ins that were in progress when they arrived.
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

-- A form that was sent without a fresh passkey, or after its session had ended. It is kept for the same person with the same
-- `sso_tenant_id` (null for none) in the same browser. It works once.
create table identity.deferred_requests (
  id uuid primary key,
  user_id uuid not null references identity.users (id),
  sso_tenant_id uuid,
  handle_hash bytea not null check (octet_length(handle_hash) = 32),
  action text not null,
  path text not null check (path like '/%' and char_length(path) <= 2048),
  -- The body of the request, encrypted with a key that only the browser's cookie has.
  ciphertext bytea not null check (octet_length(ciphertext) <= 65536 + 16),
  created_at timestamptz not null,
  expires_at timestamptz not null
);
create index deferred_requests_user on identity.deferred_requests (user_id);
create index deferred_requests_expiry on identity.deferred_requests (expires_at);

grant select, insert, update on identity.users to identity_rows;
grant select, insert on identity.accounts to identity_rows;
grant select, insert, update (replaces), delete on identity.login_flows to identity_rows;
-- The person, the provider and the `sso_tenant_id` of a session never change.
grant select, insert,
      update (token_hash, previous_hash, previous_until, methods, passkey_at, passkey_id, totp_at, recovered_at, device, network,
              new_device, last_device, last_network, previous_device, previous_network, location_changes, location_returns,
              location_changed_at, rotated_at, last_seen_at, idle_expires_at, ended_at, ended_reason)
  on identity.sessions to identity_rows;
grant select, insert on identity.logout_tokens to identity_rows;
grant select, insert, delete on identity.deferred_requests to identity_rows;

-- People see and end their own sessions. They cannot read the hashes of tokens.
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

-- A person's name is visible to members of the same organizations (policy in 0003) and to that person.
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

-- The janitor deletes expired rows, and can read only what it needs for that.
create policy janitor on identity.sessions to janitor_rows using (expires_at < now());
create policy janitor on identity.email_codes to janitor_rows using (expires_at < now());
grant select (handle_hash, state_hash, expires_at), delete on identity.login_flows to janitor_rows;
grant select (id, expires_at), delete on identity.sessions to janitor_rows;
grant select (user_id, expires_at), delete on identity.email_codes to janitor_rows;
grant select (issuer, jti, expires_at), delete on identity.logout_tokens to janitor_rows;
grant select (id, expires_at), delete on identity.deferred_requests to janitor_rows;
