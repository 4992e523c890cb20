//! Contacts of a workspace. Other features copy this model: a folder, a migration, a policy pair, templates, a test.

mod api;
mod contact;
mod form;
mod form_page;
mod list;
mod pages;
mod summary;

use authz::Routes;

use crate::base::{Api, Feature, Scope, Tab, Workspace, events, policies};

use contact::Contact;

authz::actions! {
    /// See the list of contacts.
    ListContacts: Read on Workspace;
    /// Add a contact.
    CreateContact: Write on Workspace;
    /// See one contact, without its restricted fields.
    ViewContact: Read on Contact;
    /// Change a contact, except its restricted fields.
    EditContact: Write on Contact;
    /// Delete a contact.
    DeleteContact: Write on Contact;
    /// See tax id and bank account. Checked in addition to `ViewContact`.
    ViewRestrictedFields: Read on Contact, "restricted" data;
    /// Change tax id and bank account. Checked in addition to `EditContact`.
    EditRestrictedFields: Write on Contact, "restricted" data;
}

const SCOPES: &[Scope] = &[
    Scope::of::<ListContacts>("List and find contacts"),
    Scope::of::<ViewContact>("See a contact"),
    Scope::of::<ViewRestrictedFields>("See tax id and bank account"),
    Scope::of::<CreateContact>("Add contacts"),
    Scope::of::<EditContact>("Change contacts"),
];

events! {
    CONTACT_CREATED: "contact.created", "Added a contact", "added the contact {name} to {workspace}";
    CONTACT_CHANGED: "contact.changed", "Changed a contact", "changed the contact {name} in {workspace}";
    CONTACT_DELETED: "contact.deleted", "Deleted a contact", "deleted the contact {name} from {workspace}";
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", list::list)
        .post("", pages::create)
        .get("/new", pages::new)
        .get("/{contact}", pages::show)
        .post("/{contact}", pages::update)
        .get("/{contact}/edit", pages::edit)
        .get("/{contact}/delete", pages::confirm_deletion)
        .post("/{contact}/delete", pages::delete)
        .under("/o/{organization}/w/{workspace}/contacts");
    let api = Api::default()
        .get("", api::list, api::LIST)
        .post("", api::create, api::CREATE)
        .get("/{contact}", api::show, api::SHOW)
        .put("/{contact}", api::update, api::UPDATE)
        .under("/api/v1/o/{organization}/w/{workspace}/contacts");
    Feature::new("contacts")
        .policies(policies!("contacts", ACTIONS))
        .routes(routes)
        .api(api)
        .scopes(SCOPES)
        .tab(Tab::to::<ListContacts>("Contacts", "/o/{organization}/w/{workspace}/contacts"))
        .summarize_workspaces(summary::of_workspaces)
        .events(EVENTS)
}
