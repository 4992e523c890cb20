-- What an operator does for people of the installation, with `holdfast lock` and the other commands. The login of the
-- application cannot become this role; who owns the database can.
grant usage on schema identity, tenant, audit, jobs to operator_rows;

create policy operators on identity.users to operator_rows using (true) with check (true);
grant select (id, display_name, email, verified_email, locked_at), update (locked_at) on identity.users to operator_rows;

-- The factors of a person, and their sessions with them.
create policy operators on identity.sessions to operator_rows using (true) with check (true);
grant select (id, user_id, expires_at, ended_at), update (ended_at, ended_reason) on identity.sessions to operator_rows;
create policy operators on identity.passkeys to operator_rows using (true) with check (true);
grant select (id, user_id, disabled_at), update (disabled_at, disabled_reason), delete on identity.passkeys to operator_rows;
create policy operators on identity.totp to operator_rows using (true) with check (true);
grant select (user_id, secret), update (secret), delete on identity.totp to operator_rows;
create policy operators on identity.recovery_codes to operator_rows using (true);
grant select (user_id), delete on identity.recovery_codes to operator_rows;
create policy operators on identity.recoveries to operator_rows using (true);
grant select (user_id), delete on identity.recoveries to operator_rows;

-- What a locked person has invited others to.
create policy operators on tenant.invitations to operator_rows using (true);
grant select (invited_by), delete on tenant.invitations to operator_rows;

-- What is sealed, to seal it under another key.
grant select (id, private), update (private) on identity.signing_keys to operator_rows;
create policy operators on tenant.api_clients to operator_rows using (true) with check (true);
grant select (id, signs, secret), update (secret) on tenant.api_clients to operator_rows;
create policy operators on tenant.identity_providers to operator_rows using (true) with check (true);
grant select (tenant_id, client_secret), update (client_secret) on tenant.identity_providers to operator_rows;

-- Events that belong to no organization. Those of organizations are theirs to read.
create policy operators_read on audit.events for select to operator_rows using (tenant_id is null);
create policy operators_append on audit.events for insert to operator_rows with check (tenant_id is null and actor is null);
grant select, insert on audit.events to operator_rows;

-- Mail to the person concerned.
create policy operators_append on jobs.queue for insert to operator_rows with check (tenant_id is null);
create policy operators_see on jobs.queue for select to operator_rows using (tenant_id is null and waiting and key is not null);
create policy operators_add on jobs.queue for update to operator_rows
  using (tenant_id is null and waiting and key is not null) with check (tenant_id is null and waiting and key is not null);
grant insert (id, kind, tenant_id, owner, urgent, key, payloads, about, request_id, expires_at),
  select (kind, tenant_id, owner, key, payloads, omitted, waiting), update (payloads, omitted) on jobs.queue to operator_rows;
