create table tenant.contacts (
  tenant_id uuid not null,
  id uuid not null,
  workspace_id uuid not null,
  name text not null check (char_length(name) between 1 and 120 and tenant.is_plain(name)),
  email text not null default '' check (char_length(email) <= 254),
  phone text not null default '' check (char_length(phone) <= 40),
  company text not null default '' check (char_length(company) <= 120),
  notes text not null default '' check (char_length(notes) <= 4000),
  -- Restricted data: reading and writing these columns needs policies of its own.
  tax_id text not null default '' check (char_length(tax_id) <= 40),
  bank_account text not null default '' check (char_length(bank_account) <= 40),
  created_by uuid not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version bigint not null default 1,
  primary key (tenant_id, id),
  foreign key (tenant_id, workspace_id) references tenant.workspaces (tenant_id, id)
);
-- Reads the list in its order, page by page.
create index contacts_by_name on tenant.contacts (tenant_id, workspace_id, name collate "und-x-icu", id);
create unique index contacts_email_unique on tenant.contacts (tenant_id, workspace_id, lower(email)) where email <> '';
select tenant.protect('tenant.contacts');
create trigger check_author before insert or update on tenant.contacts
  for each row when (current_user = 'tenant_rows') execute function tenant.check_author('created_by');

-- The words that a search finds contacts by. They have a table of their own, because under row-level security PostgreSQL uses an index
-- only for leakproof operators. `=` and `<` of text are leakproof. `like`, `strpos` and the operators of arrays and documents are not.
create table tenant.contact_words (
  tenant_id uuid not null,
  contact_id uuid not null,
  nth smallint not null,
  workspace_id uuid not null,
  -- The name of the contact, so that results are in the order of the list.
  name text collate "und-x-icu" not null,
  word text collate tenant.alike not null,
  primary key (tenant_id, contact_id, nth),
  foreign key (tenant_id, contact_id) references tenant.contacts (tenant_id, id) on delete cascade
);
create index contact_words_find on tenant.contact_words (tenant_id, workspace_id, word) include (name, contact_id);
select tenant.protect('tenant.contact_words');

create function tenant.update_contact_words() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from tenant.contact_words where tenant_id = new.tenant_id and contact_id = new.id;
  insert into tenant.contact_words (tenant_id, contact_id, nth, workspace_id, name, word)
  select new.tenant_id, new.id, w.nth, new.workspace_id, new.name, w.word
    from unnest(tenant.words(new.name, new.email, new.company)) with ordinality as w(word, nth);
  return null;
end;
$$;
create trigger contact_words_on_insert after insert on tenant.contacts
  for each row execute function tenant.update_contact_words();
create trigger contact_words_on_update after update on tenant.contacts for each row
  when ((old.workspace_id, old.name, old.email, old.company) is distinct from (new.workspace_id, new.name, new.email, new.company))
  execute function tenant.update_contact_words();
grant execute on function tenant.update_contact_words() to tenant_rows;
