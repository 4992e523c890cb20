use audit::{Actor, Event};
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Utc};
use serde_json::json;
use tenancy::{Account, OnConstraint, Read, RequestAccess, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result, SingleLine};

/// A passkey, as its owner sees it. Its public key stays in `authn`.
#[derive(Debug)]
pub(crate) struct Passkey {
    pub(super) id: Uuid,
    pub(super) owner: UserId,
    pub(super) name: String,
    /// Whether the passkey can sign in by itself. `None` if that is not known.
    pub(super) discoverable: Option<bool>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    pub(super) disabled_reason: Option<String>,
}

pub(super) type Name = SingleLine<1, 60>;

impl Resource for Passkey {
    type Plane = Account;
    type View = super::RenamePasskey;

    async fn load(tx: &mut Tx<Read, Account>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("passkey") else { return Ok(None) };
        Ok(sqlx::query_as!(
            Passkey,
            r#"select id, user_id as "owner: UserId", name, discoverable, created_at, last_used_at, disabled_reason
                 from identity.passkeys where id = $1"#,
            id,
        )
        .fetch_optional(&mut **tx)
        .await?)
    }

    fn entity(&self) -> Entity {
        Entity::new("Passkey", self.id).reference("owner", &Entity::new("User", self.owner))
    }
}

/// Returns all passkeys of the person. The newest is last. `authn` allows at most 20.
pub(super) async fn all(tx: &mut Tx<Read, Account>) -> Result<Vec<Passkey>> {
    Ok(sqlx::query_as!(
        Passkey,
        r#"select id, user_id as "owner: UserId", name, discoverable, created_at, last_used_at, disabled_reason
             from identity.passkeys order by id"#
    )
    .fetch_all(&mut **tx)
    .await?)
}

const PASSKEY_REMOVED_ERROR: Error =
    Error::Conflict("This passkey has already been removed. Nothing was changed.", None);
const LAST_PASSKEY_ERROR: Error =
    Error::Conflict("This is the only passkey you can use. Add another one first, then remove this one.", None);

pub(super) async fn rename(tx: &mut Tx<Write, Account>, passkey: &Passkey, name: &Name, by: &Actor) -> Result<()> {
    let renamed = sqlx::query!("update identity.passkeys set name = $2 where id = $1", passkey.id, &**name);
    if renamed.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(PASSKEY_REMOVED_ERROR);
    }
    let details = json!({ "from": passkey.name, "to": **name });
    Event { kind: "passkey.renamed", target: format!("Passkey::{}", passkey.id), details }.record(tx, by).await?;
    Ok(())
}

/// Removes the passkey, and ends the person's other sessions. Somebody who has the passkey may have begun one of them.
pub(super) async fn remove(
    tx: &mut Tx<Write, Account>,
    passkey: &Passkey,
    now: DateTime<Utc>,
    by: &Actor,
) -> Result<()> {
    // Sessions end first, so that a session that is adding a passkey at this moment does not succeed.
    let ended = sqlx::query_scalar!(
        "update identity.sessions set ended_at = $2, ended_reason = 'a passkey was removed'
          where id is distinct from $1 and ended_at is null and expires_at > $2 returning id",
        by.session,
        now,
    );
    let ended = ended.fetch_all(&mut **tx).await?;
    let removed = sqlx::query!("delete from identity.passkeys where id = $1", passkey.id)
        .execute(&mut **tx)
        .await
        .on_constraint("passkeys_one_required", || LAST_PASSKEY_ERROR)?;
    if removed.rows_affected() == 0 {
        return Err(PASSKEY_REMOVED_ERROR);
    }
    let details = json!({ "name": passkey.name, "sessions_ended": ended });
    Event { kind: "passkey.removed", target: format!("Passkey::{}", passkey.id), details }.record(tx, by).await?;
    Ok(())
}
