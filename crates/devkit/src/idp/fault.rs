//! Everything the provider can get wrong on purpose, one deviation each.

/// An enum of single deviations: `None` is honest, `ALL` holds every other variant in order.
macro_rules! deviations {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $text:literal])+ $variant:ident,)+ }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            /// No deviation.
            #[default]
            None,
            $($(#[doc = $text])+ $variant,)+
        }

        impl $name {
            /// Every deviation, without `None`: what a table test walks.
            pub const ALL: &[$name] = &[$($name::$variant),+];
        }
    };
}

deviations! {
    /// What the provider gets wrong while somebody signs in. A correct client refuses each of them; those marked
    /// *(display)* it may accept, but must not be harmed by. A fault of the metadata or the key set shows only to a
    /// client that fetches them while it lasts.
    Fault {
        /// `iss` of the ID token is another provider's.
        WrongIssuer,
        /// `iss` of the ID token is the issuer with a slash added.
        TrailingSlashIssuer,
        /// `aud` names another client.
        WrongAudience,
        /// No `aud`.
        MissingAudience,
        /// `aud` is an array of this client and another.
        ExtraAudience,
        /// `aud` is right, `azp` names another client.
        WrongAzp,
        /// `nonce` is not the one sent.
        WrongNonce,
        /// No `nonce`.
        MissingNonce,
        /// The signature has one bit flipped.
        BadSignature,
        /// `alg` is `none` and the signature empty.
        AlgNone,
        /// HS256, keyed with the client's secret.
        Hs256WithClientSecret,
        /// HS256, keyed with the PEM text of the provider's public key.
        Hs256WithPublicKey,
        /// `exp` was an hour ago.
        Expired,
        /// No `exp`.
        MissingExp,
        /// No `iat`.
        MissingIat,
        /// `iat` was an hour ago.
        OldIat,
        /// `iat` is in an hour.
        FutureIat,
        /// `nbf` is in an hour.
        NotYetValid,
        /// No `sub`.
        MissingSub,
        /// `sub` is the empty string.
        EmptySub,
        /// No `auth_time`; an error for a client that sent `max_age`.
        MissingAuthTime,
        /// `auth_time` was two days ago; an error for a client that sent a smaller `max_age`.
        OldAuthTime,
        /// `auth_time` is in an hour.
        FutureAuthTime,
        /// `acr` is one nobody asked for; an error for a client that sent `acr_values`.
        WrongAcr,
        /// No `acr`; an error for a client that sent `acr_values`.
        MissingAcr,
        /// `at_hash` belongs to another access token.
        WrongAtHash,
        /// Signed with a key that is not in the key set, under a `kid` that is not there either.
        UnknownKid,
        /// `kid` is that of another published key of the same algorithm.
        KeySwapped,
        /// No `kid`, although the key set holds several keys of that algorithm; signed with the newest.
        NoKidSeveralKeys,
        /// A correct logout token in the place of the ID token.
        LogoutTokenInstead,
        /// `iss` of the callback is another provider's.
        MixedUpIssuer,
        /// No `iss` in the callback, although the metadata promises one.
        MissingCallbackIss,
        /// `iss` twice in the callback, both correct.
        DuplicateCallbackIss,
        /// `state` of the callback is not the one sent.
        WrongState,
        /// The callback's code belongs to another transaction of the same client, and PKCE is not checked.
        CodeSwapped,
        /// `issuer` of the metadata is another provider's.
        DiscoveryWrongIssuer,
        /// The metadata offers PKCE with `plain` only.
        DiscoveryWithoutS256,
        /// 302 to another address that serves correct metadata.
        DiscoveryRedirect,
        /// 200 with HTML instead of metadata.
        DiscoveryNotJson,
        /// Correct metadata with 8 MiB of padding.
        DiscoveryHuge,
        /// The metadata comes after 45 seconds.
        DiscoverySlow,
        /// 500 instead of metadata.
        DiscoveryDown,
        /// 500 instead of the key set.
        JwksDown,
        /// A key set without keys.
        JwksEmpty,
        /// 500 instead of tokens.
        TokenDown,
        /// Correct tokens after 45 seconds.
        TokenSlow,
        /// 307 to another address that hands out correct tokens.
        TokenRedirect,
        /// 200 with HTML instead of tokens.
        TokenNotJson,
        /// Correct tokens with 8 MiB of padding.
        TokenHuge,
        /// An access token only.
        TokenWithoutIdToken,
        /// 400 `invalid_grant`, with markup in its description.
        TokenError,
        /// `sub` has 300 characters; the specification allows 255.
        LongSubject,
        /// `sid` holds NUL and a line break.
        ControlCharsInSid,
        /// *(display)* No `name`, and an `email` of 250 characters before the `@`.
        LongEmailNoName,
        /// *(display)* `name` has 100 000 characters.
        HugeName,
        /// *(display)* `name` holds NUL, line breaks, an escape sequence and a right-to-left override.
        ControlCharsInName,
    }
}

deviations! {
    /// What is wrong with a logout token. A correct client refuses each of them.
    LogoutFault {
        /// `alg` is `none` and the signature empty.
        AlgNone,
        /// The signature has one bit flipped.
        BadSignature,
        /// HS256, keyed with the client's secret.
        Hs256WithClientSecret,
        /// `typ` is `JWT` instead of `logout+jwt`.
        WrongTyp,
        /// No `events`.
        NoEvent,
        /// `events` names another event.
        WrongEvent,
        /// A `nonce`, which a logout token must not have.
        WithNonce,
        /// `aud` names another client.
        WrongAudience,
        /// `iss` is another provider's.
        WrongIssuer,
        /// `exp` was an hour ago.
        Expired,
        /// `iat` was an hour ago.
        OldIat,
        /// `iat` is in an hour.
        FutureIat,
        /// No `jti`.
        MissingJti,
        /// Neither `sub` nor `sid`.
        NoSubNoSid,
        /// `sid` holds NUL and a line break.
        ControlCharsInSid,
        /// `jti` has 300 characters.
        LongJti,
        /// A correct ID token in the place of the logout token.
        IdTokenInstead,
    }
}
