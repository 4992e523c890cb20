//! Sample organizations, people and contacts. They are written in the same kinds of transactions as the application's own rows.

use audit::{Actor, Event};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use tenancy::{Db, Tenant, TenantId, Tx, UserId, WorkspaceId, Write};
use uuid::Uuid;

use crate::idp::Person;

/// Organization and role.
type Roles = &'static [(&'static str, &'static str)];

/// Subject, name, and roles.
const PEOPLE: [(&str, &str, Roles); 9] = [
    ("olivia", "Olivia Owner", &[("Acme", "owner")]),
    ("adam", "Adam Admin", &[("Acme", "admin"), ("Globex", "viewer")]),
    ("bella", "Bella Billing", &[("Acme", "billing_admin")]),
    ("fiona", "Fiona Finance", &[("Acme", "finance")]),
    ("carl", "Carl Creator", &[("Acme", "creator")]),
    ("erin", "Erin Editor", &[("Acme", "editor")]),
    ("vera", "Vera Viewer", &[("Acme", "viewer")]),
    ("gus", "Gus Globex", &[("Globex", "owner")]),
    ("nora", "Nora Newcomer", &[]),
];

const NAMES: [&str; 14] = [
    "Amara Okafor",
    "Bruno Keller",
    "Chiara Rossi",
    "Dmitri Volkov",
    "Elena García",
    "Farid Haddad",
    "Grace Kim",
    "Hugo Lindqvist",
    "Ines Moreau",
    "Jonas Weber",
    "Keiko Tanaka",
    "Liam O’Brien",
    "Mei Chen",
    "Noor van Dijk",
];

const COMPANIES: [&str; 4] = ["Northwind Traders", "Fabrikam", "Contoso", "Tailspin Toys"];

/// Generates an `encryption.key`.
///
/// # Errors
///
/// The system has no randomness.
pub fn encryption_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// The people who can sign in at the development provider.
#[must_use]
pub fn people() -> Vec<Person> {
    PEOPLE
        .into_iter()
        .map(|(subject, name, roles)| Person {
            subject: subject.to_owned(),
            name: name.to_owned(),
            email: format!("{subject}@example.com"),
            email_verified: true,
            about: match roles {
                [] => "no organization yet".to_owned(),
                roles => roles.iter().map(|(place, role)| format!("{role} of {place}")).collect::<Vec<_>>().join(", "),
            },
        })
        .collect()
}

/// Fills an empty database. In a filled one, it only sets the current address of the development provider for its accounts.
///
/// `owner` can be any login that can become the application's roles.
///
/// # Errors
///
/// The database refuses a statement.
pub async fn seed(owner: &str, issuer: &str) -> Result<(), tenancy::Error> {
    let config = tenancy::Config {
        url: SecretString::from(owner.to_owned()),
        max_connections: 2,
        acquire_timeout_ms: 5_000,
        statement_cache: 100,
    };
    let db = Db::connect(&config, false).await?;
    match seed_people(&db, issuer).await? {
        Some(users) => {
            for (organization, contacts) in [("Acme", 34), ("Globex", 5)] {
                seed_organization(&db, organization, contacts, &users).await?;
            }
            settle(owner).await?;
        }
        None => follow_provider(owner, issuer).await?,
    }
    db.close().await;
    Ok(())
}

