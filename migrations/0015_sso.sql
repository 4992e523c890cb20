-- An organization connects its own identity provider, for domains that it has verified.
create table tenant.domains (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  name text not null check (char_length(name) between 4 and 253 and name ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$'),
  -- What the domain's DNS has once it is verified. Not a secret: it is public there.
  token text not null check (char_length(token) = 43),
  created_at timestamptz not null,
  verified_at timestamptz,
  -- When the DNS is looked up again, and since when the record is missing.
  next_check_at timestamptz,
  missing_since timestamptz,
  check (verified_at is not null or next_check_at is null and missing_since is null),
  primary key (tenant_id, id),
  constraint domains_name_unique unique (tenant_id, name)
);
select tenant.protect('tenant.domains');
-- Only one organization can have verified it.
create unique index domains_verified_unique on tenant.domains (name) where verified_at is not null;
create index domains_next_check on tenant.domains (next_check_at nulls first) where verified_at is not null;

create table tenant.identity_providers (
  tenant_id uuid primary key references tenant.organizations (tenant_id),
  issuer text not null check (char_length(issuer) between 1 and 512),
  client_id text not null check (char_length(client_id) between 1 and 255),
  -- Encrypted for this row.
  client_secret bytea not null check (octet_length(client_secret) between 37 and 2048),
  changed_at timestamptz not null,
  -- Whose share of the connections its requests use.
  connected_by uuid not null,
  -- What it is known to need (`authn::Preset`). Null: nothing special.
  preset text check (preset in ('auth0', 'cognito', 'gitea', 'gitlab', 'google', 'keycloak', 'microsoft', 'okta'))
);
select tenant.protect('tenant.identity_providers');
create trigger check_author before insert or update on tenant.identity_providers
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('connected_by');

-- What authentication needs.
create policy authentication on tenant.domains for select to identity_rows using (true);
create policy authentication on tenant.identity_providers for select to identity_rows using (true);
grant select (tenant_id, id, name, token, verified_at, next_check_at) on tenant.domains to identity_rows;
grant select on tenant.identity_providers to identity_rows;

-- The organization requires its provider of everybody. Without a provider and a verified domain nobody could sign in. Nobody
-- signs in to a deleted organization.
select tenant.add_setting('requires_sso');
create function tenant.require_provider_for_sso() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from tenant.organizations o where o.tenant_id = old.tenant_id for update;
  if exists (select from tenant.organizations o where o.tenant_id = old.tenant_id and o.settings @> '{"requires_sso": true}' and o.deleted_at is null)
     and not (exists (select from tenant.identity_providers s where s.tenant_id = old.tenant_id)
              and exists (select from tenant.domains d where d.tenant_id = old.tenant_id and d.verified_at is not null)) then
    raise exception 'single sign-on is required and needs a provider and a domain'
      using errcode = 'check_violation', constraint = 'sso_requires_provider';
  end if;
  return null;
end;
$$;
create trigger require_provider_for_sso after delete on tenant.identity_providers
  for each row execute function tenant.require_provider_for_sso();
create trigger require_provider_for_sso after delete on tenant.domains
  for each row execute function tenant.require_provider_for_sso();
create trigger require_provider_for_sso after update of settings on tenant.organizations
  for each row when (new.settings @> '{"requires_sso": true}') execute function tenant.require_provider_for_sso();
grant execute on function tenant.require_provider_for_sso() to tenant_rows;

-- When an organization's provider last authenticated somebody here. No row: never, or they have signed out there since. What the
-- same issuer says for another organization does not count here.
create table identity.sso_authentications (
  sso_tenant_id uuid not null,
  issuer text not null,
  subject text not null,
  user_id uuid not null references identity.users (id),
  authenticated_at timestamptz not null,
  primary key (sso_tenant_id, issuer, subject),
  foreign key (issuer, subject) references identity.accounts (issuer, subject)
);
create index sso_authentications_user on identity.sso_authentications (user_id);
grant select, insert, update (authenticated_at), delete on identity.sso_authentications to identity_rows;

-- For somebody who signs in with a passkey alone that depends on the organization's provider: whether they have signed in with the
-- provider within a day and not signed out since. An owner has no such day, so that a provider that is down locks nobody out for
-- good. If the provider was removed, there is nobody left to ask.
create function identity.sso_is_current(given_tenant uuid, given_user uuid, given_role text, given_now timestamptz) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return not exists (select from tenant.identity_providers s where s.tenant_id = given_tenant)
      or exists (select from identity.sso_authentications v join tenant.identity_providers s on s.tenant_id = v.sso_tenant_id and s.issuer = v.issuer
                  where v.sso_tenant_id = given_tenant and v.user_id = given_user
                    and (v.authenticated_at > given_now - interval '1 day' or given_role = 'owner'));
end;
$$;
grant execute on function identity.sso_is_current(uuid, uuid, text, timestamptz) to identity_rows;

select identity.add_refusal('sso',
  of_session => $$
    s.sso_tenant_id is not null and s.provider is null and not identity.sso_is_current(m.tenant_id, m.user_id, m.role, given_now)
    or o.settings @> '{"requires_sso": true}' and (s.sso_tenant_id is null or s.provider is null)
       and (m.role <> 'owner' or s.passkey_at is null) $$,
  of_client => $$ c.member is not null and o.settings @> '{"requires_sso": true}' $$);

-- It takes a second person to stop requiring the provider.
insert into identity.approval_kinds (kind, concerns) values ('stop_requiring_sso', 'organization');
create trigger require_approval_to_stop_requiring_sso before update on tenant.organizations
  for each row when (old.settings @> '{"requires_sso": true}' and not new.settings @> '{"requires_sso": true}')
  execute function tenant.require_approval('stop_requiring_sso');

-- A provider that is required is not replaced by another one: that would be a way to stop requiring it.
create function tenant.forbid_provider_replacement() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from tenant.organizations o where o.tenant_id = old.tenant_id for update;
  if exists (select from tenant.organizations o where o.tenant_id = old.tenant_id and o.settings @> '{"requires_sso": true}') then
    raise exception 'single sign-on is required and its provider stays'
      using errcode = 'check_violation', constraint = 'sso_requires_provider';
  end if;
  return new;
end;
$$;
create trigger forbid_provider_replacement before update on tenant.identity_providers
  for each row when ((new.issuer, new.client_id) is distinct from (old.issuer, old.client_id))
  execute function tenant.forbid_provider_replacement();
grant execute on function tenant.forbid_provider_replacement() to tenant_rows;

-- An operator encrypts secrets under another key.
create policy operators on tenant.identity_providers to operator_rows using (true) with check (true);
grant select (tenant_id, client_secret), update (client_secret) on tenant.identity_providers to operator_rows;
