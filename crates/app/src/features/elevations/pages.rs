use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor, Viewer};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use web::{
    Banner, Choice, Control, FieldError, FieldErrors, FieldSpec, FieldText, Form, FormOnce, FormView, Input, NoFields,
    Page, Presence, Result, Shell, format_datetime, see_other,
};

use super::elevation::{self, ActingRole, Asked, Elevation, Stage};
use super::{ApproveElevation, EndElevation, ListElevations, RequestElevation, ViewElevation};
use crate::base::{
    AnnouncementContext, DisplayActor, FormPage, Justification, Layout, Location, Organization, Role, unlinked,
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
    let acting = ActingRole::of(&viewer.member()?.membership).ok()??;
    let (role, until) = (Role::label_of(&acting.role), acting.ends_at.format("%H:%M UTC"));
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
    let may_ask = ok.can::<RequestElevation>(ok.on()) && !yours_is_open;
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

web::form! {
    pub(super) struct ElevationForm {
        role: Role {},
        minutes: Minutes { label: "How long", noun: "how long" },
        justification: Justification,
    }
}

/// How long somebody has a role.
pub(super) struct Minutes(i32);

impl TryFrom<&str> for Minutes {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        let offered = DURATIONS.iter().any(|length| length.key == text);
        text.parse().ok().filter(|_| offered).map(Self).ok_or(FieldError::Empty)
    }
}

impl FieldText for Minutes {
    const SPEC: FieldSpec = FieldSpec { control: Control::Radios, choices: DURATIONS, ..FieldSpec::TEXT };
}

const DURATIONS: &[Choice] = &[
    Choice { key: "15", label: "15 minutes", about: "For a quick look or a single change." },
    Choice { key: "30", label: "30 minutes", about: "For a few changes." },
    Choice { key: "60", label: "60 minutes", about: "The longest possible." },
];

impl ElevationForm {
    fn check(&self, own_role: &str, errors: &mut FieldErrors) {
        if self.role == Role::Owner {
            errors.add(Self::FIELD.role, "Temporary access to the owner role is not possible.");
        }
        if self.role.key() == own_role {
            errors.add(Self::FIELD.role, "You have this role already.");
        }
        if self.justification.ticket.is_none() {
            errors.add(Self::FIELD.justification.ticket, "Enter a link to the request or ticket.");
        }
    }

    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        own_role: &str,
        form: FormView,
    ) -> FormPage {
        let url = list_url(ok.on());
        let roles = Role::choices(false).into_iter().filter(|role| role.key != own_role).collect();
        FormPage {
            shell: layout.organization(ok),
            heading: "Request access".to_owned(),
            lead: "Somebody else has to approve your request within a day. You then have the role for the time you choose, in this \
                   session only. Signing out ends it. Everything you do with it is recorded. You cannot use it to change \
                   roles, send invitations or create API clients."
                .into(),
            form: form
                .with(Self::FIELD.role, |field| field.choices = roles)
                .with(Self::FIELD.justification.ticket, |field| field.spec.presence = Presence::Required),
            button: "Request access",
            removes: false,
            once: true,
            action_url: url.clone(),
            cancel_url: url,
        }
    }
}

pub(super) async fn new(ok: Authorized<FormFor<RequestElevation>>, layout: Layout) -> Result<impl IntoResponse> {
    let own_role = &ok.member()?.membership.role;
    Ok(Page(ElevationForm::page(&ok, &layout, own_role, Input::<ElevationForm>::default().view())))
}

pub(super) async fn ask(
    mut ok: Authorized<RequestElevation>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<ElevationForm>>,
) -> Result<Response> {
    let membership = ok.member()?.membership.clone();
    let check = |form: &ElevationForm, errors: &mut FieldErrors| form.check(&membership.role, errors);
    let form = input.read_with(check, |form| ElevationForm::page(&ok, &layout, &membership.role, form))?;
    let (asked, justification) = (Asked { role: form.role, minutes: form.minutes.0 }, form.justification);
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
