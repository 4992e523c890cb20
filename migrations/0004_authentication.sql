-- The look-up at the start of every request: who sends it, and where it goes. The base part reads the session behind a cookie, its
-- person, and the membership and workspace that the URL selects. Features add facts, and reasons why an organization refuses a
-- session. `identity.authenticate` is generated from all of them, as one query that returns one value. So a request costs one round
-- trip before its own query. Without the migration of a feature, the look-up works without that feature.

-- Facts of features. `identity.add_facts` adds them.
create table identity.fact_sources (
  feature text not null check (feature ~ '^[a-z][a-z_]*$'),
  -- Facts about the session are the same in every organization. Facts about the member hold in the organization of the URL.
  -- What waits for the member there is a number for display. Nothing is decided by it.
  about text not null check (about in ('session', 'member', 'waiting')),
  needed text not null,
  facts text not null,
  position int not null,
  primary key (about, feature)
);

-- Reasons why an organization refuses a session or an API client. `identity.add_refusal` adds them. The first one counts.
create table identity.refusals (
  reason text primary key check (reason ~ '^[a-z][a-z_]*$'),
  of_session text not null,
  of_client text not null,
  position int not null
);

-- Generates `identity.authenticate`. The expressions that it inserts come from our own migrations only.
--
-- It is one query with one value, because every request pays for it: three queries and a row of 21 columns took three times as long.
-- Facts that few requests need are in functions of their own, which are called only if the row says so. As joins, they took a quarter
-- of the time, and with more than 16 tables and indexes a transaction takes its locks in memory that all connections share. Facts that
-- are needed in the same case share a function.
create function identity.build_authenticate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $build$
declare
  facts jsonb := '{"session": "''{}''::jsonb", "member": "''{}''::jsonb", "waiting": "''{}''::jsonb"}';
  refusals text;
  part record;
  call text;
begin
  for part in
    select f.about, f.needed, row_number() over (partition by f.about order by min(f.position)) as number,
           case f.about when 'waiting' then
             format(E'if %s then\n          return jsonb_build_object(%s);\n        end if;\n        return ''{}'';',
                    string_agg(format(E'exists (select %s)', f.facts), E'\n          or ' order by f.position),
                    string_agg(format(E'\n            %L, (select count(*) from (select %s limit 100) few)', f.feature, f.facts), ',' order by f.position))
           else
             format('return jsonb_build_object(%s);', string_agg(format(E'\n          %L, %s', f.feature, f.facts), ',' order by f.position))
           end as body
      from identity.fact_sources f group by f.about, f.needed order by min(f.position)
  loop
    execute format($function$
      create or replace function identity.%s_facts_%s(
        given_session uuid, given_user uuid, given_sso_tenant uuid, given_now timestamptz, given_tenant uuid, given_role text)
      returns jsonb
      language plpgsql stable
      set search_path = pg_catalog, pg_temp
      as $facts$
      begin
        %s
      end;
      $facts$;
      grant execute on function identity.%1$s_facts_%2$s(uuid, uuid, uuid, timestamptz, uuid, text) to identity_rows;
      select identity.%1$s_facts_%2$s(null, null, null, null, null, null)$function$, part.about, part.number, part.body);
    call := format('coalesce(case when %s then identity.%s_facts_%s(s.id, u.id, s.sso_tenant_id, given_now, %s) end, ''{}'')',
                   part.needed, part.about, part.number,
                   case part.about when 'session' then 'null, null' else 'm.tenant_id, m.role' end);
    facts := jsonb_set(facts, array[part.about],
                       to_jsonb(case when part.number = 1 then call else facts ->> part.about || ' || ' || call end));
  end loop;
  select coalesce(string_agg(format(E'\n                 when %s then %L', r.of_session, r.reason), '' order by r.position), '')
    into refusals from identity.refusals r;
  execute replace(replace(replace(replace($function$
create or replace function identity.authenticate(
  given_hash bytea, given_now timestamptz, given_tenant uuid, given_workspace uuid)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $authenticate$
declare
  found_user uuid;
  found_sso_tenant uuid;
  found_tenant uuid;
  access json;
begin
  select u.id, s.sso_tenant_id, m.tenant_id, json_build_object(
           'session', json_build_object(
             'session', s.id, 'user', u.id, 'name', u.display_name, 'email', u.email,
             'email_verified', u.verified_email is not null, 'issuer', s.issuer, 'subject', s.subject, 'auth_time', s.auth_time,
             'methods', s.methods, 'device', s.device, 'network', s.network, 'created_at', s.created_at,
             'rotated_at', s.rotated_at, 'last_seen_at', s.last_seen_at, 'expires_at', s.expires_at,
             'passkey_at', s.passkey_at, 'totp_at', s.totp_at, 'recovered_at', s.recovered_at,
             'drift', case when s.new_device or s.location_changed_at is not null then
               json_build_object('new_device', s.new_device, 'seen_device', s.last_device,
                                 'seen_network', s.last_network, 'changes', s.location_changes, 'returns', s.location_returns,
                                 'changed_at', s.location_changed_at) end,
             'sso_tenant', s.sso_tenant_id, 'by_previous', s.token_hash <> given_hash,
             'facts', <session facts>),
           'membership', case when m.role is not null then
             json_build_object('tenant', m.tenant_id, 'organization', o.name, 'role', m.role,
                               'unaccepted', case when s.started_at <= m.signed_out_at then 'signed_out'
                                                  when s.sso_tenant_id <> m.tenant_id then 'elsewhere'<refusals> end,
                               'facts', <member facts>) end,
           'workspace', case when w.id is not null then json_build_object('id', w.id, 'name', w.name) end,
           'waiting', <waiting>)
    into found_user, found_sso_tenant, found_tenant, access
    from identity.sessions s
    join identity.users u on u.id = s.user_id
    left join tenant.organizations o on o.tenant_id = given_tenant
    left join tenant.memberships m on m.tenant_id = o.tenant_id and m.user_id = s.user_id
    left join tenant.workspaces w on w.tenant_id = m.tenant_id and w.id = given_workspace
   where (s.token_hash = given_hash or s.previous_hash = given_hash and s.previous_until > given_now)
     and s.ended_at is null and s.idle_expires_at > given_now and s.expires_at > given_now
     and u.locked_at is null;
  -- The transaction is bound to the tenant only if there is a membership. Without one, every query on tenant rows fails.
  if found then
    perform set_config('app.user_id', found_user::text, true),
            set_config('app.sso_tenant_id', coalesce(found_sso_tenant::text, ''), true);
    if found_tenant is not null then
      perform set_config('app.tenant_id', found_tenant::text, true);
    end if;
  end if;
  return access;
end;
$authenticate$;
grant execute on function identity.authenticate(bytea, timestamptz, uuid, uuid) to identity_rows;
select identity.authenticate('', now(), null, null)$function$,
    '<session facts>', facts ->> 'session'), '<member facts>', facts ->> 'member'), '<waiting>', facts ->> 'waiting'),
    '<refusals>', refusals);
  return null;
