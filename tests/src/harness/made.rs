//! What tests need to be there, made in the database as if people had.

use uuid::Uuid;

use super::{Place, World};

impl World {
    /// A live session of a person that no browser has, so that ending it ends nothing else.
    pub(crate) async fn new_session(&self, subject: &str) -> Uuid {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into identity.sessions
               (id, user_id, token_hash, provider, issuer, subject, auth_time, methods, device, network, new_device,
                last_device, last_network, created_at, rotated_at, last_seen_at, idle_expires_at, expires_at)
             select $1, user_id, sha256($1::text::bytea), 'dev', issuer, subject, $2, '{oidc}', '', '', false, '', '', $2, $2,
                    $2, $2 + interval '1 hour', $2 + interval '1 hour'
               from identity.accounts where subject = $3",
        )
        .bind(id)
        .bind(self.clock.now())
        .bind(subject)
        .execute(&mut self.database.owner().await)
        .await
        .unwrap();
        id
    }

    /// An invitation of somebody to a place, by one of its owners.
    pub(crate) async fn new_invitation(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        self.invite(id, place.organization, &format!("{}@example.org", id.simple()), "viewer").await;
        id
    }

    /// A domain that nobody has proved, and whose DNS would.
    pub(crate) async fn new_domain(&self, place: Place) -> Uuid {
        let (id, token) = (Uuid::now_v7(), "t".repeat(43));
        let name = format!("d{}.example.org", id.simple());
        self.dns.say(&format!("_holdfast.{name}"), &[&format!("holdfast-domain={token}")]);
        sqlx::query("insert into tenant.domains (tenant_id, id, name, token, created_at) values ($1, $2, $3, $4, $5)")
            .bind(place.organization)
            .bind(id)
            .bind(name)
            .bind(token)
            .bind(self.clock.now())
            .execute(&mut self.database.owner().await)
            .await
            .unwrap();
        id
    }

    /// A provider that an organization brings, which nobody can ask.
    pub(crate) async fn new_provider(&self, place: Place) {
        sqlx::query(
            "insert into tenant.identity_providers
               values ($1, 'https://id.example.org', 'holdfast', sha256('') || sha256(''), $2, gen_random_uuid())
                     on conflict do nothing",
        )
        .bind(place.organization)
        .bind(self.clock.now())
        .execute(&mut self.database.owner().await)
        .await
        .unwrap();
    }

    /// An invitation of a person of the seed to an organization of others.
    pub(crate) async fn new_invitation_to(&self, subject: &str) -> Uuid {
        let (id, organization) = (Uuid::now_v7(), Uuid::now_v7());
        let mut owner = self.database.owner().await;
        for sql in [
            "insert into tenant.organizations (tenant_id, name) values ($1, 'Umbrella')",
            "insert into tenant.memberships (tenant_id, user_id, role)
             select $1, user_id, 'owner' from identity.accounts where subject = 'carl'",
        ] {
            sqlx::query(sql).bind(organization).execute(&mut owner).await.unwrap();
        }
        self.invite(id, organization, &format!("{subject}@example.com"), "viewer").await;
        id
    }

    pub(crate) async fn invite(&self, id: Uuid, organization: Uuid, email: &str, role: &str) {
        let sql = "insert into tenant.invitations (tenant_id, id, email, role, invited_by, inviter_role, created_at, expires_at, notified)
                   select $2, $1, $3, $4, user_id, role, $5, $5 + interval '7 days', true
                     from tenant.memberships where tenant_id = $2 and memberships.role = 'owner' limit 1";
        let invite = sqlx::query(sql).bind(id).bind(organization).bind(email).bind(role).bind(self.clock.now());
        assert_eq!(invite.execute(&mut self.database.owner().await).await.unwrap().rows_affected(), 1);
    }

    /// A client of the API of a place, with a secret that nobody knows.
    pub(crate) async fn new_client(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into tenant.api_clients
               (tenant_id, id, name, name_key, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at)
             values ($1, $2, $2::text, sha256($2::text::bytea), 'editor', '{ListContacts}', false, false, sha256($2::text::bytea), $3, $2, $3)",
        )
        .bind(place.organization)
        .bind(id)
        .bind(self.clock.now())
        .execute(&mut self.database.owner().await)
        .await
        .unwrap();
        id
    }

    /// A role that the viewer of a place asks for; what they asked for before has ended.
    pub(crate) async fn new_elevation(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        let mut owner = self.database.owner().await;
        let end = "update tenant.elevations set ended_at = $2 where tenant_id = $1 and ended_at is null";
        sqlx::query(end).bind(place.organization).bind(self.clock.now()).execute(&mut owner).await.unwrap();
        let ask = "insert into tenant.elevations (tenant_id, id, user_id, session_id, own_role, role, minutes, reason, ticket, requested_at, expires_at)
                   select $1, $2, user_id, $2, role, 'editor', 15, 'A test of it', 'https://tickets.example/1', $3, $3 + interval '24 hours'
                     from tenant.memberships m where m.tenant_id = $1 and m.role = 'viewer'";
        let ask = sqlx::query(ask).bind(place.organization).bind(id).bind(self.clock.now());
        assert_eq!(ask.execute(&mut owner).await.unwrap().rows_affected(), 1);
        id
    }

    /// A mail of a place that was given up.
    pub(crate) async fn new_failed_job(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        let sql = "insert into jobs.queue (id, kind, tenant_id, owner, about, payloads, request_id, tries, waiting, failed_at, failure)
                   values ($1, 'mail', $2, $2, $3, array[jsonb_build_object('kind', 'test', 'to', $3, 'subject', 'Again',
                             'text', 'A line.', 'urgent', false)], $1, 3, false, now(), 'No server takes mail for it')";
        let job = sqlx::query(sql).bind(id).bind(place.organization).bind(format!("{id}@example.net"));
        job.execute(&mut self.database.owner().await).await.unwrap();
        id
    }

    /// Members of a place with these names.
    pub(crate) async fn new_members(&self, place: Place, names: &[&str]) {
        let sql = "with made as (
                     insert into identity.users (id, display_name, email, created_at)
                     select gen_random_uuid(), name, gen_random_uuid() || '@example.org', $3 from unnest($2::text[]) name
                     returning id)
                   insert into tenant.memberships (tenant_id, user_id, role) select $1, id, 'creator' from made";
        let new = sqlx::query(sql).bind(place.organization).bind(names).bind(self.clock.now());
        new.execute(&mut self.database.owner().await).await.unwrap();
    }

    /// A member of a place for whom its own provider speaks.
    pub(crate) async fn new_managed(&self, place: Place, role: &str) -> Uuid {
        let id = Uuid::now_v7();
        let mut owner = self.database.owner().await;
        let user = "insert into identity.users (id, display_name, email, email_verified, created_at, managed_by)
                    values ($1, 'Manfred Managed', $1 || '@acme.test', true, $2, $3)";
        let user = sqlx::query(user).bind(id).bind(self.clock.now()).bind(place.organization);
        user.execute(&mut owner).await.unwrap();
        let join = "insert into tenant.memberships (tenant_id, user_id, role) values ($1, $2, $3)";
        sqlx::query(join).bind(place.organization).bind(id).bind(role).execute(&mut owner).await.unwrap();
        id
    }

    /// What a new admin of a place asks for: to reset the factors of a new member.
    pub(crate) async fn new_approval(&self, place: Place) -> Uuid {
        let (id, admin) = (Uuid::now_v7(), self.new_managed(place, "admin").await);
        let member = self.new_managed(place, "creator").await;
        let ask = "insert into tenant.approvals
                     (tenant_id, id, kind, target, parameters, reason, requested_by, requester_role, requested_at, expires_at)
                   select $1::uuid, $2::uuid, 'reset_factors', $3, jsonb_build_object('member', $3, 'role', 'creator'), 'A test of it',
                          $5, 'admin', $4, $4 + interval '24 hours'";
        let ask = sqlx::query(ask).bind(place.organization).bind(id).bind(member).bind(self.clock.now()).bind(admin);
        assert_eq!(ask.execute(&mut self.database.owner().await).await.unwrap().rows_affected(), 1);
        id
    }

    /// Has the provider of a place speak for its viewer.
    pub(crate) async fn manage_viewer(&self, place: Place) {
        let manage = "update identity.users set managed_by = $1
                       where id in (select user_id from tenant.memberships where tenant_id = $1 and role = 'viewer')";
        sqlx::query(manage).bind(place.organization).execute(&mut self.database.owner().await).await.unwrap();
    }
}
