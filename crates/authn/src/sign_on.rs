use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use encryption::{Column, EncryptionContext};
use fair::Places;
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::{Identity as IdentityPlane, OnConstraint as _, Tenant, TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Context, Email, Error};

use crate::id_token::Identity;
use crate::metadata::Unusable;
use crate::provider::Provider;
use crate::provider_settings::Preset;
use crate::{Authn, ConfigError, ProofOfWorkSolution, ProviderConfig, ProviderKey};

/// Most providers of organizations that are remembered with what they say about themselves, at most 64 KiB of text twice.
/// For one more another one is forgotten.
const REMEMBERED: usize = 500;
const REQUIRED: Error = Error::Conflict(
    "Your provider is required, so it is not replaced by another one. Stop requiring it first, which takes a second person.",
    None,
);

/// Most requests that wait for providers of organizations at a time, whoever's they are. Those of the configuration have
/// places of their own.
const WAITING: usize = 32;
/// How long one waits for a place: many that hold one each leave one to somebody who has none within this time.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Providers of organizations, each as it was when its row was last changed.
#[derive(Debug)]
pub(crate) struct Organizations {
    known: Mutex<Known>,
    places: Places<UserId>,
}

impl Default for Organizations {
    fn default() -> Self {
        Self { known: Mutex::default(), places: Places::new(WAITING, LONGEST_WAIT) }
    }
}

type Known = HashMap<TenantId, (DateTime<Utc>, Arc<Provider>)>;

impl Organizations {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An identity provider that an organization wants to bring.
#[derive(Debug)]
pub struct SignOn {
    /// Issuer identifier, exactly as the provider states it.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there.
    pub client_secret: SecretString,
    /// What it is known to need.
    pub preset: Option<Preset>,
}

/// A domain that an organization has proved, to be looked up again.
#[derive(Debug)]
pub struct ProvedDomain {
    /// Whose it is.
    pub organization: TenantId,
    /// Its row.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What its record says.
    pub token: String,
}

/// Whose provider somebody is about to go to.
#[derive(Debug)]
pub struct SignOnNotice {
    /// What the organization calls itself.
    pub organization: String,
    /// The domains it has proved to be its own.
    pub domains: Vec<String>,
    /// Where its provider is.
    pub host: String,
}

/// Why an organization's provider is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignOnProblem {
    /// The issuer is no https address of a host in the Internet.
    Issuer,
    /// It does not answer as a provider does. The reason is in the log.
    Unusable,
    /// It answers, and lacks this.
    Lacks(String),
}