end;
$build$;
create trigger build_authenticate after insert on identity.fact_sources
  for each statement execute function identity.build_authenticate();
create trigger build_authenticate after insert on identity.refusals
  for each statement execute function identity.build_authenticate();

-- Adds facts of a feature to the look-up, as SQL expressions. In Rust, each feature reads its own facts from the answer.
--
-- `needed` is a cheap condition that says when they are read. It can use the rows `s` (the session) and `u` (its person), and for
-- facts about the member also `o` (the organization) and `m` (the membership). If they are not read, the request has no such facts.
-- That must mean fewer rights, never more.
--
-- `facts` is their value, a jsonb expression. It may read tables. It can use `given_session`, `given_user`, `given_sso_tenant` and
-- `given_now`, and for facts about the member also `given_tenant` and `given_role`. If its value is an object with the key `audit`,
-- the value of that key is recorded with every event and decision of the request.
--
-- Of what waits, the rows are counted, up to 100. `facts` is the clause that selects them, from `from` on. Mostly nothing waits, and to
-- see that takes half as long as three counts.
create function identity.add_facts(feature text, about text, needed text, facts text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into identity.fact_sources (feature, about, needed, facts, position)
  select $1, $2, btrim($3, E' \n'), btrim($4, E' \n'), count(*) from identity.fact_sources;
exception when undefined_table or undefined_column or undefined_function or invalid_schema_name then
  raise exception 'the facts that % adds to the look-up of a request cannot be read yet: %', feature, sqlerrm
    using hint = 'They must read only what their own migration or an earlier one has made. Call identity.add_facts after that.';
end;
$$;

-- Adds a reason why an organization refuses a session or an API client, as conditions. `of_session` can use `s`, `u`, `o` and `m` as
-- above, and `given_now`. `of_client` can use `c` (the client) and `o`.
create function identity.add_refusal(reason text, of_session text default 'false', of_client text default 'false') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into identity.refusals (reason, of_session, of_client, position)
  select $1, btrim($2, E' \n'), btrim($3, E' \n'), count(*) from identity.refusals;
exception when undefined_table or undefined_column or undefined_function or invalid_schema_name then
  raise exception 'the refusal % of the look-up of a request cannot be read yet: %', reason, sqlerrm
    using hint = 'It must read only what its own migration or an earlier one has made. Call identity.add_refusal after that.';
end;
$$;

-- Generates the look-up of the base part: a statement trigger also runs if no row is inserted.
insert into identity.refusals (reason) select '' where false;
