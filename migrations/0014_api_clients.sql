-- API clients. A client acts as the member who created it, with the member's current role, or as a service account with a role of its
-- own. The role of a service account is never privileged.
create table tenant.api_clients (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  name text not null check (char_length(name) between 1 and 80 and tenant.is_plain(name)),
  -- Like `tenant.workspaces.name_key`.
  name_key bytea not null check (octet_length(name_key) = 32),
  member uuid,
  role text check (role in ('creator', 'editor', 'viewer')),
  -- Names of actions. There are no wildcards.
  scopes text[] not null check (cardinality(scopes) between 1 and 40 and array_position(scopes, null) is null
                                and array_to_string(scopes, ' ') ~ '^[A-Z][A-Za-z]{2,60}( [A-Z][A-Za-z]{2,60})*$'),
  -- It must prove possession of a key with each token (DPoP, RFC 9449).
  dpop boolean not null,
  -- It signs its requests and gets no tokens. Its secret is then encrypted for this row, because verifying needs the secret itself.
  -- Otherwise the secret is a hash.
  signs boolean not null,
  secret bytea not null check (octet_length(secret) = 32 or signs and octet_length(secret) between 60 and 200),
  secret_created_at timestamptz not null,
  -- How many days a secret is valid.
  secret_days int not null default 90 check (secret_days between 1 and 90),
  -- Counts secrets. Tokens of an earlier one are no longer valid.
  secret_version int not null default 1,
  created_by uuid not null,
  created_at timestamptz not null,
  last_used_at timestamptz,
  primary key (tenant_id, id),
  constraint api_clients_name_unique unique (tenant_id, name_key),
  -- It is deleted when the member leaves.
  foreign key (tenant_id, member) references tenant.memberships (tenant_id, user_id) on delete cascade,
  check ((member is null) <> (role is null)),
  check (not (dpop and signs))
);
create unique index api_clients_id on tenant.api_clients (id);
create index api_clients_member on tenant.api_clients (tenant_id, member);
select tenant.protect('tenant.api_clients');
create trigger check_author before insert or update on tenant.api_clients
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('created_by', 'member');

create policy authentication on tenant.api_clients for select to identity_rows using (true);
create policy record_use on tenant.api_clients for update to identity_rows using (true);
grant select (tenant_id, id, name, member, role, scopes, dpop, signs, secret, secret_created_at, secret_version, secret_days, last_used_at),
  update (last_used_at) on tenant.api_clients to identity_rows;

-- All tokens that go back to one use of a secret. An access token names its family. Each refresh token in it replaces the last one.
create table identity.token_families (
  id uuid primary key,
  tenant_id uuid not null,
  client_id uuid not null,
  secret_version int not null,
  -- Thumbprint of the key that its tokens are bound to (RFC 7638).
  jkt text check (char_length(jkt) = 43),
  scopes text[] not null,
  -- How often its refresh token was replaced.
  rotations int not null default 0,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  foreign key (tenant_id, client_id) references tenant.api_clients (tenant_id, id) on delete cascade
);
create index token_families_client on identity.token_families (tenant_id, client_id);
create index token_families_expiry on identity.token_families (expires_at);

-- A refresh token works once. `previous_hash` is the token that it replaced.
create table identity.refresh_tokens (
  token_hash bytea primary key check (octet_length(token_hash) = 32),
  family_id uuid not null references identity.token_families (id) on delete cascade,
  previous_hash bytea,
  expires_at timestamptz not null,
  used_at timestamptz,
  -- It was used a second time, because the first response was lost. That is accepted once.
  repeated boolean not null default false
);
create index refresh_tokens_family on identity.refresh_tokens (family_id, previous_hash);

-- Revoked access tokens, kept until they would have expired.
create table identity.revoked_tokens (
  jti uuid primary key,
  expires_at timestamptz not null
);
create index revoked_tokens_expiry on identity.revoked_tokens (expires_at);

-- Replay protection: ids of DPoP proofs and nonces of signed requests, as hashes.
create table identity.used_nonces (
  key bytea primary key check (octet_length(key) = 32),
  expires_at timestamptz not null
);
create index used_nonces_expiry on identity.used_nonces (expires_at);

-- Keys that sign access tokens. A key is published before it signs, and until the last token that it signed has expired.
create table identity.signing_keys (
  id uuid primary key,
  public bytea not null check (octet_length(public) = 32),
  -- Encrypted for this row.
  private bytea not null check (octet_length(private) between 60 and 200),
  signs_from timestamptz not null,
  signs_until timestamptz not null,
  published_until timestamptz not null,
  check (signs_from < signs_until and signs_until < published_until)
);

