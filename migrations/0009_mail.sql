-- Mail that is to be sent. Whoever makes it necessary writes it, in the same transaction; only the sender reads it, and
-- deletes it once the mail server has it.
create schema mail;
grant usage on schema mail to tenant_rows, account_rows, identity_rows, mail_rows;
grant usage on schema audit to mail_rows;

create table mail.outbox (
  id uuid primary key,
  -- The organization it was written for; null where it is about a person alone.
  tenant_id uuid,
  kind text not null check (char_length(kind) between 1 and 80),
  recipient text not null check (char_length(recipient) between 3 and 320),
  subject text not null check (char_length(subject) between 1 and 200 and subject !~ '[[:cntrl:]]'),
  body text not null check (char_length(body) between 1 and 20000),
  -- The request that made it necessary.
  request_id uuid not null,
  created_at timestamptz not null default now(),
  tries int not null default 0,
  next_try_at timestamptz not null default now(),
  -- When it is worth nothing any more, such as a code.
  expires_at timestamptz
);
create index outbox_next on mail.outbox (next_try_at);

alter table mail.outbox enable row level security;
alter table mail.outbox force row level security;
create policy tenant_append on mail.outbox for insert to tenant_rows
  with check (tenant_id = (select current_setting('app.tenant_id')::uuid));
create policy own_append on mail.outbox for insert to account_rows with check (tenant_id is null);
create policy identity_append on mail.outbox for insert to identity_rows with check (tenant_id is null);
create policy send on mail.outbox to mail_rows using (true) with check (true);
grant insert (id, tenant_id, kind, recipient, subject, body, request_id, expires_at) on mail.outbox
  to tenant_rows, account_rows, identity_rows;
grant select, update (tries, next_try_at), delete on mail.outbox to mail_rows;

-- The sender says what it could not deliver, and nothing else.
create policy mail_append on audit.events for insert to mail_rows with check (kind = 'mail.undeliverable');
grant insert on audit.events to mail_rows;
