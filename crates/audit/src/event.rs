use serde_json::{Map, Value};
use tenancy::{Plane, TenantId, Tx, UserId, Write};
use uuid::Uuid;

/// Who did something, in which session and request, and from which network.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The person, if one is known.
    pub user: Option<UserId>,
    /// Their name at that time. The event stores it. Empty if it is not known.
    pub name: String,
    /// Their session, if there is one.
    pub session: Option<Uuid>,
    /// The API client that was used.
    pub client: Option<Uuid>,
    /// The name of that client at that time. The event stores it.
    pub client_name: String,
    /// How they acted, as features report it.
    pub context: Map<String, Value>,
    /// The request, as in the logs and on error pages.
    pub request: Uuid,
    /// The network that the request came from, never the full address.
    pub network: String,
}

impl Actor {
    /// No known person: the application itself, or a request without authentication.
    #[must_use]
    pub fn unknown(request: Uuid, network: String) -> Self {
        Self {
            user: None,
            name: String::new(),
            session: None,
            client: None,
            client_name: String::new(),
            context: Map::new(),
            request,
            network,
        }
    }

    /// The principal of the policies: the person, or the service account.
    #[must_use]
    pub fn member(&self) -> Option<Uuid> {
        self.user.map(UserId::uuid).or(self.client)
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened, as `area.what_was_done`, for example `member.role_changed`.
    pub kind: &'static str,
    /// What it happened to, as `Type::id`.
    pub target: String,
    /// What else a reader needs, as an object. It never has secrets or the content of restricted fields.
    pub details: Value,
}

impl Event {
    /// Records the event in the transaction of its change. The event belongs to the organization that the transaction is bound
    /// to, or to none, such as a sign-in. The database refuses an event of another organization.
    ///
    /// # Errors
    ///
    /// The database refuses the statement.
    pub async fn record<P: Plane>(&self, tx: &mut Tx<Write, P>, by: &Actor) -> Result<(), sqlx::Error> {
        self.record_in(tx, None, by).await
    }

    /// The same for a transaction that is bound to no organization. The event belongs to the given organization. The database
    /// allows this for a few kinds of events.
    ///
    /// # Errors
    ///
    /// The database refuses the statement.
    pub async fn record_in<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        tenant: Option<TenantId>,
        by: &Actor,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into audit.events (id, tenant_id, actor, kind, target, request_id, session_id, network, details, context,
                                       actor_name, client_name)
             values ($1, coalesce($9, nullif(current_setting('app.tenant_id', true), '')::uuid), $2, $3, $4, $5, $6, $7, $8, $10,
                     $11, $12)",
            Uuid::now_v7(),
            by.user.map(UserId::uuid),
            self.kind,
            self.target,
            by.request,
            by.session,
            by.network,
            self.details,
            tenant.map(TenantId::uuid),
            context(by.client, &by.context),
            by.name,
            by.client_name,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Records many events, each with its actor. One statement records up to a thousand.
    ///
    /// # Errors
    ///
    /// The database refuses a statement.
    pub async fn record_all<P: Plane>(tx: &mut Tx<Write, P>, events: &[(Self, Actor)]) -> Result<(), sqlx::Error> {
        for events in events.chunks(1000) {
            let mut rows = Vec::with_capacity(events.len());
            for (event, by) in events {
                rows.push(serde_json::json!({
                    "id": Uuid::now_v7(), "actor": by.user, "kind": event.kind, "target": event.target, "request_id": by.request,
                    "session_id": by.session, "network": by.network, "details": event.details,
                    "context": context(by.client, &by.context), "actor_name": by.name, "client_name": by.client_name,
                }));
            }
            sqlx::query!(
                "insert into audit.events (id, tenant_id, actor, kind, target, request_id, session_id, network, details, context,
                                           actor_name, client_name)
                 select r.id, nullif(current_setting('app.tenant_id', true), '')::uuid, r.actor, r.kind, r.target, r.request_id,
                        r.session_id, r.network, r.details, r.context, r.actor_name, r.client_name
                   from jsonb_to_recordset($1) as r(id uuid, actor uuid, kind text, target text, request_id uuid,
                                                    session_id uuid, network text, details jsonb, context jsonb,
                                                    actor_name text, client_name text)",
                Value::Array(rows),
            )
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

/// How an actor acted, as both logs store it: the API client, and what features add.
pub(crate) fn context(client: Option<Uuid>, added: &Map<String, Value>) -> Value {
    let mut context = added.clone();
    context.extend(client.map(|client| ("client".to_owned(), Value::String(client.to_string()))));
    Value::Object(context)
}
