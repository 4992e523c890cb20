-- The keys of forms that created something, and the response to each. The transaction that creates something inserts the row. So a
-- second request with the same key waits for that transaction, and then gets its response. A request that fails leaves no row.
--
-- Keys belong to a person and not to an organization, because a form may create an organization.
create table identity.one_time_keys (
  user_id uuid not null default (current_setting('app.user_id')::uuid) references identity.users (id),
  key uuid not null,
  -- SHA-256 of the path and of the form without its key.
  request_hash bytea not null check (octet_length(request_hash) = 32),
  -- Where the response redirects to, and the message shown there. Never a secret.
  location text not null check (location like '/%' and char_length(location) <= 2048),
  message text not null,
  expires_at timestamptz not null default (now() + interval '24 hours'),
  primary key (user_id, key)
);
create index one_time_keys_expiry on identity.one_time_keys (expires_at);

alter table identity.one_time_keys enable row level security;
alter table identity.one_time_keys force row level security;
create policy own on identity.one_time_keys to tenant_rows
  using (user_id = (select current_setting('app.user_id')::uuid))
  with check (user_id = (select current_setting('app.user_id')::uuid));
grant select (user_id, key, request_hash, location, message), insert (key, request_hash, location, message)
  on identity.one_time_keys to tenant_rows;

create policy janitor on identity.one_time_keys to janitor_rows using (expires_at < now());
grant select (user_id, key, expires_at), delete on identity.one_time_keys to janitor_rows;
