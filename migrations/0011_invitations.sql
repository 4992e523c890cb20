-- An invitation to join an organization. It is for an email address: a person whose account has this verified address sees it and can
-- accept it. So neither the invitation nor the email about it has a secret.
create table tenant.invitations (
  tenant_id uuid not null references tenant.organizations (tenant_id),
  id uuid not null,
  -- In the form of `identity.users.verified_email`.
  email text not null check (email = lower(email collate "C") and char_length(email) between 3 and 254),
  role text not null check (role in ('owner', 'admin', 'billing_admin', 'finance', 'creator', 'editor', 'viewer')),
  -- The inviter and their current role. The role follows changes. The invitation is deleted when they leave.
  invited_by uuid not null,
  inviter_role text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- Whether an email was sent. False if too many were sent to the address.
  notified boolean not null,
  primary key (tenant_id, id),
  -- At most one for each address.
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

-- People can join only with the role they were invited to.
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

-- An operator who locks a person deletes the invitations that this person has sent.
create policy operators on tenant.invitations to operator_rows using (true);
grant select (invited_by), delete on tenant.invitations to operator_rows;

-- The navigation says how many are pending.
create policy authentication on tenant.invitations for select to identity_rows using (true);
grant select (tenant_id, expires_at) on tenant.invitations to identity_rows;
select identity.add_facts('invitations', about => 'waiting', needed => 'tenant.is_administrator(m.role)', facts => $$
  from tenant.invitations i where i.tenant_id = given_tenant and i.expires_at > given_now $$);
