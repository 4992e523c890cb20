use askama::Template;
use authn::{AccountNotification, Authn};
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use tenancy::TenantId;
use tokens::Tokens;
use uuid::Uuid;
use web::{Error, Form, FormOnce, FormView, Input, Page, Result, Shell, format_date, format_datetime, see_other};

use super::client::{self, ActsAs, ApiClient, NewClient, list_url};
use super::form::ClientForm;
use super::{
    CreateClient, CreateOwnClient, CreateServiceAccount, ListClients, RevokeClient, RotateClientSecret, ViewClient,
};
use crate::base::{
    AnnouncementContext, DisplayActor, FormPage, Justification, Layout, Organization, Role, Scope, unlinked,
};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "clients/list.html")]
struct List {
    shell: Shell,
    clients: Vec<ListRow>,
    new_url: Option<String>,
}

struct ListRow {
    name: String,
    id: String,
    acts_as: DisplayActor,
    /// That of a service account.
    role: Option<String>,
    kind: &'static str,
    scopes: Vec<&'static str>,
    made: String,
    maker: DisplayActor,
    last_used: String,
    secret: String,
    /// What to do about the age of the secret.
    flag: Option<&'static str>,
    renew_url: Option<String>,
    revoke_url: Option<String>,
}

fn url(client: &ApiClient, what: &str) -> String {
    format!("/o/{}/clients/{}/{what}", client.organization, client.id)
}

pub(super) async fn list(
    mut ok: Authorized<ListClients>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let now = authn.clock().now();
    let all = client::find(&mut tx, None).await?;
    let clients = all.iter().filter(|client| ok.can::<ViewClient>(client)).map(|client| ListRow {
        renew_url: ok.can::<RotateClientSecret>(client).then(|| url(client, "secret")),
        revoke_url: ok.can::<RevokeClient>(client).then(|| url(client, "revoke")),
        ..ListRow::of(client, now, &layout.registry().scopes)
    });
    let clients = clients.collect();
    let new_url = ok.can::<CreateClient>(ok.on()).then(|| format!("{}/new", list_url(ok.on().id)));
    Ok(Page(List { shell: layout.organization(&ok), clients, new_url }))
}

impl ListRow {
    fn of(client: &ApiClient, now: DateTime<Utc>, scopes: &[Scope]) -> Self {
        let ends_at = tokens::ends_at(client.secret_created_at, client.secret_days);
        let label = |action: &String| scopes.iter().find(|scope| scope.action == *action).map(|scope| scope.label);
        Self {
            name: client.name.clone(),
            id: client.id.to_string(),
            acts_as: if client.role.is_some() {
                DisplayActor::Service { name: client.name.clone() }
            } else {
                let (email, verified) = (client.member_email.as_deref(), client.member_verified);
                DisplayActor::person(client.member_name.clone(), email, verified)
            },
            role: client.role.as_deref().map(|role| Role::label_of(role).to_owned()),
            kind: match (client.dpop, client.signs) {
                (true, _) => "Tokens bound to a key",
                (_, true) => "Signed requests",
                _ => "Bearer tokens",
            },
            scopes: client.scopes.iter().filter_map(label).collect(),
            made: format_date(client.created_at),
            maker: DisplayActor::person(
                client.created_by.clone(),
                client.maker_email.as_deref(),
                client.maker_verified,
            ),
            last_used: client.last_used_at.map_or_else(|| "Never".to_owned(), format_datetime),
            secret: format!("{}, works until {}", format_date(client.secret_created_at), format_date(ends_at)),
            flag: if ends_at <= now {
                Some("Too old")
            } else if ends_at - now <= EXPIRY_WARNING.min((ends_at - client.secret_created_at) / 3) {
                Some("Renew soon")
            } else {
                None
            },
            renew_url: None,
            revoke_url: None,
        }
    }
}

/// From when on people are told to renew a secret.
const EXPIRY_WARNING: Duration = Duration::days(15);

pub(super) async fn new(ok: Authorized<FormFor<CreateClient>>, layout: Layout) -> impl IntoResponse {
    Page(ClientForm::page(&ok, &layout, Input::<ClientForm>::default().view()))
}

/// A secret, on the page that answers and nowhere after it.
#[derive(Template)]
#[template(path = "clients/secret.html")]
struct SecretPage {
    shell: Shell,
    name: String,
    id: String,
    secret: String,
    ends: String,
    signs: bool,
    /// What the program has to sign.
    authority: String,
    token_url: String,
    api_url: String,
    list_url: String,
}

