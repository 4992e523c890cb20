create table tenant.contacts (
  tenant_id uuid not null,
  id uuid not null,
  workspace_id uuid not null,
  name text not null check (char_length(name) between 1 and 120 and tenant.is_plain(name)),
  email text not null default '' check (char_length(email) <= 254),
  phone text not null default '' check (char_length(phone) <= 40),
  company text not null default '' check (char_length(company) <= 120),
  notes text not null default '' check (char_length(notes) <= 4000),
  -- Restricted: read and written only where a policy of its own allows it.
  tax_id text not null default '' check (char_length(tax_id) <= 40),
  bank_account text not null default '' check (char_length(bank_account) <= 40),
  created_by uuid not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version bigint not null default 1,
  primary key (tenant_id, id),
  foreign key (tenant_id, workspace_id) references tenant.workspaces (tenant_id, id)
);
-- The list in its order, one page at a time.
create index contacts_by_name on tenant.contacts (tenant_id, workspace_id, name, id);
create unique index contacts_email_unique on tenant.contacts (tenant_id, workspace_id, lower(email)) where email <> '';
select tenant.protect('tenant.contacts');
