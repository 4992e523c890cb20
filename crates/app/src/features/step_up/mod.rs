//! Step-up: a person verifies a factor for an action, and then continues with exactly that action.

mod pages;

use authz::Routes;

use crate::base::Feature;

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/step-up", pages::show)
        .post("/step-up", pages::verify_passkey)
        .post("/step-up/code", pages::verify_code)
        .post("/step-up/options", pages::options);
    Feature::new("step_up").routes(routes)
}

/// The message if the deferred form no longer exists.
pub(crate) const REQUEST_EXPIRED: &str = "This form has expired and nothing was done. Please fill it in again.";

/// Formats `ChangeMemberRole` as people read it: "change member role".
pub(crate) fn in_words(action: &str) -> String {
    action.chars().fold(String::new(), |mut words, c| {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
        words
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_of_an_action_reads_as_words() {
        assert_eq!(super::in_words("ChangeMemberRole"), "change member role");
    }
}