pub(super) async fn make(
    mut ok: Authorized<CreateClient>,
    layout: Layout,
    State(authn): State<Authn>,
    State(tokens): State<Tokens>,
    FormOnce(input, key): FormOnce<Input<ClientForm>>,
) -> Result<Response> {
    let page = |form| ClientForm::page(&ok, &layout, form);
    let form = input.read(page)?;
    let scopes = form.scopes(tokens.offered());
    let scopes = scopes.ok_or_else(|| input.refuse(ClientForm::FIELD.scope, "Choose what the client may do.", page))?;
    let ClientForm { name, acts_as, kind, days, justification, .. } = form;
    let new = NewClient { name, acts_as, kind, days, scopes };
    let may = match new.acts_as {
        ActsAs::Oneself => ok.authorize_also::<CreateOwnClient>().await?,
        ActsAs::Service(_) => ok.authorize_also::<CreateServiceAccount>().await?,
    };
    if !may {
        return Err(Error::Forbidden);
    }
    let (id, signs) = (Uuid::now_v7(), new.kind == client::Kind::Signatures);
    let secret = tokens.new_secret(id, signs)?;
    let (url, now) = (list_url(ok.on().id), authn.clock().now());
    let mut tx = one_time_key::begin(&mut ok, key, &url, &created_before(&new.name)).await?;
    let in_use = "A client or a member has this name, or one that looks like it.";
    let taken = || input.refuse(ClientForm::FIELD.name, in_use, |form| ClientForm::page(&ok, &layout, form));
    let did = format!("has created the service account {}", unlinked(&new.name));
    let doing = AnnouncementContext {
        authn: &authn,
        who: ok.who(),
        organization: ok.on(),
        did: &did,
        page: &url,
        member: None,
    };
    client::insert(&mut tx, (id, &new, &secret), &justification, now, &doing, taken).await?;
    authn.notify(&mut tx, ok.who().user, &secret_shown(&new.name, ok.on().id), ok.who().context()).await?;
    tx.commit().await?;
    let shown = (&**secret.shown, tokens::ends_at(now, new.days.0));
    Ok(SecretPage::of(&ok, &layout, ok.on().id, (&new.name, id, signs), shown, &tokens))
}

/// The answer to a form that is sent again. Nobody gets to see a secret a second time.
fn created_before(name: &str) -> String {
    format!(
        "{name} was created already, and its secret was shown once. If you do not have it, make a new secret below."
    )
}

fn secret_shown(name: &str, organization: TenantId) -> AccountNotification {
    AccountNotification::ClientSecret { name: name.to_owned(), path: list_url(organization) }
}

impl SecretPage {
    fn of<A: Action>(
        ok: &Authorized<A>,
        layout: &Layout,
        organization: tenancy::TenantId,
        (name, id, signs): (&str, Uuid, bool),
        (secret, ends_at): (&str, DateTime<Utc>),
        tokens: &Tokens,
    ) -> Response {
        let page = Self {
            shell: layout.organization(ok),
            name: name.to_owned(),
            id: id.to_string(),
            secret: secret.to_owned(),
            ends: format_date(ends_at),
            signs,
            authority: tokens.authority(),
            token_url: format!("{}/api/oauth/token", tokens.issuer()),
            api_url: format!("{}/o/{organization}", tokens.audience()),
            list_url: list_url(organization),
        };
        Page(page).into_response()
    }
}

fn renewal<A: Action<On = ApiClient>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    FormPage {
        shell: layout.organization(ok),
        heading: format!("New secret for {}", ok.on().name),
        lead: "The current secret and all tokens issued with it stop working immediately.".into(),
        form,
        button: "Generate new secret",
        removes: false,
        once: false,
        action_url: url(ok.on(), "secret"),
        cancel_url: list_url(ok.on().organization),
    }
}

fn end<A: Action<On = ApiClient>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    FormPage {
        heading: format!("Revoke {}", ok.on().name),
        lead: "Its secret and tokens stop working immediately. You cannot undo this.".into(),
        button: "Revoke client",
        removes: true,
        action_url: url(ok.on(), "revoke"),
        ..renewal(ok, layout, form)
    }
}

pub(super) async fn confirm_renewal(ok: Authorized<FormFor<RotateClientSecret>>, layout: Layout) -> impl IntoResponse {
    Page(renewal(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn renew(
    mut ok: Authorized<RotateClientSecret>,
    layout: Layout,
    State(authn): State<Authn>,
    State(tokens): State<Tokens>,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| renewal(&ok, &layout, form))?;
    let secret = tokens.new_secret(ok.on().id, ok.on().signs)?;
    let (mut tx, now) = (ok.begin().await?, authn.clock().now());
    let (organization, page) = (Organization::of(&ok.member()?.membership), list_url(ok.on().organization));
    let did = format!("has created a new secret for the service account {}", unlinked(&ok.on().name));
    let doing = AnnouncementContext {
        authn: &authn,
        who: ok.who(),
        organization: &organization,
        did: &did,
        page: &page,
        member: None,
    };
    client::renew(&mut tx, (ok.on(), &secret), &justification, now, &doing).await?;
    let notice = secret_shown(&ok.on().name, ok.on().organization);
    authn.notify(&mut tx, ok.who().user, &notice, ok.who().context()).await?;
    tx.commit().await?;
    let client = ok.on();
    let shown = (&**secret.shown, tokens::ends_at(now, client.secret_days));
    Ok(SecretPage::of(&ok, &layout, client.organization, (&client.name, client.id, client.signs), shown, &tokens))
}

pub(super) async fn confirm_end(ok: Authorized<FormFor<RevokeClient>>, layout: Layout) -> impl IntoResponse {
    Page(end(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn revoke(
    mut ok: Authorized<RevokeClient>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| end(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    let (organization, page) = (Organization::of(&ok.member()?.membership), list_url(ok.on().organization));
    let (did, member) = (format!("has revoked the API client {}", unlinked(&ok.on().name)), ok.on().member);
    let doing = AnnouncementContext {
        authn: &authn,
        who: ok.who(),
        organization: &organization,
        did: &did,
        page: &page,
        member,
    };
    client::revoke(&mut tx, ok.on(), &justification, &doing).await?;
    tx.commit().await?;
    let text = format!("{} was revoked.", ok.on().name);
    Ok(see_other(&list_url(ok.on().organization), &text))
}