impl Authn {
    /// Notes that an organization's provider has just said who somebody is.
    pub(crate) async fn note_vouch(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        tenant: TenantId,
        user: Uuid,
        identity: &Identity,
    ) -> Result<(), Error> {
        sqlx::query!(
            "insert into identity.vouches (sign_on, issuer, subject, user_id, vouched_at) values ($1, $2, $3, $4, $5)
             on conflict (sign_on, issuer, subject) do update set vouched_at = excluded.vouched_at",
            tenant.uuid(),
            identity.issuer,
            identity.subject,
            user,
            self.0.clock.now(),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// The provider behind a key of an address: of the configuration, or an organization's own with a domain it has proved.
    pub(crate) async fn provider(&self, key: &ProviderKey) -> Result<Arc<Provider>, Error> {
        let Some(tenant) = key.organization() else {
            return self.0.providers.get(&**key).map(Arc::clone).ok_or(Error::NotFound);
        };
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let row = sqlx::query!(
            r#"select issuer, client_id, client_secret, preset, changed_at, connected_by as "connected_by: UserId" from tenant.sign_on s
              where tenant_id = $1
                and exists (select from tenant.domains d where d.tenant_id = $1 and d.proved_at is not null)"#,
            tenant.uuid(),
        );
        let row = row.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound)?;
        drop(tx);
        if let Some((changed_at, provider)) = self.0.organizations.lock().get(&tenant)
            && *changed_at == row.changed_at
        {
            return Ok(Arc::clone(provider));
        }
        let secret = self.0.keys.decrypt(encryption_context(tenant), &row.client_secret)?;
        let secret = SecretString::from(String::from_utf8(secret.to_vec())?);
        let preset = row.preset.as_deref().and_then(Preset::named);
        let sign_on = SignOn { issuer: row.issuer, client_id: row.client_id, client_secret: secret, preset };
        let provider = Arc::new(self.provider_of(tenant, &sign_on, row.connected_by)?);
        let mut known = self.0.organizations.lock();
        if known.len() >= REMEMBERED
            && let Some(any) = known.keys().next().copied()
        {
            known.remove(&any);
        }
        known.insert(tenant, (row.changed_at, Arc::clone(&provider)));
        Ok(provider)
    }

    fn provider_of(&self, tenant: TenantId, sign_on: &SignOn, by: UserId) -> Result<Provider, ConfigError> {
        let SignOn { issuer, client_id, client_secret, preset } = sign_on;
        let config = ProviderConfig::of_organization(issuer, client_id, client_secret, *preset);
        let share = (self.0.organizations.places.clone(), by);
        let redirect = self.sign_on_redirect(tenant);
        Provider::of_organization(tenant, share, config, redirect, self.0.production, self.0.http.clone())
    }

    /// Asks a provider what an organization says of it, before it is kept. The question waits in the share of who asks.
    pub async fn try_sign_on(
        &self,
        tenant: TenantId,
        sign_on: &SignOn,
        by: UserId,
    ) -> Result<Result<(), SignOnProblem>, Error> {
        let Ok(provider) = self.provider_of(tenant, sign_on, by) else { return Ok(Err(SignOnProblem::Issuer)) };
        Ok(match provider.metadata(&self.0.clock).await {
            Ok(_) => Ok(()),
            Err(unusable) => {
                let reason = web::visible(&unusable.to_string(), 300);
                tracing::warn!(%tenant, reason, "an organization's provider is not taken");
                Err(match unusable {
                    Unusable::NotNow(_) => SignOnProblem::Unusable,
                    Unusable::Unsupported(lacks) => SignOnProblem::Lacks(web::visible(&lacks, 300)),
                })
            }
        })
    }

    /// What somebody should know before they go to the provider behind a key, where an organization brings it. Anybody can
    /// make an organization, and lead others to its provider.
    pub async fn sign_on_notice(&self, key: &ProviderKey) -> Result<Option<SignOnNotice>, Error> {
        let Some(tenant) = key.organization() else { return Ok(None) };
        let provider = self.provider(key).await?;
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let row = sqlx::query!(
            r#"select o.name, array(select d.name from tenant.domains d
                                     where d.tenant_id = $1 and d.proved_at is not null order by d.name) as "domains!"
                 from tenant.organizations o where o.tenant_id = $1"#,
            tenant.uuid(),
        );
        let row = row.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound)?;
        Ok(Some(SignOnNotice { organization: row.name, domains: row.domains, host: provider.host() }))
    }

    /// The redirect address that an organization registers at its provider.
    #[must_use]
    pub fn sign_on_redirect(&self, tenant: TenantId) -> String {
        self.url(&self.0.addresses.callback_of(&ProviderKey::of_organization(tenant)))
    }

    /// Whether a sign-in that began at a time was begun with the provider that the organization still brings, for a domain
    /// it still has. From here to the end of the transaction that does not change: whoever takes the provider away waits,
    /// and finds the session.
    pub(crate) async fn still_brings(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        tenant: TenantId,
        issuer: &str,
        began: DateTime<Utc>,
    ) -> Result<bool, Error> {
        sqlx::query!("select pg_advisory_xact_lock_shared(hashtextextended($1::uuid::text, 2))", tenant.uuid())
            .execute(&mut **tx)
            .await?;
        let brings = sqlx::query_scalar!(
            r#"select exists (select from tenant.sign_on where tenant_id = $1 and issuer = $2 and changed_at <= $3)
                      and exists (select from tenant.domains where tenant_id = $1 and proved_at is not null) as "brings!""#,
            tenant.uuid(),
            issuer,
            began,
        );
        Ok(brings.fetch_one(&mut **tx).await?)
    }

    /// Keeps it, its secret sealed, and ends the sessions that began with the one before.
    pub async fn keep_sign_on(
        &self,
        tx: &mut Tx<Write, Tenant>,
        tenant: TenantId,
        sign_on: &SignOn,
        by: UserId,
    ) -> Result<(), Error> {
        let secret =
            self.0.keys.encrypt(encryption_context(tenant), sign_on.client_secret.expose_secret().as_bytes())?;
        self.end_sign_on_sessions(tx, "the provider was changed").await?;
        sqlx::query!(
            "insert into tenant.sign_on (tenant_id, issuer, client_id, client_secret, changed_at, preset, connected_by)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (tenant_id) do update
               set issuer = $2, client_id = $3, client_secret = $4, changed_at = $5, preset = $6, connected_by = $7",
            tenant.uuid(),
            sign_on.issuer,
            sign_on.client_id,
            secret,
            self.0.clock.now(),
            sign_on.preset.map(Preset::name),
            by.uuid(),
        )
        .execute(&mut **tx)
        .await
        .on_constraint("sign_on_enforced", || REQUIRED)?;
        Ok(())
    }

    /// Ends every session that the organization's own provider began, whoever's it is.
    pub async fn end_sign_on_sessions(&self, tx: &mut Tx<Write, Tenant>, why: &str) -> Result<(), Error> {
        // Those that are just being begun are either done, and found below, or will find what has changed.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended(current_setting('app.tenant_id')::uuid::text, 2))")
            .execute(&mut **tx)
            .await?;
        sqlx::query!(
            "update identity.sessions set ended_at = $1, ended_why = $2
              where sign_on = (select current_setting('app.tenant_id')::uuid) and ended_at is null and expires_at > $1",
            self.0.clock.now(),
            why,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Key of the provider that an organization brings for the domain of this address. Asking begins a sign-in, so it is
    /// let in as one.
    pub async fn sign_on_for(
        &self,
        email: &Email,
        solution: &ProofOfWorkSolution,
        context: &Context,
    ) -> Result<Option<ProviderKey>, Error> {
        self.check_sign_in("organization", solution, context).await?;
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let tenant = sqlx::query_scalar!(
            r#"select d.tenant_id as "tenant: TenantId" from tenant.domains d join tenant.sign_on s on s.tenant_id = d.tenant_id
                where d.name = $1 and d.proved_at is not null"#,
            email.domain(),
        );
        Ok(tenant.fetch_optional(&mut *tx).await?.map(ProviderKey::of_organization))
    }

    /// Whether an organization's provider may vouch for an address: within the domains the organization has proved.
    pub(crate) async fn vouches_for(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        tenant: TenantId,
        email: &str,
    ) -> Result<bool, Error> {
        let domain = email.rsplit('@').next().unwrap_or_default();
        let proved = sqlx::query_scalar!(
            r#"select exists (select from tenant.domains
                               where tenant_id = $1 and name = $2 and proved_at is not null) as "proved!""#,
            tenant.uuid(),
            domain,
        );
        Ok(proved.fetch_one(&mut **tx).await?)
    }

    /// Whether the DNS of a domain says what proves it. `Err` with the reason where it does not answer.
    pub async fn domain_says(&self, domain: &str, token: &str) -> Result<bool, String> {
        self.0.dns.says(&domain_record(domain), &format!("holdfast-domain={token}")).await
    }

    /// Proved domains that the DNS is to be asked about again, those that wait longest first.
    pub async fn domains_to_check(&self, at_most: i64) -> Result<Vec<ProvedDomain>, Error> {
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let due = sqlx::query_as!(
            ProvedDomain,
            r#"select tenant_id as "organization: TenantId", id, name, token from tenant.domains
                where proved_at is not null and (next_check_at is null or next_check_at <= $1)
                order by next_check_at nulls first limit $2"#,
            self.0.clock.now(),
            at_most,
        );
        Ok(due.fetch_all(&mut *tx).await?)
    }

    /// How long the record of a proved domain may be gone.
    #[must_use]
    pub fn withdraws_domains_after(&self) -> chrono::Duration {
        self.0.withdraw_after
    }

    /// A new text for a domain to prove itself with.
    pub fn new_domain_token(&self) -> Result<String, Error> {
        Ok(crate::secret::Token::new()?.reveal().to_owned())
    }
}

/// Name of the TXT record that proves a domain.
#[must_use]
pub fn domain_record(domain: &str) -> String {
    format!("_holdfast.{domain}")
}

fn encryption_context(tenant: TenantId) -> EncryptionContext {
    EncryptionContext { column: Column::SignOn, row: tenant.uuid() }
}
