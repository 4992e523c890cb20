//! Lists that are longer than a page: one page at a time, by name, or with a sentence that there is more.

use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;
use web::{Id, QueryString, optional_id};

/// Rows on one page of a list by name. Queries ask for one more.
const PAGE_SIZE: usize = 20;
/// Characters of a word that `tenant.words` keeps.
const MAX_WORD: usize = 120;

/// What to look for, and after which name and id the page begins: a place in the order, not a row. Nothing depends on
/// whether a row with that name or id is there, or whose it is.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    /// Finds what has a word that begins with this, without regard to accents and case.
    pub(crate) q: String,
    /// The page begins behind this name.
    pub(crate) after: String,
    /// And within that name behind this id.
    #[serde(deserialize_with = "optional_id")]
    #[schemars(with = "Option<Uuid>")]
    after_id: Option<Id>,
}

impl ListQuery {
    /// The id behind which the page begins, within one name.
    pub(crate) fn after_id(&self) -> Uuid {
        self.after_id.map(Id::uuid).unwrap_or_default()
    }

    /// What to look for: the beginning of a word, without regard to accents and case. Empty: everything.
    pub(crate) fn search_term(&self) -> String {
        self.q.trim().chars().take(MAX_WORD).collect()
    }

    /// Cuts what was found to one page. Returns it with the address of the next one below `list_url`; `place` is what the
    /// list is ordered by.
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

    /// Address of the first page, unless this is it.
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

/// Cuts what was found to `most`. Returns it with whether there was more.
pub(crate) fn truncate<T>(mut found: Vec<T>, most: usize) -> (Vec<T>, bool) {
    let more = found.len() > most;
    found.truncate(most);
    (found, more)
}
