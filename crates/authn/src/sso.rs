use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use encryption::{Column, EncryptionContext};
use fair::FairSemaphore;
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::{Identity as IdentityPlane, OnConstraint as _, Tenant, TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Context, Email, Error};

use crate::id_token::ProviderIdentity;
use crate::metadata::ProviderError;
use crate::provider::Provider;
use crate::provider_settings::Preset;
use crate::{Authn, ConfigError, ProofOfWorkSolution, ProviderConfig, ProviderKey};

/// The maximum number of organizations' providers in the cache. Each takes at most 64 KiB of text twice. Above the
/// maximum, another one is dropped.
const CACHE_SIZE: usize = 500;
const PROVIDER_IS_REQUIRED: Error = Error::Conflict(
    "Your organization requires SSO, so its identity provider cannot be replaced. Stop requiring SSO first. That takes a second person.",
    None,
);

/// The maximum number of requests that wait for organizations' providers at a time. Configured providers have their own
/// permits.
const MAX_WAITING: usize = 32;
/// How long a request waits for a permit. Even if many people hold one permit each, a person without one gets one in
/// this time.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The cached providers of organizations. Each entry belongs to the last change of its row.
#[derive(Debug)]
pub(crate) struct Organizations {
    known: Mutex<CachedProviders>,
    places: FairSemaphore<UserId>,
}

impl Default for Organizations {
    fn default() -> Self {
        Self { known: Mutex::default(), places: FairSemaphore::new(MAX_WAITING, MAX_WAIT) }
    }
}

type CachedProviders = HashMap<TenantId, (DateTime<Utc>, Arc<Provider>)>;

impl Organizations {
    fn lock(&self) -> MutexGuard<'_, CachedProviders> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An identity provider that an organization connects.
#[derive(Debug)]
pub struct IdentityProvider {
    /// The issuer identifier, exactly as the provider states it.
    pub issuer: String,
    /// Our client id at the provider.
    pub client_id: String,
    /// Our client secret at the provider.
    pub client_secret: SecretString,
    /// The product, if it is a known one with special settings.
    pub preset: Option<Preset>,
}

/// A verified domain that is due to be checked again.
#[derive(Debug)]
pub struct VerifiedDomain {
    /// The organization.
    pub organization: TenantId,
    /// The id of the row.
    pub id: Uuid,
    /// The name of the domain.
    pub name: String,
    /// The token in its DNS record.
    pub token: String,
}

/// A notice for people before they go to an organization's provider.
#[derive(Debug)]
pub struct ProviderNotice {
    /// The name of the organization. The organization chooses it.
    pub organization: String,
    /// The verified domains of the organization.
    pub domains: Vec<String>,
    /// The host of the organization's provider.
    pub host: String,
}

/// Why an organization's provider is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityProviderProblem {
    /// The issuer is not an https address of a public host.
    Issuer,
    /// The server does not respond like an identity provider. The log has the reason.
    Unusable,
    /// The provider responds, but lacks this feature.
    Lacks(String),
}

