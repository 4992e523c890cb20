-- An authenticator app (TOTP, RFC 6238), the second-best second factor. One of a person and bond.
create table identity.totp (
  user_id uuid not null references identity.users (id),
  -- 160 bits, sealed for this row.
  secret bytea not null check (octet_length(secret) between 56 and 200),
  created_at timestamptz not null,
  -- The session it was made in, which alone can confirm it.
  created_in uuid not null,
  -- Until one of its codes has come back it proves nothing, and makes room for another one.
  confirmed_at timestamptz,
  -- The 30 seconds, counted since 1970, of the last code that was taken: it is not taken again, nor one before it.
  last_step bigint not null default 0 check (last_step >= 0),
  last_used_at timestamptz,
  -- Its bond.
  sso_tenant_id uuid default nullif(current_setting('app.sso_tenant_id', true), '')::uuid,
  sso_tenant_key uuid generated always as (coalesce(sso_tenant_id, '00000000-0000-0000-0000-000000000000')) stored,
  primary key (user_id, sso_tenant_key),
  unique nulls not distinct (user_id, sso_tenant_id)
);
create trigger set_sso_tenant before insert on identity.totp for each row execute function identity.set_sso_tenant();

-- What somebody can prove in a session beside the provider who vouches for them: what is their own, and what has its bond.
create function identity.enrolled_factors(given_user uuid, given_bond uuid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return json_build_object(
    'passkey', exists (select from identity.passkeys p
                        where p.user_id = given_user and (p.sso_tenant_id is null or p.sso_tenant_id = given_bond)),
    'totp', exists (select from identity.totp t
                     where t.user_id = given_user and t.confirmed_at is not null
                       and (t.sso_tenant_id is null or t.sso_tenant_id = given_bond)));
end;
$$;
grant execute on function identity.enrolled_factors(uuid, uuid) to identity_rows;

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
