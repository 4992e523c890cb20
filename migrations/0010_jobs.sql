-- Background jobs. A job is inserted in the transaction that makes it necessary. Only the worker runs it. The worker deletes it in the
-- transaction of its effect.
create schema jobs;
grant usage on schema jobs to tenant_rows, account_rows, identity_rows, jobs_rows, janitor_rows;
grant usage on schema audit to jobs_rows;

create table jobs.queue (
  id uuid primary key,
  kind text not null check (char_length(kind) between 1 and 60),
  -- The organization that it is for. Null if it is about a person only.
  tenant_id uuid,
  -- The organization or the person. Owners take turns.
  owner uuid not null,
  -- Somebody is waiting for it. Urgent jobs run before all others.
  urgent boolean not null default false,
  -- At most one job with the same owner, kind and key waits. Later payloads are added to it.
  key text check (char_length(key) between 1 and 200),
  payloads jsonb[] not null check (cardinality(payloads) between 1 and 10 and pg_column_size(payloads) <= 1048576),
  -- The number of payloads after the first ten, which are not stored.
  omitted int not null default 0,
  -- What people see of it, such as the address of an email.
  about text not null check (char_length(about) <= 320),
  -- The request that caused it.
  request_id uuid not null,
  created_at timestamptz not null default now(),
  -- When it becomes useless, such as an email with a code.
  expires_at timestamptz,
  -- No worker takes it before this time. A worker that takes it sets this to the end of its lease.
  due_at timestamptz not null default now(),
  -- How often it was taken. A worker that took it at a lower count has lost its lease.
  tries int not null default 0,
  -- No worker has taken it, or a worker returned it without trying.
  waiting boolean not null default true,
  -- When somebody retried it after it had failed. After that, it is tried as if it were new.
  retried_at timestamptz,
  -- When it became a dead letter, and why. It stays until somebody retries it or the janitor deletes it.
  failed_at timestamptz,
  failure text check (char_length(failure) between 1 and 200),
  check (tenant_id is null or owner = tenant_id),
  check ((failed_at is null) = (failure is null)),
  check (failed_at is null or not waiting)
);
create unique index queue_key_unique on jobs.queue (owner, kind, key) where waiting and key is not null;
create index queue_turns on jobs.queue (kind, urgent, owner, due_at) where failed_at is null;
create index queue_failed on jobs.queue (tenant_id, failed_at desc) where failed_at is not null;
create index queue_dead on jobs.queue (failed_at) where failed_at is not null;
create index queue_expiry on jobs.queue (expires_at) where expires_at is not null;

-- The last period for which each recurring job was queued.
create table jobs.periods (
  kind text primary key check (char_length(kind) between 1 and 60),
  period timestamptz not null
);

-- Rate limits of email (GCRA), by recipient and by sender. Keys are hashes.
create table jobs.rate_limits (
  key bytea primary key check (octet_length(key) = 32),
  tat timestamptz not null
);
create index job_rate_limits_tat on jobs.rate_limits (tat);

-- Producers insert jobs. To add a payload to a waiting job, they must see it. An organization sees its own jobs. The plane that signs
-- people in sees only jobs with a key. Emails with a link or a code have none.
alter table jobs.queue enable row level security;
alter table jobs.queue force row level security;
create policy tenant_append on jobs.queue for insert to tenant_rows
  with check (tenant_id = (select current_setting('app.tenant_id')::uuid));
create policy tenant_see on jobs.queue for select to tenant_rows
  using (tenant_id = (select current_setting('app.tenant_id')::uuid)
         and (waiting and key is not null or failed_at is not null or retried_at is not null));
create policy tenant_add on jobs.queue for update to tenant_rows
  using (tenant_id = (select current_setting('app.tenant_id')::uuid) and waiting and key is not null)
  with check (tenant_id = (select current_setting('app.tenant_id')::uuid) and waiting and key is not null);
create policy own_append on jobs.queue for insert to account_rows
  with check (tenant_id is null and owner = (select current_setting('app.user_id')::uuid));
create policy own_see on jobs.queue for select to account_rows
  using (tenant_id is null and owner = (select current_setting('app.user_id')::uuid) and waiting and key is not null);
create policy own_add on jobs.queue for update to account_rows
  using (tenant_id is null and owner = (select current_setting('app.user_id')::uuid) and waiting and key is not null)
  with check (tenant_id is null and owner = (select current_setting('app.user_id')::uuid) and waiting and key is not null);
create policy identity_append on jobs.queue for insert to identity_rows with check (tenant_id is null);
create policy identity_see on jobs.queue for select to identity_rows using (tenant_id is null and waiting and key is not null);
create policy identity_add on jobs.queue for update to identity_rows
  using (tenant_id is null and waiting and key is not null) with check (tenant_id is null and waiting and key is not null);
create policy work on jobs.queue to jobs_rows using (true) with check (true);
grant insert (id, kind, tenant_id, owner, urgent, key, payloads, about, request_id, expires_at),
  select (kind, tenant_id, owner, key, payloads, omitted, waiting), update (payloads, omitted) on jobs.queue
  to tenant_rows, account_rows, identity_rows;
grant select, insert, delete, update (due_at, tries, waiting, failed_at, failure, payloads, omitted) on jobs.queue to jobs_rows;
grant select, insert, update on jobs.periods, jobs.rate_limits to jobs_rows;

-- An organization can retry its failed jobs.
grant select (id, about, tries, expires_at, failed_at, failure), update (due_at, retried_at, failed_at, failure) on jobs.queue
  to tenant_rows;
create policy tenant_try_again on jobs.queue for update to tenant_rows
  using (tenant_id = (select current_setting('app.tenant_id')::uuid) and failed_at is not null)
  with check (tenant_id = (select current_setting('app.tenant_id')::uuid) and failed_at is null);

-- The worker records undeliverable emails, and no other events.
create policy jobs_append on audit.events for insert to jobs_rows with check (kind = 'mail.undeliverable');
grant insert on audit.events to jobs_rows;

create policy janitor on jobs.queue to janitor_rows using (failed_at is not null or expires_at < now()) with check (false);
grant select (id, failed_at, expires_at), delete on jobs.queue to janitor_rows;
grant select (key, tat), delete on jobs.rate_limits to janitor_rows;

-- Commands of an operator queue emails to the person they affect.
grant usage on schema jobs to operator_rows;
create policy operators_append on jobs.queue for insert to operator_rows with check (tenant_id is null);
create policy operators_see on jobs.queue for select to operator_rows using (tenant_id is null and waiting and key is not null);
create policy operators_add on jobs.queue for update to operator_rows
  using (tenant_id is null and waiting and key is not null) with check (tenant_id is null and waiting and key is not null);
grant insert (id, kind, tenant_id, owner, urgent, key, payloads, about, request_id, expires_at),
  select (kind, tenant_id, owner, key, payloads, omitted, waiting), update (payloads, omitted) on jobs.queue to operator_rows;