impl Authn {
    /// Records that an organization's provider has just authenticated a person.
    pub(crate) async fn record_sso_authentication(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        tenant: TenantId,
        user: Uuid,
        identity: &ProviderIdentity,
    ) -> Result<(), Error> {
        sqlx::query!(
            "insert into identity.sso_authentications (sso_tenant_id, issuer, subject, user_id, authenticated_at) values ($1, $2, $3, $4, $5)
             on conflict (sso_tenant_id, issuer, subject) do update set authenticated_at = excluded.authenticated_at",
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

    /// Returns the provider with this key: a configured one, or that of an organization with a verified domain.
    pub(crate) async fn provider(&self, key: &ProviderKey) -> Result<Arc<Provider>, Error> {
        let Some(tenant) = key.organization() else {
            return self.0.providers.get(&**key).map(Arc::clone).ok_or(Error::NotFound);
        };
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let row = sqlx::query!(
            r#"select issuer, client_id, client_secret, preset, changed_at, connected_by as "connected_by: UserId" from tenant.identity_providers s
              where tenant_id = $1
                and exists (select from tenant.domains d where d.tenant_id = $1 and d.verified_at is not null)"#,
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
        let identity_provider =
            IdentityProvider { issuer: row.issuer, client_id: row.client_id, client_secret: secret, preset };
        let provider = Arc::new(self.provider_of(tenant, &identity_provider, row.connected_by)?);
        let mut known = self.0.organizations.lock();
        if known.len() >= CACHE_SIZE
            && let Some(any) = known.keys().next().copied()
        {
            known.remove(&any);
        }
        known.insert(tenant, (row.changed_at, Arc::clone(&provider)));
        Ok(provider)
    }

    fn provider_of(
        &self,
        tenant: TenantId,
        identity_provider: &IdentityProvider,
        by: UserId,
    ) -> Result<Provider, ConfigError> {
        let IdentityProvider { issuer, client_id, client_secret, preset } = identity_provider;
        let config = ProviderConfig::of_organization(issuer, client_id, client_secret, *preset);
        let share = (self.0.organizations.places.clone(), by);
        let redirect = self.provider_redirect(tenant);
        Provider::of_organization(tenant, share, config, redirect, self.0.production, self.0.http.clone())
    }

    /// Tests an organization's provider before it is stored. The request uses the share of the person who makes it.
    ///
    /// # Errors
    ///
    /// The database fails. The inner error says what is wrong with the provider.
    pub async fn test_identity_provider(
        &self,
        tenant: TenantId,
        identity_provider: &IdentityProvider,
        by: UserId,
    ) -> Result<Result<(), IdentityProviderProblem>, Error> {
        let Ok(provider) = self.provider_of(tenant, identity_provider, by) else {
            return Ok(Err(IdentityProviderProblem::Issuer));
        };
        Ok(match provider.metadata(&self.0.clock).await {
            Ok(_) => Ok(()),
            Err(unusable) => {
                let reason = web::visible(&unusable.to_string(), 300);
                tracing::warn!(%tenant, reason, "identity provider of an organization rejected");
                Err(match unusable {
                    ProviderError::NotNow(_) => IdentityProviderProblem::Unusable,
                    ProviderError::Unsupported(lacks) => IdentityProviderProblem::Lacks(web::visible(&lacks, 300)),
                })
            }
        })
    }

    /// Returns the notice for people before they go to an organization's provider. They need it, because anybody can
    /// create an organization and send others to its provider.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such provider.
    pub async fn provider_notice(&self, key: &ProviderKey) -> Result<Option<ProviderNotice>, Error> {
        let Some(tenant) = key.organization() else { return Ok(None) };
        let provider = self.provider(key).await?;
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let row = sqlx::query!(
            r#"select o.name, array(select d.name from tenant.domains d
                                     where d.tenant_id = $1 and d.verified_at is not null order by d.name) as "domains!"
                 from tenant.organizations o where o.tenant_id = $1"#,
            tenant.uuid(),
        );
        let row = row.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound)?;
        Ok(Some(ProviderNotice { organization: row.name, domains: row.domains, host: provider.host() }))
    }

    /// Returns the redirect URL that an organization registers at its provider.
    #[must_use]
    pub fn provider_redirect(&self, tenant: TenantId) -> String {
        self.url(&self.0.addresses.callback_of(&ProviderKey::of_organization(tenant)))
    }

    /// Whether the organization has kept its provider and a verified domain since a sign-in began. This cannot change
    /// until the transaction ends. A request that removes the provider waits, and then finds the session.
    pub(crate) async fn is_still_connected(
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
            r#"select exists (select from tenant.identity_providers where tenant_id = $1 and issuer = $2 and changed_at <= $3)
                      and exists (select from tenant.domains where tenant_id = $1 and verified_at is not null) as "brings!""#,
            tenant.uuid(),
            issuer,
            began,
        );
        Ok(brings.fetch_one(&mut **tx).await?)
    }

    /// Stores the provider with its secret encrypted, and ends the sessions that began with the previous one.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if the previous provider is required.
    pub async fn store_identity_provider(
        &self,
        tx: &mut Tx<Write, Tenant>,
        tenant: TenantId,
        identity_provider: &IdentityProvider,
        by: UserId,
    ) -> Result<(), Error> {
        let secret = self
            .0
            .keys
            .encrypt(encryption_context(tenant), identity_provider.client_secret.expose_secret().as_bytes())?;
        self.end_provider_sessions(tx, "the provider was changed").await?;
        sqlx::query!(
            "insert into tenant.identity_providers (tenant_id, issuer, client_id, client_secret, changed_at, preset, connected_by)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (tenant_id) do update
               set issuer = $2, client_id = $3, client_secret = $4, changed_at = $5, preset = $6, connected_by = $7",
            tenant.uuid(),
            identity_provider.issuer,
            identity_provider.client_id,
            secret,
            self.0.clock.now(),
            identity_provider.preset.map(Preset::name),
            by.uuid(),
        )
        .execute(&mut **tx)
        .await
        .on_constraint("sso_requires_provider", || PROVIDER_IS_REQUIRED)?;
        Ok(())
    }

