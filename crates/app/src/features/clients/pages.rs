use askama::Template;
use authn::{AccountNotification, Authn};
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use tenancy::TenantId;
use tokens::Tokens;
use uuid::Uuid;
use web::{Error, Form, FormOnce, FormView, Input, Link, Page, Result, Shell, filters, see_other};

use super::client::{self, ActsAs, ApiClient, NewClient, list_url};
use super::form::ClientForm;
use super::{
    CreateClient, CreateOwnClient, CreateServiceAccount, ListClients, RevokeClient, RotateClientSecret, ViewClient,
};
use crate::base::{ADDRESSES, AnnouncementContext, FormPage, Justification, Layout, Organization};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "clients/list.html")]
struct ClientsPage {
    shell: Shell,
    clients: Vec<ClientRow>,
    now: DateTime<Utc>,
    new_url: Option<String>,
    links: Vec<Link>,
}

struct ClientRow {
    client: ApiClient,
    secret_expires_at: DateTime<Utc>,
    scopes: Vec<&'static str>,
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
    let scopes = &layout.registry().scopes;
    let label = |action: &String| scopes.iter().find(|scope| scope.action == *action).map(|scope| scope.label);
    let row = |client: ApiClient| ClientRow {
        secret_expires_at: client.secret_expires_at(),
        scopes: client.scopes.iter().filter_map(label).collect(),
        renew_url: ok.can::<RotateClientSecret>(&client).then(|| url(&client, "secret")),
        revoke_url: ok.can::<RevokeClient>(&client).then(|| url(&client, "revoke")),
        client,
    };
    let all = client::find(&mut tx, None).await?;
    let clients = all.into_iter().filter(|client| ok.can::<ViewClient>(client)).map(row).collect();
    let new_url = ok.can::<CreateClient>(ok.on()).then(|| format!("{}/new", list_url(ok.on().id)));
    let (shell, links, now) = (layout.organization(&ok), layout.links(&ok), authn.clock().now());
    Ok(Page(ClientsPage { shell, clients, now, new_url, links }))
}

pub(super) async fn new(ok: Authorized<FormFor<CreateClient>>, layout: Layout) -> impl IntoResponse {
    Page(ClientForm::page(&ok, &layout, Input::<ClientForm>::default().view()))
}

/// A new secret. It is only in this response.
#[derive(Template)]
#[template(path = "clients/secret.html")]
struct SecretPage<'a> {
    shell: Shell,
    issued: IssuedSecret<'a>,
    /// The authority that signed requests cover.
    authority: String,
    token_url: String,
    api_url: String,
    list_url: String,
    links: Vec<Link>,
}

/// A secret, and the client it belongs to.
struct IssuedSecret<'a> {
    organization: TenantId,
    client: Uuid,
    name: &'a str,
    signs: bool,
    secret: &'a str,
    expires_at: DateTime<Utc>,
}

impl<'a> SecretPage<'a> {
    fn new<A: Action>(ok: &Authorized<A>, layout: &Layout, tokens: &Tokens, issued: IssuedSecret<'a>) -> Self {
        Self {
            shell: layout.organization(ok),
            authority: tokens.authority(),
            token_url: format!("{}{}", tokens.issuer(), ADDRESSES.token_endpoint),
            api_url: format!("{}/o/{}", tokens.audience(), issued.organization),
            list_url: list_url(issued.organization),
            links: layout.links(ok),
            issued,
        }
    }
}

pub(super) async fn create(
    mut ok: Authorized<CreateClient>,
    layout: Layout,
    State(authn): State<Authn>,
    State(tokens): State<Tokens>,
    FormOnce(input, key): FormOnce<Input<ClientForm>>,
) -> Result<Response> {
    let page = |form| ClientForm::page(&ok, &layout, form);
    let (new, justification) = new_client(&input, &tokens, page)?;
    check_may_create(&mut ok, new.acts_as).await?;
    let url = list_url(ok.on().id);
    let mut tx = one_time_key::begin(&mut ok, key, &url, &created_before(&new.name)).await?;
    let in_use = "A client or a member has this name, or one that looks like it.";
    let taken = || input.refuse(ClientForm::FIELD.name, in_use, |form| ClientForm::page(&ok, &layout, form));
    let doing = AnnouncementContext::new(&authn, ok.who(), ok.on(), &url);
    let expires_at = client::insert(&mut tx, &new, &justification, &doing, taken).await?;
    authn.notify(&mut tx, ok.who().user, &secret_shown(&new.name, ok.on().id), ok.who().context()).await?;
    tx.commit().await?;
    let issued = IssuedSecret {
        organization: ok.on().id,
        client: new.id,
        name: &new.name,
        signs: new.kind == client::Authentication::Signatures,
        secret: &new.secret.shown,
        expires_at,
    };
    Ok(Page(SecretPage::new(&ok, &layout, &tokens, issued)).into_response())
}

