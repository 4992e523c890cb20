-- An organization brings its own identity provider, for the domains it has proved to be its own.
create table tenant.domains (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  name text not null check (char_length(name) between 4 and 253 and name ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$'),
  -- What stands in the domain's DNS once it is proved. No secret: whoever reads it there can do nothing with it.
  token text not null check (char_length(token) = 43),
  created_at timestamptz not null,
  proved_at timestamptz,
  -- When the DNS is asked again, and since when its answer is that the record is gone.
  next_check_at timestamptz,
  missing_since timestamptz,
  check (proved_at is not null or next_check_at is null and missing_since is null),
  primary key (tenant_id, id),
  constraint domains_name_unique unique (tenant_id, name)
);
select tenant.protect('tenant.domains');
-- Of all organizations one can have proved it.
create unique index domains_proved_unique on tenant.domains (name) where proved_at is not null;
create index domains_next_check on tenant.domains (next_check_at nulls first) where proved_at is not null;

create table tenant.sign_on (
  tenant_id uuid primary key references tenant.organizations (tenant_id),
  issuer text not null check (char_length(issuer) between 1 and 512),
  client_id text not null check (char_length(client_id) between 1 and 255),
  -- Sealed for this row.
  client_secret bytea not null check (octet_length(client_secret) between 37 and 2048),
  changed_at timestamptz not null,
  -- In whose share of the places its requests wait.
  connected_by uuid not null,
  -- What it is known to need (authn::Preset). Null: nothing.
  preset text check (preset in ('auth0', 'cognito', 'gitea', 'gitlab', 'google', 'keycloak', 'microsoft', 'okta'))
);
select tenant.protect('tenant.sign_on');
create trigger sign_as_oneself before insert or update on tenant.sign_on
  for each row when (current_user = 'tenant_rows') execute function tenant.sign_as_oneself('connected_by');
alter table tenant.organizations add column enforces_sign_on boolean not null default false;

-- What a sign-in needs.
create policy entry on tenant.domains for select to identity_rows using (true);
create policy entry on tenant.sign_on for select to identity_rows using (true);
grant select (tenant_id, id, name, token, proved_at, next_check_at) on tenant.domains to identity_rows;
grant select on tenant.sign_on to identity_rows;
grant select (enforces_sign_on) on tenant.organizations to identity_rows;

-- Without a provider and a domain nobody could come in as is enforced. Into a deleted organization nobody does.
create function tenant.keep_enforced_sign_on() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from tenant.organizations o where o.tenant_id = old.tenant_id for update;
  if exists (select from tenant.organizations o where o.tenant_id = old.tenant_id and o.enforces_sign_on and o.deleted_at is null)
     and not (exists (select from tenant.sign_on s where s.tenant_id = old.tenant_id)
              and exists (select from tenant.domains d where d.tenant_id = old.tenant_id and d.proved_at is not null)) then
    raise exception 'sign-on is enforced and needs a provider and a domain'
      using errcode = 'check_violation', constraint = 'sign_on_enforced';
  end if;
  return null;
end;
$$;
create trigger keep_enforced_sign_on after delete on tenant.sign_on
  for each row execute function tenant.keep_enforced_sign_on();
create trigger keep_enforced_sign_on after delete on tenant.domains
  for each row execute function tenant.keep_enforced_sign_on();
create trigger keep_enforced_sign_on after update of enforces_sign_on on tenant.organizations
  for each row when (new.enforces_sign_on) execute function tenant.keep_enforced_sign_on();
grant execute on function tenant.keep_enforced_sign_on() to tenant_rows;

-- When an organization's provider last said here who somebody is. No row: never, or they have signed out there since. What the
-- same issuer says for another organization does not count here.
create table identity.vouches (
  sign_on uuid not null,
  issuer text not null,
  subject text not null,
  user_id uuid not null references identity.users (id),
  vouched_at timestamptz not null,
  primary key (sign_on, issuer, subject),
  foreign key (issuer, subject) references identity.accounts (issuer, subject)
);
create index vouches_user on identity.vouches (user_id);
grant select, insert, update (vouched_at), delete on identity.vouches to identity_rows;

-- Whether the organization's provider stands behind somebody who comes with a passkey alone, which was made on its word: they
-- have signed in there within a day and not signed out since. Of an owner it is only that, so that a provider that is down
-- locks nobody out for good. Where the provider was taken away there is nobody left to ask.
create function identity.vouched_for(given_tenant uuid, given_user uuid, given_role text, given_now timestamptz) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return not exists (select from tenant.sign_on s where s.tenant_id = given_tenant)
      or exists (select from identity.vouches v join tenant.sign_on s on s.tenant_id = v.sign_on and s.issuer = v.issuer
                  where v.sign_on = given_tenant and v.user_id = given_user
                    and (v.vouched_at > given_now - interval '1 day' or given_role = 'owner'));
end;
$$;
grant execute on function identity.vouched_for(uuid, uuid, text, timestamptz) to identity_rows;
