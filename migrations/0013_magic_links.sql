-- Signing in with a link in an email, for members of organizations that allow it.
select tenant.add_setting('allows_magic_links');
select identity.add_refusal('link',
  of_session => $$ s.methods[1] = 'mail' and not o.settings @> '{"allows_magic_links": true}' $$);

-- A link that was sent. It is used with DELETE .. RETURNING, so it works once.
create table identity.magic_links (
  token_hash bytea primary key check (octet_length(token_hash) = 32),
  -- Identifies the browser that requested it.
  handle_hash bytea not null check (octet_length(handle_hash) = 32),
  -- Null if nobody with this address may sign in with a link. A row is inserted anyway, so that the response time reveals nothing.
  user_id uuid references identity.users (id),
  return_to text not null check (return_to like '/%' and char_length(return_to) <= 2048),
  expires_at timestamptz not null
);
create index magic_links_expiry on identity.magic_links (expires_at);
create index users_verified_email on identity.users (verified_email);
grant select, insert, delete on identity.magic_links to identity_rows;
grant select (token_hash, expires_at), delete on identity.magic_links to janitor_rows;
