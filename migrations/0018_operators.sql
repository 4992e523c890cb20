-- Rights of an operator, who uses `holdfast lock` and the other commands. The login of the application cannot become this role. The
-- owner of the database can.
grant usage on schema identity, tenant, audit to operator_rows;

create policy operators on identity.users to operator_rows using (true) with check (true);
grant select (id, display_name, email, verified_email, locked_at), update (locked_at) on identity.users to operator_rows;

-- Rights on sessions. The migrations that create factors, invitations, encrypted secrets and the queue grant the rights on them.
create policy operators on identity.sessions to operator_rows using (true) with check (true);
grant select (id, user_id, expires_at, ended_at), update (ended_at, ended_reason) on identity.sessions to operator_rows;

-- Rights on events that belong to no organization. Only an organization reads its own events.
create policy operators_read on audit.events for select to operator_rows using (tenant_id is null);
create policy operators_append on audit.events for insert to operator_rows with check (tenant_id is null and actor is null);
grant select, insert on audit.events to operator_rows;
