-- An organization can connect its own identity provider, for domains that it has verified.
create table tenant.domains (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  name text not null check (char_length(name) between 4 and 253 and name ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$'),
  -- The value of the DNS record that verifies the domain. It is not a secret, because DNS is public.
  token text not null check (char_length(token) = 43),
  created_at timestamptz not null,
  verified_at timestamptz,
  -- When the DNS record is looked up next, and since when it has been missing.
  next_check_at timestamptz,
  missing_since timestamptz,
  check (verified_at is not null or next_check_at is null and missing_since is null),
  primary key (tenant_id, id),
  constraint domains_name_unique unique (tenant_id, name)
);
select tenant.protect('tenant.domains');
-- Only one organization can have a domain verified.
create unique index domains_verified_unique on tenant.domains (name) where verified_at is not null;
create index domains_next_check on tenant.domains (next_check_at nulls first) where verified_at is not null;

create table tenant.identity_providers (
  tenant_id uuid primary key references tenant.organizations (tenant_id),
  issuer text not null check (char_length(issuer) between 1 and 512),
  client_id text not null check (char_length(client_id) between 1 and 255),
  -- Encrypted for this row.
  client_secret bytea not null check (octet_length(client_secret) between 37 and 2048),
  changed_at timestamptz not null,
  -- The person whose share of connections its requests use.
  connected_by uuid not null,
  -- The known product (`authn::Preset`). Null if it is another one.
  preset text check (preset in ('auth0', 'cognito', 'gitea', 'gitlab', 'google', 'keycloak', 'microsoft', 'okta'))
);
select tenant.protect('tenant.identity_providers');
create trigger check_author before insert or update on tenant.identity_providers
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('connected_by');

-- The rows that authentication needs.
create policy authentication on tenant.domains for select to identity_rows using (true);
create policy authentication on tenant.identity_providers for select to identity_rows using (true);
grant select (tenant_id, id, name, token, verified_at, next_check_at) on tenant.domains to identity_rows;
grant select on tenant.identity_providers to identity_rows;

-- An organization can require SSO of all members. Without a provider and a verified domain, nobody could sign in then. A deleted
-- organization needs neither, because nobody signs in to it.
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
    raise exception 'SSO is required and needs an identity provider and a verified domain'
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

-- When an organization's provider last authenticated a person. Without a row, it never did, or the person has signed out there since.
-- An authentication by the same issuer for another organization does not count.
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

-- For a person who signs in with only a passkey that depends on the organization's provider: whether they have signed in with the
-- provider within the last day and have not signed out there since. For an owner, any earlier time is enough. Otherwise nobody could
-- sign in if the provider is down for long. If the provider was removed, the answer is yes.
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

-- An organization needs a second person to stop requiring SSO.
insert into identity.approval_kinds (kind, concerns) values ('stop_requiring_sso', 'organization');
create trigger require_approval_to_stop_requiring_sso before update on tenant.organizations
  for each row when (old.settings @> '{"requires_sso": true}' and not new.settings @> '{"requires_sso": true}')
  execute function tenant.require_approval('stop_requiring_sso');

-- A required provider cannot be replaced. A replacement would be a way around the approval to stop requiring it.
create function tenant.forbid_provider_replacement() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from tenant.organizations o where o.tenant_id = old.tenant_id for update;
  if exists (select from tenant.organizations o where o.tenant_id = old.tenant_id and o.settings @> '{"requires_sso": true}') then
    raise exception 'SSO is required, so its identity provider cannot be replaced'
      using errcode = 'check_violation', constraint = 'sso_requires_provider';
  end if;
  return new;
end;
$$;
create trigger forbid_provider_replacement before update on tenant.identity_providers
  for each row when ((new.issuer, new.client_id) is distinct from (old.issuer, old.client_id))
  execute function tenant.forbid_provider_replacement();
grant execute on function tenant.forbid_provider_replacement() to tenant_rows;

-- An operator can encrypt secrets again with another key.
create policy operators on tenant.identity_providers to operator_rows using (true) with check (true);
grant select (tenant_id, client_secret), update (client_secret) on tenant.identity_providers to operator_rows;