/// The development provider may listen on another port than in the last run, but its accounts belong to the same people. No role of
/// the application can change accounts, so the owner of the table does it.
async fn follow_provider(owner: &str, issuer: &str) -> Result<(), tenancy::Error> {
    let mut connection = PgConnection::connect(owner).await?;
    connection.execute("set role migrator").await?;
    sqlx::query!("update identity.accounts set issuer = $1 where issuer like 'http://127.0.0.1:%'", issuer)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// Backdates all roles, so that these people can approve actions that need a second person. No role of the application can do that,
/// and row-level security also applies to the owner of the table.
async fn settle(owner: &str) -> Result<(), tenancy::Error> {
    let mut connection = PgConnection::connect(owner).await?;
    let statements = "set role migrator;
        begin;
        alter table tenant.memberships no force row level security;
        update tenant.memberships set role_since = now() - interval '30 days';
        alter table tenant.memberships force row level security;
        commit";
    connection.execute(sqlx::raw_sql(statements)).await?;
    connection.close().await?;
    Ok(())
}

async fn seed_people(db: &Db, issuer: &str) -> Result<Option<Vec<UserId>>, tenancy::Error> {
    #[expect(clippy::disallowed_methods, reason = "development data is not tied to the clock of the app")]
    let now: DateTime<Utc> = Utc::now();
    let mut tx = db.begin_identity::<Write>().await?;
    let known = sqlx::query!("select from identity.accounts limit 1").fetch_optional(&mut *tx).await?.is_some();
    if known {
        return Ok(None);
    }
    let mut users = Vec::new();
    for person in people() {
        let user = UserId::new();
        sqlx::query!(
            "insert into identity.users (id, display_name, name_key, email, email_verified, created_at)
             values ($1, $2, $5, $3, true, $4)",
            user.uuid(),
            person.name,
            person.email,
            now,
            &web::name_key(&person.name)[..],
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into identity.accounts (issuer, subject, user_id, created_at) values ($1, $2, $3, $4)",
            issuer,
            person.subject,
            user.uuid(),
            now,
        )
        .execute(&mut *tx)
        .await?;
        users.push(user);
    }
    tx.commit().await?;
    Ok(Some(users))
}

async fn seed_organization(db: &Db, name: &str, contacts: usize, users: &[UserId]) -> Result<(), tenancy::Error> {
    let (tenant, workspace) = (TenantId::new(), WorkspaceId::new());
    let mut tx = db.begin::<Write, Tenant>(tenant).await?;
    sqlx::query!("insert into tenant.organizations (tenant_id, name) values ($1, $2)", tenant.uuid(), name)
        .execute(&mut *tx)
        .await?;
    let mut owner = None;
    // Nobody can write in another person's name, so the transaction acts as each of them in turn.
    for ((_, _, roles), user) in PEOPLE.into_iter().zip(users) {
        for (_, role) in roles.iter().filter(|(place, _)| *place == name) {
            act_as(&mut tx, *user).await?;
            sqlx::query!("insert into tenant.memberships (user_id, role) values ($1, $2)", user.uuid(), role)
                .execute(&mut *tx)
                .await?;
            owner = owner.or((*role == "owner").then_some(*user));
        }
    }
    if let Some(owner) = owner {
        act_as(&mut tx, owner).await?;
    }
    let by = Actor { user: owner, ..Actor::unknown(Uuid::now_v7(), "127.0.0.0/24".to_owned()) };
    let target = format!("Organization::{:?}", tenant.to_string());
    Event { kind: "organization.created", target, details: json!({ "name": name }) }.record(&mut tx, &by).await?;
    let main = sqlx::query!(
        "insert into tenant.workspaces (id, name, name_key) values ($1, 'Main', $2)",
        workspace.uuid(),
        &web::name_key("Main")[..],
    );
    main.execute(&mut *tx).await?;
    for index in 0..contacts {
        seed_contact(&mut tx, workspace, index, owner).await?;
    }
    tx.commit().await
}

async fn act_as(tx: &mut Tx<Write>, user: UserId) -> Result<(), tenancy::Error> {
    sqlx::query("select set_config('app.user_id', $1, true)").bind(user.to_string()).execute(&mut **tx).await?;
    Ok(())
}

async fn seed_contact(
    tx: &mut Tx<Write>,
    workspace: WorkspaceId,
    index: usize,
    owner: Option<UserId>,
) -> Result<(), tenancy::Error> {
    let (first, second) = (NAMES[index % NAMES.len()], NAMES[(index * 5 + 3) % NAMES.len()]);
    let given = first.split(' ').next().unwrap_or(first);
    let family =
        if index < NAMES.len() { first.split_once(' ') } else { second.split_once(' ') }.map_or("", |(_, name)| name);
    let name = format!("{given} {family}");
    sqlx::query!(
        "insert into tenant.contacts (id, workspace_id, name, email, phone, company, notes, tax_id, bank_account, created_by)
         values ($1, $2, $3, $4, $5, $6, '', $7, $8, $9)",
        Uuid::now_v7(),
        workspace.uuid(),
        name,
        format!("contact{index}@example.com"),
        format!("+44 20 7946 {:04}", index * 37 % 1000),
        COMPANIES[index % COMPANIES.len()],
        format!("XX{:09}", index * 7919),
        format!("XX00 TEST {index:04}"),
        owner.map(UserId::uuid),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