grant select, insert, update (rotations, expires_at, revoked_at) on identity.token_families to identity_rows;
grant select, insert, update (used_at, repeated) on identity.refresh_tokens to identity_rows;
grant select, insert on identity.revoked_tokens to identity_rows;
grant select, insert on identity.used_nonces to identity_rows;
grant select, insert on identity.signing_keys to identity_rows;

-- Events of a client. Their `context` names the client. A service account has no `actor`.
create policy of_clients on audit.events for insert to identity_rows
  with check (kind in ('api_token.issued', 'api_client.token_reused', 'api_token.revoked', 'api_token.refused')
              and exists (select from tenant.api_clients c
                           where c.tenant_id = events.tenant_id and c.id = (events.context ->> 'client')::uuid));

-- Generates `identity.authenticate_client`: what a client is in the organization of the URL, or in its own organization if the URL
-- names none. It is composed like `identity.authenticate`, with one query and one value.
create function identity.build_authenticate_client() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $build$
declare
  refusals text;
begin
  select coalesce('case' || string_agg(format(' when %s then %L', r.of_client, r.reason), '' order by r.position) || ' end', 'null')
    into refusals from identity.refusals r;
  execute replace($function$
create or replace function identity.authenticate_client(
  given_tenant uuid, given_workspace uuid, given_client uuid, given_family uuid, given_jti uuid)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $authenticate$
declare
  found_tenant uuid;
  found_member uuid;
  access json;
begin
  select o.tenant_id, c.member, json_build_object(
           'session', json_build_object('client', c.id, 'tenant', c.tenant_id, 'user', c.member, 'name', c.name,
                                        'scopes', c.scopes, 'dpop', c.dpop),
           'membership', case when o.tenant_id is not null then
             json_build_object('tenant', o.tenant_id, 'organization', o.name, 'role', coalesce(m.role, c.role),
                               -- A client may act as a member who could not sign in here.
                               'unaccepted', <refusals>) end,
           'workspace', case when w.id is not null then json_build_object('id', w.id, 'name', w.name) end)
    into found_tenant, found_member, access
    from tenant.api_clients c
    left join tenant.memberships m on m.tenant_id = c.tenant_id and m.user_id = c.member
    left join tenant.organizations o on o.tenant_id = c.tenant_id and o.tenant_id = coalesce(given_tenant, c.tenant_id)
    left join tenant.workspaces w on w.tenant_id = o.tenant_id and w.id = given_workspace
   where c.id = given_client
     and (c.member is null or m.role is not null and exists (select from identity.users u where u.id = c.member and u.locked_at is null))
     and (given_family is null and c.signs
          or exists (select from identity.token_families f
                      where f.id = given_family and f.tenant_id = c.tenant_id and f.client_id = c.id
                        and f.secret_version = c.secret_version and f.revoked_at is null))
     and not exists (select from identity.revoked_tokens r where r.jti = given_jti);
  if found_tenant is not null then
    perform set_config('app.tenant_id', found_tenant::text, true), set_config('app.client_id', given_client::text, true),
            set_config('app.user_id', coalesce(found_member::text, ''), true);
  end if;
  return access;
end;
$authenticate$;
grant execute on function identity.authenticate_client(uuid, uuid, uuid, uuid, uuid) to identity_rows;
select identity.authenticate_client(null, null, null, null, null)$function$, '<refusals>', refusals);
  return null;
end;
$build$;
create trigger build_authenticate_client after insert on identity.refusals
  for each statement execute function identity.build_authenticate_client();
insert into identity.refusals (reason) select '' where false;

create index signing_keys_expiry on identity.signing_keys (published_until);
grant select (id, expires_at), delete on identity.token_families to janitor_rows;
grant select (jti, expires_at), delete on identity.revoked_tokens to janitor_rows;
grant select (key, expires_at), delete on identity.used_nonces to janitor_rows;
grant select (id, published_until), delete on identity.signing_keys to janitor_rows;

-- An operator can encrypt secrets again with another key.
grant select (id, private), update (private) on identity.signing_keys to operator_rows;
create policy operators on tenant.api_clients to operator_rows using (true) with check (true);
grant select (id, signs, secret), update (secret) on tenant.api_clients to operator_rows;
