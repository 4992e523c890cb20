-- An invitation to join an organization. It is for an address: people who are signed in with an account that has this verified
-- address see it and can accept it. So it has no secret, and neither has the mail about it.
create table tenant.invitations (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  -- As `identity.users.verified_email`.
  email text not null check (email = lower(email collate "C") and char_length(email) between 3 and 254),
  role text not null check (role in ('owner', 'admin', 'billing_admin', 'finance', 'creator', 'editor', 'viewer')),
  -- Who invited, and their role now: it follows a change of the role, and is deleted when they leave.
  invited_by uuid not null,
  inviter_role text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- An email was sent. False where the address has had too many.
  notified boolean not null,
  primary key (tenant_id, id),
  -- One for each address.
  constraint invitations_email_unique unique (tenant_id, email),
  constraint invitations_inviter foreign key (tenant_id, invited_by, inviter_role) references tenant.memberships (tenant_id, user_id, role)
    on update cascade on delete cascade
);
create index invitations_by_inviter on tenant.invitations (tenant_id, invited_by, inviter_role);
create index invitations_email on tenant.invitations (email);
select tenant.protect('tenant.invitations');
create trigger check_author before insert or update on tenant.invitations
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('invited_by');

-- A person who is invited sees the invitation and the organization's name. An account that an organization manages sees
-- invitations to that organization only.
create policy invited on tenant.invitations for select to account_rows
  using (exists (select from identity.users u
                  where u.id = (select current_setting('app.user_id')::uuid) and u.verified_email = invitations.email
                    and (u.managed_by is null or u.managed_by = invitations.tenant_id))
         and (select current_setting('app.sso_tenant_id')) in ('', tenant_id::text));
create policy accept_invitation on tenant.invitations for delete to account_rows
  using (exists (select from identity.users u
                  where u.id = (select current_setting('app.user_id')::uuid) and u.verified_email = invitations.email
                    and (u.managed_by is null or u.managed_by = invitations.tenant_id))
         and (select current_setting('app.sso_tenant_id')) in ('', tenant_id::text));
create policy invited on tenant.organizations for select to account_rows
  using (exists (select from tenant.invitations i where i.tenant_id = organizations.tenant_id));
grant select, delete on tenant.invitations to account_rows;

-- People join only as they were invited.
create policy as_invited on tenant.memberships for insert to account_rows
  with check (user_id = (select current_setting('app.user_id')::uuid)
              and (select current_setting('app.sso_tenant_id')) in ('', tenant_id::text)
              and exists (select from tenant.invitations i
                           where i.tenant_id = memberships.tenant_id and i.role = memberships.role));
grant insert (tenant_id, user_id, role) on tenant.memberships to account_rows;

create policy joined on audit.events for insert to account_rows
  with check (kind = 'member.joined' and actor = (select current_setting('app.user_id')::uuid)
              and exists (select from tenant.memberships m
                           where m.tenant_id = events.tenant_id and m.user_id = events.actor and m.created_at = now()));

create index invitations_expiry on tenant.invitations (expires_at);
create policy janitor on tenant.invitations to janitor_rows using (expires_at < now()) with check (false);
grant select (tenant_id, id, expires_at), delete on tenant.invitations to janitor_rows;

-- An operator deletes what a locked person has invited others to.
create policy operators on tenant.invitations to operator_rows using (true);
grant select (invited_by), delete on tenant.invitations to operator_rows;
