//! Who calls, and what he may do.
//!
//! A handler names who may call it by the type of its first argument: [`Operator`], [`Issuer`], [`Reader`] and so on. There
//! is no other way to the office and the directory, and each of them shows its holder's things only.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request};
use mayfly_core::IssuerId;
use mayfly_identity::token::{Token, TokenKind};
use mayfly_store::directory::{KeyId, MerchantEntryId, Role};

use crate::idempotency::Sender;
use crate::problem::{Code, Problem};
use crate::scope::Scope;
use crate::shared::Shared;

/// Whose API key came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The key.
    pub(crate) key: KeyId,
    /// What it lets its holder do.
    pub(crate) role: Role,
    /// On whose things; everybody's if none.
    pub(crate) tenant: Option<IssuerId>,
    /// For which merchant's payments; none for whoever is no merchant.
    pub(crate) merchant: Option<MerchantEntryId>,
}

/// Which roles may call a route.
pub(crate) trait Allowed: Send + Sync + 'static {
    /// These.
    const ROLES: &'static [Role];
}

/// Who runs the server.
pub(crate) enum Operators {}

impl Allowed for Operators {
    const ROLES: &'static [Role] = &[Role::Operator];
}

/// Who changes an issuer's things.
pub(crate) enum Issuers {}

impl Allowed for Issuers {
    const ROLES: &'static [Role] = &[Role::Operator, Role::Issuer];
}

/// Who looks at an issuer's things.
pub(crate) enum Readers {}

impl Allowed for Readers {
    const ROLES: &'static [Role] = &[Role::Operator, Role::Issuer, Role::Auditor];
}

/// Who changes what is for the issuer alone: whoever runs the server has no business there.
pub(crate) enum Owners {}

impl Allowed for Owners {
    const ROLES: &'static [Role] = &[Role::Issuer];
}

/// Who looks at it.
pub(crate) enum OwnReaders {}

impl Allowed for OwnReaders {
    const ROLES: &'static [Role] = &[Role::Issuer, Role::Auditor];
}

/// Who takes payments: a merchant, or a gateway for all of an issuer's.
pub(crate) enum Sellers {}

impl Allowed for Sellers {
    const ROLES: &'static [Role] = &[Role::Merchant, Role::Gateway];
}

/// A caller whose role is one of those that are allowed, and what he sees.
pub(crate) struct By<A> {
    scope: Scope,
    allowed: PhantomData<A>,
}

/// Who runs the server.
pub(crate) type Operator = By<Operators>;
/// Who changes an issuer's things: the issuer, or who runs the server.
pub(crate) type Issuer = By<Issuers>;
/// Who looks at an issuer's things: the issuer, its auditor, or who runs the server.
pub(crate) type Reader = By<Readers>;

/// Who changes what is for the issuer alone.
pub(crate) type Owner = By<Owners>;
/// Who looks at what is for the issuer and its auditor alone.
pub(crate) type OwnReader = By<OwnReaders>;
/// Who takes payments.
pub(crate) type Seller = By<Sellers>;

impl<A> Deref for By<A> {
    type Target = Scope;

    fn deref(&self) -> &Scope {
        &self.scope
    }
}

impl<A: Allowed> FromRequestParts<Arc<Shared>> for By<A> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let caller = authenticate(&parts.headers, shared).await?;
        // Merchants' keys once named no merchant: such a one is good for nothing.
        let is_for_nobody = caller.role == Role::Merchant && caller.merchant.is_none();
        if is_for_nobody || !A::ROLES.contains(&caller.role) {
            return Err(Problem::new(Code::RoleNotAllowed));
        }
        let tenant = caller.tenant.map(|issuer| issuer.to_string()).unwrap_or_default();
        let merchant = caller.merchant.map(|merchant| format!(" {merchant}")).unwrap_or_default();
        parts.extensions.insert(Sender(format!("{tenant} {}{merchant}", caller.role)));
        Ok(Self { scope: Scope::new(shared.clone(), caller), allowed: PhantomData })
    }
}

/// Whose key it is. It is asked for each time, so that a revoked key ends with the answer to its revocation.
async fn authenticate(headers: &HeaderMap, shared: &Shared) -> Result<Caller, Problem> {
    let unknown = || Problem::new(Code::Unauthenticated);
    let hash = bearer(headers, TokenKind::ApiKey).ok_or_else(unknown)?.hash();
    let now_ms = shared.clock.now_ms();
    let found = shared.directory.ask(move |directory| directory.find_key(&hash, now_ms)).await?;
    let key = found.ok_or_else(unknown)?;
    Ok(Caller { key: key.id, role: key.role, tenant: key.issuer, merchant: key.merchant })
}

/// The token that came with a request, if it is one of that kind.
pub(crate) fn bearer(headers: &HeaderMap, kind: TokenKind) -> Option<Token> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let value = sent.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if sent.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    Token::parse(kind, token.trim_start_matches(' ')).ok()
}