/// Checks that the person may create a client of this kind: one that acts as them, or a service account.
///
/// # Errors
///
/// [`Error::Forbidden`] if the policies refuse it.
async fn check_may_create(ok: &mut Authorized<CreateClient>, acts_as: ActsAs) -> Result<()> {
    let may = match acts_as {
        ActsAs::Oneself => ok.authorize_also::<CreateOwnClient>().await?,
        ActsAs::Service(_) => ok.authorize_also::<CreateServiceAccount>().await?,
    };
    if may { Ok(()) } else { Err(Error::Forbidden) }
}

/// The client that the form asks for, with a new secret.
fn new_client(
    input: &Input<ClientForm>,
    tokens: &Tokens,
    page: impl Fn(FormView) -> FormPage,
) -> Result<(NewClient, Justification)> {
    let form = input.read(&page)?;
    let scopes = form.scopes(tokens.offered());
    let scopes =
        scopes.ok_or_else(|| input.refuse(ClientForm::FIELD.scope, "Choose what the client may do.", &page))?;
    let ClientForm { name, acts_as, kind, days, justification, .. } = form;
    let id = Uuid::now_v7();
    let secret = tokens.new_secret(id, kind == client::Authentication::Signatures)?;
    Ok((NewClient { id, name, acts_as, kind, days, scopes, secret }, justification))
}

/// The message for a form that is sent again. A secret is shown only once.
fn created_before(name: &str) -> String {
    format!(
        "{name} was created already, and its secret was shown once. If you do not have it, generate a new secret below."
    )
}

fn secret_shown(name: &str, organization: TenantId) -> AccountNotification {
    AccountNotification::ClientSecret { name: name.to_owned(), path: list_url(organization) }
}

fn renewal_page<A: Action<On = ApiClient>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
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

fn revocation_page<A: Action<On = ApiClient>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    FormPage {
        heading: format!("Revoke {}", ok.on().name),
        lead: "Its secret and tokens stop working immediately. You cannot undo this.".into(),
        button: "Revoke client",
        removes: true,
        action_url: url(ok.on(), "revoke"),
        ..renewal_page(ok, layout, form)
    }
}

pub(super) async fn confirm_renewal(ok: Authorized<FormFor<RotateClientSecret>>, layout: Layout) -> impl IntoResponse {
    Page(renewal_page(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn renew(
    mut ok: Authorized<RotateClientSecret>,
    layout: Layout,
    State(authn): State<Authn>,
    State(tokens): State<Tokens>,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| renewal_page(&ok, &layout, form))?;
    let secret = tokens.new_secret(ok.on().id, ok.on().signs)?;
    let mut tx = ok.begin().await?;
    let (organization, page) = (Organization::of(&ok.member()?.membership), list_url(ok.on().organization));
    let doing = AnnouncementContext::new(&authn, ok.who(), &organization, &page);
    let client = ok.on();
    let expires_at = client::renew(&mut tx, client, &secret, &justification, &doing).await?;
    let notice = secret_shown(&client.name, client.organization);
    authn.notify(&mut tx, ok.who().user, &notice, ok.who().context()).await?;
    tx.commit().await?;
    let issued = IssuedSecret {
        organization: client.organization,
        client: client.id,
        name: &client.name,
        signs: client.signs,
        secret: &secret.shown,
        expires_at,
    };
    Ok(Page(SecretPage::new(&ok, &layout, &tokens, issued)).into_response())
}

pub(super) async fn confirm_revocation(ok: Authorized<FormFor<RevokeClient>>, layout: Layout) -> impl IntoResponse {
    Page(revocation_page(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn revoke(
    mut ok: Authorized<RevokeClient>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| revocation_page(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    let (organization, page) = (Organization::of(&ok.member()?.membership), list_url(ok.on().organization));
    let member = ok.on().member;
    let doing = AnnouncementContext::new(&authn, ok.who(), &organization, &page).about_member(member);
    client::revoke(&mut tx, ok.on(), &justification, &doing).await?;
    tx.commit().await?;
    let text = format!("{} was revoked.", ok.on().name);
    Ok(see_other(&list_url(ok.on().organization), &text))
}
