use askama::Template;
use chrono::{DateTime, Utc};
use mail::Mail;
use tenancy::{Identity, Plane, Tx, UserId, Write};
use web::{Client, Context, Error, filters};

use crate::Authn;
use crate::actor::actor;

/// An event that the owner of an account is notified of by email, no matter who caused it.
#[derive(Clone, Debug, Template)]
pub enum AccountNotification {
    /// A passkey was added. It can sign in by itself, unless it is known not to be discoverable.
    #[template(path = "mail/passkey_added.txt")]
    PasskeyAdded {
        /// The name of the passkey.
        name: String,
        /// Whether it can sign in without a provider, according to the browser.
        discoverable: Option<bool>,
    },
    /// A passkey with this name was removed.
    #[template(path = "mail/passkey_removed.txt")]
    PasskeyRemoved {
        /// The name of the passkey.
        name: String,
    },
    /// A passkey was cloned and is disabled.
    #[template(path = "mail/passkey_cloned.txt")]
    PasskeyCloned,
    /// An authenticator app was added.
    #[template(path = "mail/totp_added.txt")]
    TotpAdded,
    /// The authenticator app was removed.
    #[template(path = "mail/totp_removed.txt")]
    TotpRemoved,
    /// An organization removed the person's factors.
    #[template(path = "mail/factors_reset.txt")]
    FactorsReset,
    /// A new device signed in.
    #[template(path = "mail/new_device.txt")]
    NewDevice,
    /// The person's provider reports another email address, or no longer verifies the current one.
    #[template(path = "mail/address_changed.txt")]
    AddressChanged,
    /// New recovery codes were generated.
    #[template(path = "mail/recovery_codes_generated.txt")]
    RecoveryCodesGenerated,
    /// A recovery code was used. A passkey can be created immediately.
    #[template(path = "mail/code_used.txt")]
    CodeUsed,
    /// A recovery code was used. A passkey can be created at a later time.
    #[template(path = "mail/recovery_pending.txt")]
    RecoveryPending {
        /// When the recovery can continue.
        ready: DateTime<Utc>,
    },
    /// A pending recovery was continued.
    #[template(path = "mail/recovery_continued.txt")]
    RecoveryContinued,
    /// A pending recovery was stopped.
    #[template(path = "mail/recovery_stopped.txt")]
    RecoveryStopped,
    /// The person saw a new secret of an API client.
    #[template(path = "mail/client_secret.txt")]
    ClientSecret {
        /// The name of the client.
        name: String,
        /// The page where the client can be revoked.
        path: String,
    },
    /// Wrong codes were tried. No code is accepted until this time.
    #[template(path = "mail/locked_out.txt")]
    LockedOut {
        /// When codes are accepted again.
        until: DateTime<Utc>,
    },
}

impl AccountNotification {
    /// Returns the name for operators.
    fn kind(&self) -> &'static str {
        match self {
            Self::PasskeyRemoved { .. } => "passkey.removed",
            Self::PasskeyCloned => "passkey.disabled",
            Self::TotpAdded => "totp.added",
            Self::TotpRemoved => "totp.removed",
            Self::FactorsReset => "factors.reset",
            Self::NewDevice => "sign_in.new_device",
            Self::AddressChanged => "email.changed",
            Self::RecoveryCodesGenerated => "recovery.codes_generated",
            Self::CodeUsed => "recovery.code_used",
            Self::RecoveryPending { .. } => "recovery.started",
            Self::RecoveryStopped => "recovery.cancelled",
            Self::ClientSecret { .. } => "api_client.secret",
            Self::LockedOut { .. } => "account.locked_out",
            Self::RecoveryContinued => "recovery.continued",
            Self::PasskeyAdded { .. } => "passkey.added",
        }
    }
}

/// The email: what happened, the device and network that caused it, and what to do about it.
#[derive(Template)]
#[template(path = "mail/account_notification.txt")]
struct NotificationMail<'a> {
    notification: &'a AccountNotification,
    when: DateTime<Utc>,
    /// The person's own device and network. `None` if somebody else caused the event, because the person must not see
    /// theirs.
    client: Option<&'a Client>,
    remedy: &'static str,
    url: String,
}

impl Authn {
    /// Notifies a person by email, once `tx` is committed.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn notify<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        user: UserId,
        notification: &AccountNotification,
        context: &Context,
    ) -> Result<(), Error> {
        self.mail(notification, context)?.queue_to(tx, user, &actor(context, None, None)).await?;
        Ok(())
    }

    /// Notifies the address that the person had until now.
    pub(crate) async fn notify_address(
        &self,
        tx: &mut Tx<Write, Identity>,
        address: &str,
        notification: &AccountNotification,
        context: &Context,
    ) -> Result<(), Error> {
        self.mail(notification, context)?.queue_to_address(tx, address, &actor(context, None, None)).await?;
        Ok(())
    }

    fn mail(&self, notification: &AccountNotification, context: &Context) -> Result<Mail, Error> {
        let by_others = matches!(notification, AccountNotification::FactorsReset);
        let (remedy, path) = match notification {
            AccountNotification::ClientSecret { path, .. } => {
                ("end the client, and every session you do not know", &**path)
            }
            _ => ("look at your sessions and end those you do not know", self.0.addresses.sessions),
        };
        let (when, client, url) = (self.0.clock.now(), (!by_others).then_some(&context.client), self.url(path));
        Ok(Mail::of(notification.kind(), &NotificationMail { notification, when, client, remedy, url })?)
    }

    /// Returns the full URL of a page, for emails.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.public_url)
    }
}
