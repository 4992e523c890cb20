//! Features do not know each other's addresses, so that one that is taken out leaves no dead link.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};

use crate::harness::registry;
use crate::text::templates;

/// The start page. Every product has one.
const HOME: &str = "/";

/// Who has the addresses.
struct Owners {
    /// The features that have an address, with the pages of others that they registered something for.
    features: Vec<app::FeaturePages>,
    /// Those that every crate is given.
    base: Vec<String>,
}

/// What is wrong with an address in a file of a feature, or in one that all share.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    OfNobody,
    Of(&'static str),
}

impl Owners {
    fn new() -> Self {
        let web::Addresses { sign_in, sign_in_link, signed_out, step_up, step_up_code, resume, sessions, .. } =
            app::ADDRESSES;
        let base = [HOME, sign_in, sign_in_link, signed_out, step_up, step_up_code, resume, sessions];
        let base = base.into_iter().chain([app::ADDRESSES.verify_email]).map(shape).collect();
        Self { features: registry().pages().to_vec(), base }
    }

    /// Checks an address that a file of `feature` names.
    fn check(&self, feature: Option<&str>, address: &str) -> Result<(), Wrong> {
        let address = shape(address);
        if self.base.contains(&address) {
            return Ok(());
        }
        let mut owners = self.features.iter().filter(|owner| owner.own.iter().any(|path| shape(path) == address));
        let owner = owners.next().ok_or(Wrong::OfNobody)?;
        let registered = self.features.iter().filter(|other| Some(other.feature) == feature);
        let mut registered = registered.flat_map(|other| &other.registered);
        if Some(owner.feature) == feature || registered.any(|path| shape(path) == address) {
            return Ok(());
        }
        Err(Wrong::Of(owner.feature))
    }
}

/// A path without its query, and with `{}` for what is filled in.
fn shape(address: &str) -> String {
    let path = address.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').map(|part| if part.contains('{') { "{}" } else { part }).collect();
    parts.join("/")
}

/// Everything in quotation marks that could be an address of ours.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_.{} ?=&".contains(c);
    text.split(['"', '\'']).filter(move |part| part.starts_with('/') && part.chars().all(is_path))
}

#[test]
fn a_template_names_only_addresses_of_its_feature() {
    let owners = Owners::new();
    let mut wrong = Vec::new();
    for (name, text) in templates().iter().filter(|(name, _)| !name.starts_with("mail/")) {
        let feature = name.split_once('/').map(|(folder, _)| folder);
        for address in quoted(text) {
            match owners.check(feature, address) {
                Ok(()) => {}
                Err(Wrong::OfNobody) => wrong.push(format!("templates/{name} names {address}, which no route has")),
                Err(Wrong::Of(owner)) => wrong.push(format!(
                    "templates/{name} names {address} of the feature `{owner}`: let `{owner}` register a link with its `Feature`"
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_code_of_a_feature_names_only_addresses_of_its_own_or_that_it_registered() {
    let owners = Owners::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/app/src/features");
    let mut wrong = Vec::new();
    for feature in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let name = feature.file_name().unwrap().to_str().unwrap();
        for file in fs::read_dir(&feature).unwrap().map(|entry| entry.unwrap().path()) {
            let text = fs::read_to_string(&file).unwrap();
            let mut literals = Vec::new();
            collect(TokenStream::from_str(text.split("#[cfg(test)]").next().unwrap()).unwrap(), &mut literals);
            for literal in literals {
                // `{}/members` is below the address of an organization.
                let below = literal.strip_prefix("{}/").map(|path| format!("/o/{{}}/{path}"));
                let addresses = below.into_iter().chain([literal.clone()]);
                let others = addresses.filter_map(|address| owners.check(Some(name), &address).err());
                for owner in others.filter(|owner| *owner != Wrong::OfNobody) {
                    wrong.push(format!("features/{name} names {literal}: {owner:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every string in the code.
fn collect(tokens: TokenStream, into: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect(group.stream(), into),
            TokenTree::Literal(literal) => into.push(literal.to_string().trim_matches('"').to_owned()),
            _ => {}
        }
    }
}
