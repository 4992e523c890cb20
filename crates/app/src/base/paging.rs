//! Lists that are longer than a page. They show one page at a time, by name, or a sentence that there is more.

use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;
use web::{Id, QueryString, optional_id};

/// Rows on one page of a list by name. Queries fetch one more row.
const PAGE_SIZE: usize = 20;
/// The maximum length of a word that `tenant.words` stores, in characters.
const MAX_WORD: usize = 120;

/// The search term, and the name and id after which the page begins. They are a position in the order, not a row. The
/// result does not depend on whether a row with that name or id exists, or who owns it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    /// Finds rows with a word that begins with this text. Accents and case are ignored.
    pub(crate) q: String,
    /// The page begins after this name.
    pub(crate) after: String,
    /// Among rows with that name, the page begins after this id.
    #[serde(deserialize_with = "optional_id")]
    #[schemars(with = "Option<Uuid>")]
    after_id: Option<Id>,
}

impl ListQuery {
    /// Returns the id after which the page begins, among rows with the same name.
    pub(crate) fn after_id(&self) -> Uuid {
        self.after_id.map(Id::uuid).unwrap_or_default()
    }

    /// Returns the search term: the beginning of a word, ignoring accents and case. An empty term finds everything.
    pub(crate) fn search_term(&self) -> String {
        self.q.trim().chars().take(MAX_WORD).collect()
    }

    /// Truncates the rows to one page. Returns them with the URL of the next page below `list_url`. `place` returns
    /// what the list is ordered by.
    pub(crate) fn page<T>(
        &self,
        found: Vec<T>,
        list_url: &str,
        place: impl Fn(&T) -> (&str, Uuid),
    ) -> (Vec<T>, Option<String>) {
        let (found, more) = truncate(found, PAGE_SIZE);
        let next_url = found.last().filter(|_| more).map(|last| {
            let (name, id) = place(last);
            self.url(list_url, name, &id.to_string())
        });
        (found, next_url)
    }

    /// Returns the URL of the first page, unless this is the first page.
    pub(crate) fn first_url(&self, list_url: &str) -> Option<String> {
        (!self.after.is_empty()).then(|| self.url(list_url, "", ""))
    }

    fn url(&self, list_url: &str, after: &str, after_id: &str) -> String {
        let mut query = QueryString::default();
        query.add("q", &self.q);
        query.add("after", after);
        query.add("after_id", after_id);
        query.on(list_url)
    }
}

/// Truncates the rows to `most`. Returns them, and whether there were more.
pub(crate) fn truncate<T>(mut found: Vec<T>, most: usize) -> (Vec<T>, bool) {
    let more = found.len() > most;
    found.truncate(most);
    (found, more)
}
