use audit::Event;
use serde_json::json;
use tenancy::{Identity as IdentityPlane, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Context, Error, name_key};

use crate::actor::actor;
use crate::id_token::ProviderIdentity;
use crate::{AccountNotification, Authn};

impl Authn {
    /// Finds or creates the person of an (issuer, subject) pair. It never looks them up by email address: a person who
    /// controls an address at one provider would take over accounts of another. Name and address follow the provider.
    pub(crate) async fn find_or_create_user(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        organization: Option<TenantId>,
        identity: &ProviderIdentity,
        context: &Context,
    ) -> Result<(Uuid, bool), Error> {
        let key = identity.name.as_deref().map(name_key);
        // If one person signs in twice at once for the first time, the second request waits here and finds the row of
        // the first one.
        sqlx::query!(
            "select pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))",
            identity.issuer,
            identity.subject
        )
        .execute(&mut **tx)
        .await?;
        // An organization's provider changes nothing about a person that another provider manages. A claim that could
        // not be fetched changes nothing either.
        let known = sqlx::query!(
            r#"with before as (
                 select u.id, u.verified_email, u.locked_at from identity.users u
                   join identity.accounts a on a.user_id = u.id
                  where a.issuer = $1 and a.subject = $2 for update of u),
               changed as (
                 update identity.users u
                    set display_name = coalesce($3, u.display_name), name_key = coalesce($7, u.name_key), email = coalesce($4, u.email),
                        email_verified = case when $4::text is null then u.email_verified else $5 end, managed_by = $6,
                        -- What was proved on the word of one organization is not proved where another provider speaks.
                        confirmed_email = case when u.email = coalesce($4, u.email) and u.managed_by is not distinct from $6
                                         then u.confirmed_email else '' end
                   from before where u.id = before.id and ($6::uuid is null or u.managed_by = $6)
                 returning u.id, u.verified_email)
               select before.id, (before.locked_at is not null) as "locked!",
                      case when changed.id is not null and before.verified_email is distinct from changed.verified_email
                        then before.verified_email end as told
                 from before left join changed on changed.id = before.id"#,
            identity.issuer,
            identity.subject,
            identity.name.as_deref(),
            identity.email.as_deref(),
            identity.email_verified,
            organization.map(TenantId::uuid) as Option<Uuid>,
            key.as_ref().map(|key| &key[..]),
        )
        .fetch_optional(&mut **tx)
        .await?;
        if let Some(user) = known {
            if let Some(address) = user.told {
                self.notify_address(tx, &address, &AccountNotification::AddressChanged, context).await?;
            }
            return Ok((user.id, user.locked));
        }
        Ok((self.create_user(tx, organization, identity, context).await?, false))
    }

    async fn create_user(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        organization: Option<TenantId>,
        identity: &ProviderIdentity,
        context: &Context,
    ) -> Result<Uuid, Error> {
        let key = identity.name.as_deref().map(name_key);
        let id = Uuid::now_v7();
        sqlx::query!(
            "with new as (
               insert into identity.users (id, display_name, name_key, email, email_verified, created_at, managed_by)
               values ($1, $2, $9, $3, $4, $5, $8) returning id)
             insert into identity.accounts (issuer, subject, user_id, created_at) select $6, $7, id, $5 from new",
            id,
            identity.name.as_deref().unwrap_or("Unnamed"),
            identity.email.as_deref().unwrap_or_default(),
            identity.email_verified,
            self.0.clock.now(),
            identity.issuer,
            identity.subject,
            organization.map(TenantId::uuid) as Option<Uuid>,
            key.as_ref().map(|key| &key[..]),
        )
        .execute(&mut **tx)
        .await?;
        let details = json!({ "issuer": identity.issuer });
        let event = Event { kind: "account.created", target: format!("User::{id}"), details };
        event.record(tx, &actor(context, Some(id), None)).await?;
        Ok(id)
    }
}