    /// Ends every session that began with the organization's own provider.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn end_provider_sessions(&self, tx: &mut Tx<Write, Tenant>, why: &str) -> Result<(), Error> {
        // If a session is being created, it either exists now and is found below, or it will see the change.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended(current_setting('app.tenant_id')::uuid::text, 2))")
            .execute(&mut **tx)
            .await?;
        sqlx::query!(
            "update identity.sessions set ended_at = $1, ended_reason = $2
              where sso_tenant_id = (select current_setting('app.tenant_id')::uuid) and ended_at is null and expires_at > $1",
            self.0.clock.now(),
            why,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Returns the key of the provider that an organization has connected for the domain of this address. This is the
    /// start of a sign-in, so it has the same limit.
    ///
    /// # Errors
    ///
    /// [`Error::ProofOfWork`] or [`Error::TooMany`] if the network has started many sign-ins.
    pub async fn identity_provider_for(
        &self,
        email: &Email,
        solution: &ProofOfWorkSolution,
        context: &Context,
    ) -> Result<Option<ProviderKey>, Error> {
        self.check_sign_in("organization", solution, context).await?;
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let tenant = sqlx::query_scalar!(
            r#"select d.tenant_id as "tenant: TenantId" from tenant.domains d join tenant.identity_providers s on s.tenant_id = d.tenant_id
                where d.name = $1 and d.verified_at is not null"#,
            email.domain(),
        );
        Ok(tenant.fetch_optional(&mut *tx).await?.map(ProviderKey::of_organization))
    }

    /// Whether an organization's provider may verify an address: it must be in a verified domain of the organization.
    pub(crate) async fn may_verify_address(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        tenant: TenantId,
        email: &str,
    ) -> Result<bool, Error> {
        let domain = email.rsplit('@').next().unwrap_or_default();
        let proved = sqlx::query_scalar!(
            r#"select exists (select from tenant.domains
                               where tenant_id = $1 and name = $2 and verified_at is not null) as "proved!""#,
            tenant.uuid(),
            domain,
        );
        Ok(proved.fetch_one(&mut **tx).await?)
    }

    /// Whether the DNS of a domain has our verification record.
    ///
    /// # Errors
    ///
    /// The DNS does not respond. The text says why.
    pub async fn has_domain_record(&self, domain: &str, token: &str) -> Result<bool, String> {
        self.0.dns.has_txt_record(&domain_record(domain), &format!("holdfast-domain={token}")).await
    }

    /// Returns the verified domains that are due for a new check. The domains that have waited longest come first.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn domains_to_check(&self, at_most: i64) -> Result<Vec<VerifiedDomain>, Error> {
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let due = sqlx::query_as!(
            VerifiedDomain,
            r#"select tenant_id as "organization: TenantId", id, name, token from tenant.domains
                where verified_at is not null and (next_check_at is null or next_check_at <= $1)
                order by next_check_at nulls first limit $2"#,
            self.0.clock.now(),
            at_most,
        );
        Ok(due.fetch_all(&mut *tx).await?)
    }

    /// Returns how long the record of a verified domain may be missing.
    #[must_use]
    pub fn withdraws_domains_after(&self) -> chrono::Duration {
        self.0.withdraw_after
    }

    /// Generates the token for the DNS record of a domain.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub fn new_domain_token(&self) -> Result<String, Error> {
        Ok(crate::secret::Token::new()?.reveal().to_owned())
    }
}

/// Returns the name of the TXT record that verifies a domain.
#[must_use]
pub fn domain_record(domain: &str) -> String {
    format!("_holdfast.{domain}")
}

fn encryption_context(tenant: TenantId) -> EncryptionContext {
    EncryptionContext { column: Column::IdentityProvider, row: tenant.uuid() }
}
