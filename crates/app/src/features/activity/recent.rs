use askama::Template;
use web::{Result, filters};

use super::ViewActivity;
use super::event::{Event, Filter, find};
use crate::base::{BoxFuture, Panel, PanelRequest};

/// The number of events in the overview of an organization.
const RECENT_COUNT: usize = 5;

/// The newest events, in the overview of the organization.
pub(super) const PANEL: Panel = Panel { on: "/o/{organization}", render };

#[derive(Template)]
#[template(path = "activity/recent.html")]
struct RecentPanel {
    events: Vec<Event>,
    activity_url: String,
}

fn render(request: PanelRequest<'_>) -> BoxFuture<'_, Result<Option<String>>> {
    Box::pin(async move {
        let PanelRequest { viewer, tx, location, events } = request;
        if !viewer.authorize_also::<ViewActivity>(&location.organization).await? {
            return Ok(None);
        }
        let events = find(tx, &Filter::default(), RECENT_COUNT, events).await?;
        let activity_url = format!("{}/activity", location.organization.url());
        Ok(Some(RecentPanel { events, activity_url }.render()?))
    })
}
