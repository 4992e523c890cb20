use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor, Viewer};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use web::{Banner, Field, FieldErrors, Form, FormOnce, NoFields, Page, Result, Shell, format_datetime, see_other};

use super::elevation::{self, Asked, Elevation, Stage};
use super::{ApproveElevation, AskForElevation, EndElevation, ListElevations, ViewElevation};
use crate::base::{
    AnnouncementContext, DisplayActor, Justification, JustificationFields, Layout, Location, Organization, Role,
    RoleChoice, unlinked,
};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "elevations/list.html")]
struct List {
    shell: Shell,
    elevations: Vec<ListRow>,
    more: bool,
    new_url: Option<String>,
}

struct ListRow {
    id: String,
    name: String,
    role: &'static str,
    minutes: i32,
    reason: String,
    ticket: String,
    asked: String,
    who: DisplayActor,
    approver: Option<DisplayActor>,
    stage: &'static str,
    tone: &'static str,
    until: String,
    approve_url: Option<String>,
    /// Address and label of the button that ends it.
    end: Option<(String, &'static str)>,
}

/// The banner above every page of the organization while access is active.
pub(super) fn banner(viewer: Viewer<'_>, location: &Location) -> Option<Banner> {
    let elevation = viewer.member()?.membership.elevation.as_ref()?;
    let (role, until) = (Role::label_of(&elevation.role), elevation.ends_at.format("%H:%M UTC"));
    Some(Banner {
        text: format!("You have the role {role} until {until}."),
        url: list_url(&location.organization),
        link_label: "View or end access",
    })
}

fn list_url(organization: &Organization) -> String {
    format!("{}/elevations", organization.url())
}

pub(super) async fn list(
    mut ok: Authorized<ListElevations>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (now, you) = (authn.clock().now(), ok.who().user);
    let (all, more) = elevation::find(&mut tx, None).await?;
    let open = |elevation: &Elevation| matches!(elevation.stage(now), Stage::Open(_) | Stage::Lasts(_));
    let yours_is_open = all.iter().any(|elevation| elevation.user == you && open(elevation));
    let row = |elevation: &Elevation| {
        let url = |what| format!("{}/{}/{what}", list_url(ok.on()), elevation.id);
        let is_open = matches!(elevation.stage(now), Stage::Open(_));
        let end = match (is_open, elevation.user == you) {
            (true, true) => "Withdraw",
            (true, false) => "Decline",
            (false, _) => "End now",
        };
        ListRow {
            approve_url: (is_open && ok.can::<ApproveElevation>(elevation)).then(|| url("approve")),
            end: (open(elevation) && ok.can::<EndElevation>(elevation)).then(|| (url("end"), end)),
            ..ListRow::of(elevation, now)
        }
    };
    let elevations = all.iter().filter(|elevation| ok.can::<ViewElevation>(elevation)).map(row).collect();
    let may_ask = ok.can::<AskForElevation>(ok.on()) && !yours_is_open;
    let new_url = may_ask.then(|| format!("{}/new", list_url(ok.on())));
    Ok(Page(List { shell: layout.organization(&ok), elevations, more, new_url }))
}

impl ListRow {
    fn of(elevation: &Elevation, now: DateTime<Utc>) -> Self {
        let (stage, tone, until) = match elevation.stage(now) {
            Stage::Open(until) => ("Pending approval", "accent", format_datetime(until)),
            Stage::Lasts(until) => ("Active", "warning", format_datetime(until)),
            Stage::Declined => ("Declined", "plain", String::new()),
            Stage::Ended => ("Ended", "plain", String::new()),
            Stage::Lapsed => ("Expired", "plain", String::new()),
            Stage::SignedOut => ("Ended with the session", "plain", String::new()),
        };
        Self {
            id: elevation.id.to_string(),
            name: elevation.name.clone(),
            role: Role::label_of(&elevation.role),
            minutes: elevation.minutes,
            reason: elevation.reason.clone(),
            ticket: elevation.ticket.clone(),
            asked: format_datetime(elevation.requested_at),
            who: DisplayActor::person(
                Some(elevation.name.clone()),
                Some(&elevation.email),
                Some(elevation.email_verified),
            ),
            approver: elevation.approver.clone().map(|name| {
                DisplayActor::person(Some(name), elevation.approver_email.as_deref(), elevation.approver_verified)
            }),
            stage,
            tone,
            until,
            approve_url: None,
            end: None,
        }
    }
}

#[derive(Template)]
#[template(path = "elevations/new.html")]
struct New {
    shell: Shell,
    form: AskForm,
    roles: Vec<RoleChoice>,
    lengths: [RoleChoice; 3],
    action_url: String,
}

struct AskForm {
    role: Field,
    minutes: Field,
    justification: JustificationFields,
}

impl AskForm {
    fn has_errors(&self) -> bool {
        self.role.error.is_some() || self.minutes.error.is_some() || self.justification.have_errors()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskInput {
    #[serde(default)]
    role: String,
    #[serde(default)]
    minutes: String,
    reason: String,
    #[serde(default)]
    ticket: String,
}

const DURATIONS: [RoleChoice; 3] = [
    RoleChoice { key: "15", label: "15 minutes", about: "For a quick look or a single change." },
    RoleChoice { key: "30", label: "30 minutes", about: "For a few changes." },
    RoleChoice { key: "60", label: "60 minutes", about: "The longest possible." },
];

impl AskInput {
    fn parse(&self, errors: &mut FieldErrors, own_role: &str) -> Option<(Asked, Justification)> {
        let role = errors.parse::<Role>("role", &self.role);
        if role == Some(Role::Owner) {
            errors.add("role", "Temporary access to the owner role is not possible.");
        }
        if role.is_some_and(|role| role.key() == own_role) {
            errors.add("role", "You have this role already.");
        }
        let offered = DURATIONS.iter().any(|length| length.key == self.minutes);
        let minutes = self.minutes.parse().ok().filter(|_| offered);
        if minutes.is_none() {
            errors.add("minutes", "Choose how long.");
        }
        let justification = Justification::read(errors, &self.reason, &self.ticket);
        if self.ticket.trim().is_empty() {
            errors.add("ticket", "Enter a link to the request or ticket.");
        }
        let asked = Asked { role: role?, minutes: minutes? };
        errors.is_empty().then_some((asked, justification?))
    }
}

impl New {
    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &AskInput,
        errors: &FieldErrors,
    ) -> Result<Self> {
        let own_role = &ok.member()?.membership.role;
        Ok(Self {
            shell: layout.organization(ok),
            form: AskForm {
                role: errors.field("role", &*input.role),
                minutes: errors.field("minutes", &*input.minutes),
                justification: JustificationFields::of(&input.reason, &input.ticket, errors),
            },
            roles: Role::choices(false).into_iter().filter(|role| role.key != own_role).collect(),
            lengths: DURATIONS,
            action_url: list_url(ok.on()),
        })
    }
}

pub(super) async fn new(ok: Authorized<FormFor<AskForElevation>>, layout: Layout) -> Result<impl IntoResponse> {
    Ok(Page(New::page(&ok, &layout, &AskInput::default(), &FieldErrors::default())?))
}

pub(super) async fn ask(
    mut ok: Authorized<AskForElevation>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<AskInput>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let membership = ok.member()?.membership.clone();
    let Some((asked, justification)) = input.parse(&mut errors, &membership.role) else {
        let page = New::page(&ok, &layout, &input, &errors)?;
        return Err(errors.on_page(page));
    };
    authn.check_person_rate_limit(elevation::ELEVATION_LIMIT, ok.who()).await?;
    let (page, text) = (list_url(ok.on()), "Access requested. Owners and admins were notified by email.");
    let mut tx = one_time_key::begin(&mut ok, key, &page, text).await?;
    let did = format!(
        "asks to act as {} for {} minutes. It can be approved until {}",
        asked.role.label(),
        asked.minutes,
        format_datetime(elevation::expiry(authn.clock().now()))
    );
    // The member is notified too, in case somebody requests access in their name.
    let (who, organization, member) = (ok.who(), ok.on(), Some(ok.who().user));
    let doing = AnnouncementContext { authn: &authn, who, organization, did: &did, page: &page, member };
    elevation::ask(&mut tx, &asked, &membership, &justification, &doing).await?;
    tx.commit().await?;
    Ok(see_other(&page, text))
}

pub(super) async fn approve(
    mut ok: Authorized<ApproveElevation>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let organization = organization(&ok)?;
    let mut tx = ok.begin().await?;
    let (elevation, now) = (ok.on(), authn.clock().now());
    let (name, role) = (&elevation.name, Role::label_of(&elevation.role));
    let until = now + Duration::minutes(elevation.minutes.into());
    let did = format!("lets {} act as {role} until {}", unlinked(name), format_datetime(until));
    let page = list_url(&organization);
    elevation::approve(&mut tx, elevation, now, &doing(&ok, &authn, &organization, &did, &page)).await?;
    tx.commit().await?;
    Ok(see_other(&list_url(&organization), &format!("{name} acts as {role} until {}.", format_datetime(until))))
}

pub(super) async fn end(
    mut ok: Authorized<EndElevation>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let organization = organization(&ok)?;
    let mut tx = ok.begin().await?;
    let elevation = ok.on();
    let (name, role) = (&elevation.name, Role::label_of(&elevation.role));
    let lasted = elevation::end(&mut tx, elevation, ok.who().user, authn.clock().now()).await?;
    let (verb, done) = if lasted {
        ("has ended", format!("{name} does not act as {role} any more."))
    } else {
        ("has declined", format!("{name} does not get to act as {role}."))
    };
    let (did, page) = (format!("{verb} that {} acts as {role}", unlinked(name)), list_url(&organization));
    elevation::record_end(&mut tx, elevation, lasted, &doing(&ok, &authn, &organization, &did, &page)).await?;
    tx.commit().await?;
    Ok(see_other(&list_url(&organization), &done))
}

fn doing<'a, A: Action<On = Elevation>>(
    ok: &'a Authorized<A>,
    authn: &'a Authn,
    organization: &'a Organization,
    did: &'a str,
    page: &'a str,
) -> AnnouncementContext<'a> {
    AnnouncementContext { authn, who: ok.who(), organization, did, page, member: Some(ok.on().user) }
}

fn organization<A: Action<On = Elevation>>(ok: &Authorized<A>) -> Result<Organization> {
    Ok(Organization::of(&ok.member()?.membership))
}
