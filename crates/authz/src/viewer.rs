use std::sync::{Arc, OnceLock};

use axum::http::request::Parts;
use web::Result;

use crate::action::{Action, Resource as _, sensitivity};
use crate::authorizer::Authorizer;
use crate::decision::Decision;
use crate::request::{AuthzRequest, MemberContext};

/// The caller of a page, for parts of it that are not about the action of its route. It opens no transaction.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    pub(crate) authorizer: &'a Authorizer,
    pub(crate) request: &'a AuthzRequest,
    pub(crate) member: Option<&'a MemberContext>,
}

/// Who sends a request and where, for a page that is rendered after its handler has failed: an error page keeps the
/// navigation. Part of the request's extensions where such pages are; the guard [`Authorized`](crate::Authorized) fills it,
/// also if it refuses.
#[derive(Clone, Debug, Default)]
pub struct RequestViewer(Arc<OnceLock<OwnedViewer>>);

#[derive(Debug)]
struct OwnedViewer {
    authorizer: Authorizer,
    request: AuthzRequest,
    member: Option<MemberContext>,
}

impl RequestViewer {
    /// The viewer, if the guard of the request knew them as a member.
    #[must_use]
    pub fn get(&self) -> Option<Viewer<'_>> {
        let OwnedViewer { authorizer, request, member } = self.0.get()?;
        Some(Viewer { authorizer, request, member: member.as_ref() })
    }

    pub(crate) fn note(parts: &Parts, authorizer: &Authorizer, request: &AuthzRequest, member: Option<&MemberContext>) {
        if let Some(Self(viewer)) = parts.extensions.get() {
            let (authorizer, request, member) = (authorizer.clone(), request.clone(), member.cloned());
            viewer.get_or_init(|| OwnedViewer { authorizer, request, member });
        }
    }
}

impl<'a> Viewer<'a> {
    /// Their membership in the organization of the path.
    #[must_use]
    pub fn member(self) -> Option<&'a MemberContext> {
        self.member
    }

    /// How many things of a feature wait for them in the organization of the path.
    #[must_use]
    pub fn waiting(self, feature: &str) -> u32 {
        self.request.principal.waiting.of(feature)
    }

    /// Whether it makes sense to offer `B`, on the resource of the route or on another one that the page shows, such as a
    /// row of a list: for buttons and links. True even if `B` takes a fresh passkey first. It allows nothing, so it is not
    /// recorded.
    #[must_use]
    pub fn can<B: Action>(self, resource: &B::On) -> bool {
        self.decision::<B>(resource) != Decision::Deny
    }

    /// As [`can`](Self::can), with the factor that `B` takes first: for a page that leads to it, or shows what `B` is about.
    #[must_use]
    pub fn decision<B: Action>(self, resource: &B::On) -> Decision {
        self.authorizer.decide(&self.about::<B>(resource), B::NAME).decision
    }

    /// Whether the policies allow `B` on a resource of which a part of the page shows more than that it exists. Recorded.
    ///
    /// # Errors
    ///
    /// The answer cannot be recorded.
    pub async fn authorize_also<B: Action>(self, resource: &B::On) -> Result<bool> {
        let request = self.about::<B>(resource);
        let answer = self.authorizer.decide(&request, B::NAME);
        self.authorizer.record(self.authorizer.record_of(&request, B::NAME, &answer)).await?;
        Ok(answer.decision == Decision::Allow)
    }

    pub(crate) fn about<B: Action>(self, resource: &B::On) -> AuthzRequest {
        self.request.about(resource.entity(), sensitivity::<B>(resource))
    }
}
