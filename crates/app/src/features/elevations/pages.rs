use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor, Viewer};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use web::{
    Banner, Choice, Control, FieldError, FieldErrors, FieldSpec, FieldText, Form, FormOnce, FormView, Input, NoFields,
    Page, Presence, Result, Shell, filters, format_datetime, see_other,
};

use super::elevation::{self, AccessRequest, ActingRole, Elevation, Stage};
use super::{ApproveElevation, EndElevation, ListElevations, RequestElevation, ViewElevation};
use crate::base::{AnnouncementContext, FormPage, Justification, Layout, Location, Organization, Role};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "elevations/list.html")]
struct ElevationsPage {
    shell: Shell,
    elevations: Vec<ElevationRow>,
    more: bool,
    new_url: Option<String>,
}

struct ElevationRow {
    elevation: Elevation,
    stage: Stage,
    approve_url: Option<String>,
    end_url: Option<String>,
    end_label: &'static str,
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

impl ElevationRow {
    fn new(ok: &Authorized<ListElevations>, elevation: Elevation, now: DateTime<Utc>) -> Self {
        let (stage, is_yours) = (elevation.stage(now), elevation.user == ok.who().user);
        let url = |what| format!("{}/{}/{what}", list_url(ok.on()), elevation.id);
        let is_pending = matches!(stage, Stage::Open(_));
        let can_end = stage.until().is_some() && ok.can::<EndElevation>(&elevation);
        Self {
            stage,
            approve_url: (is_pending && ok.can::<ApproveElevation>(&elevation)).then(|| url("approve")),
            end_url: can_end.then(|| url("end")),
            end_label: match (is_pending, is_yours) {
                (true, true) => "Withdraw",
                (true, false) => "Decline",
                (false, _) => "End now",
            },
            elevation,
        }
    }
}

pub(super) async fn list(
    mut ok: Authorized<ListElevations>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (now, you) = (authn.clock().now(), ok.who().user);
    let (all, more) = elevation::find(&mut tx, None).await?;
    let yours_is_open = all.iter().any(|elevation| elevation.user == you && elevation.stage(now).until().is_some());
    let elevations = all.into_iter().filter(|elevation| ok.can::<ViewElevation>(elevation));
    let elevations = elevations.map(|elevation| ElevationRow::new(&ok, elevation, now)).collect();
    let may_request = ok.can::<RequestElevation>(ok.on()) && !yours_is_open;
    let new_url = may_request.then(|| format!("{}/new", list_url(ok.on())));
    Ok(Page(ElevationsPage { shell: layout.organization(&ok), elevations, more, new_url }))
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

pub(super) async fn request(
    mut ok: Authorized<RequestElevation>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<ElevationForm>>,
) -> Result<Response> {
    let membership = ok.member()?.membership.clone();
    let check = |form: &ElevationForm, errors: &mut FieldErrors| form.check(&membership.role, errors);
    let form = input.read_with(check, |form| ElevationForm::page(&ok, &layout, &membership.role, form))?;
    let (access, justification) = (AccessRequest { role: form.role, minutes: form.minutes.0 }, form.justification);
    authn.check_person_rate_limit(elevation::ELEVATION_LIMIT, ok.who()).await?;
    let (page, text) = (list_url(ok.on()), "Access requested. Owners and admins were notified by email.");
    let mut tx = one_time_key::begin(&mut ok, key, &page, text).await?;
    let until = format_datetime(elevation::expiry(authn.clock().now()));
    let note = format!("It can be approved until {until}.");
    // The member is notified too, in case somebody requests access in their name.
    let (who, organization, member) = (ok.who(), ok.on(), Some(ok.who().user));
    let doing = AnnouncementContext::new(&authn, who, organization, &page).with_note(&note).about_member(member);
    elevation::request(&mut tx, &access, &membership, &justification, &doing).await?;
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
    let note = format!("It ends on {}.", format_datetime(until));
    let page = list_url(&organization);
    elevation::approve(&mut tx, elevation, now, &doing(&ok, &authn, &organization, &note, &page)).await?;
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
    let was_active = elevation::end(&mut tx, elevation, ok.who().user, authn.clock().now()).await?;
    let done = if was_active {
        format!("{name} does not act as {role} any more.")
    } else {
        format!("{name} does not get to act as {role}.")
    };
    let page = list_url(&organization);
    elevation::record_end(&mut tx, elevation, was_active, &doing(&ok, &authn, &organization, "", &page)).await?;
    tx.commit().await?;
    Ok(see_other(&list_url(&organization), &done))
}

fn doing<'a, A: Action<On = Elevation>>(
    ok: &'a Authorized<A>,
    authn: &'a Authn,
    organization: &'a Organization,
    note: &'a str,
    page: &'a str,
) -> AnnouncementContext<'a> {
    AnnouncementContext::new(authn, ok.who(), organization, page).with_note(note).about_member(ok.on().user)
}

fn organization<A: Action<On = Elevation>>(ok: &Authorized<A>) -> Result<Organization> {
    Ok(Organization::of(&ok.member()?.membership))
}
