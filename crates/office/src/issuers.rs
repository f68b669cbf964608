//! Issuers and programmes.

use std::fmt;

use mayfly_card::{Ascii, Layout, LayoutError, Pan, Prefix};
use mayfly_core::state::{Issuer, Programme};
use mayfly_core::{
    Answer, DecisionHook, HolderDigits, HostTerms, IssuerId, LimitError, Name, OnceKey, Operation,
    ProgrammeId, Refusal, Terms, Universal,
};

use crate::{Items, Office, OfficeError, Part, numbered};

/// Why a programme can't have these terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsError {
    /// Prefix and layout.
    Layout(LayoutError),
    /// The universal number begins with other digits, or has another length.
    Universal,
    /// A number that somebody else drew is none of the programme's.
    NotOfProgramme,
    /// A term of the check site.
    Limit(LimitError),
}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::NotOfProgramme => mayfly_engine::DeskError::NotOfProgramme.fmt(f),
            Self::Universal => {
                f.write_str("the universal number must begin with the programme's prefix and have its length")
            }
        }
    }
}

impl std::error::Error for TermsError {}

/// How many digits a number has unless a layout says otherwise.
const DIGITS: u8 = 16;

/// The layout of a programme that names none: after the prefix, as many drawn digits as make 16 with the check
/// digit.
pub fn standard_layout(prefix: &Prefix) -> Result<Layout, LayoutError> {
    // A prefix has 2 to 14 digits.
    let digits = prefix.as_str().len() as u8;
    Layout::new(1, digits.saturating_sub(1), 0, DIGITS.saturating_sub(digits + 1), 0)
}

impl Office {
    /// A new issuer.
    ///
    /// # Errors
    /// If its name is taken, or nothing can be written.
    pub async fn open_issuer(
        &self,
        name: Name,
        once: Option<OnceKey>,
    ) -> Result<(IssuerId, Issuer), OfficeError> {
        match self.operate(Operation::OpenIssuer { name }, once).await? {
            Answer::Issuer(id) => Ok((id, Issuer { name, hook: None, host: None })),
            _ => Err(OfficeError::Stopped),
        }
    }

    /// An issuer.
    ///
    /// # Errors
    /// If there is none of that id.
    pub async fn issuer(&self, id: IssuerId) -> Result<Issuer, OfficeError> {
        let found = self.look(move |partitions| partitions.register().issuer(id).cloned()).await?;
        found.ok_or(OfficeError::Refused(Refusal::NoIssuer(id)))
    }

    /// Has an issuer asked before its accounts pay, or not any more.
    ///
    /// # Errors
    /// If there is no such issuer, the time limit is out of bounds, or nothing can be written.
    pub async fn set_hook(
        &self,
        issuer: IssuerId,
        hook: Option<DecisionHook>,
        once: Option<OnceKey>,
    ) -> Result<(), OfficeError> {
        self.operate(Operation::SetHook { issuer, hook }, once).await.map(|_| ())
    }

    /// Sets by which terms an issuer's host is asked; by the standard ones if none.
    ///
    /// # Errors
    /// If there is no such issuer, the time limit is out of bounds, or nothing can be written.
    pub async fn set_host(
        &self,
        issuer: IssuerId,
        host: Option<HostTerms>,
        once: Option<OnceKey>,
    ) -> Result<(), OfficeError> {
        self.operate(Operation::SetHost { issuer, host }, once).await.map(|_| ())
    }

    /// Issuers in the order in which they were opened.
    ///
    /// # Errors
    /// If the engine can't be asked.
    pub async fn issuers(
        &self,
        part: Part<IssuerId>,
    ) -> Result<Items<(IssuerId, Issuer), IssuerId>, OfficeError> {
        let found = self.look(move |partitions| {
            let skip = part.from.map_or(0, |id| id.0.saturating_sub(1)) as usize;
            let found = numbered(partitions.register().issuers(), skip, IssuerId).take(part.limit + 1);
            found.map(|(id, issuer)| (id, issuer.clone())).collect()
        });
        Ok(Items::cut(found.await?, part.limit, |(id, _)| *id))
    }

    /// A new programme. Its universal number is kept as its index and last four digits only, and, if its numbers
    /// include a part of it, as that part: what `terms` says of that part's digits does not count.
    ///
    /// # Errors
    /// If its terms are out of bounds or don't fit each other, its name or prefix is taken, the keys of its BIN can't be had,
    /// or nothing can be written. Then nothing is opened.
    pub async fn open_programme(
        &self,
        issuer: IssuerId,
        name: Name,
        mut terms: Terms,
        universal: Option<&Pan>,
        once: Option<OnceKey>,
    ) -> Result<(ProgrammeId, Programme), OfficeError> {
        terms.universal = match universal {
            Some(pan) if terms.could_have(pan) => {
                Some(Universal { index: self.catalogue.index(pan), last_four: pan.last_four() })
            }
            Some(_) => return Err(OfficeError::Terms(TermsError::Universal)),
            None => None,
        };
        if let (HolderDigits::Universal(part), Some(universal)) = (&mut terms.holder, universal) {
            let fields =
                terms.layout.split(universal).map_err(TermsError::Layout).map_err(OfficeError::Terms)?;
            *part = Ascii::parse(fields.holder).map_err(|_| OfficeError::Terms(TermsError::Universal))?;
        }
        let (catalogue, prefix) = (self.catalogue.clone(), terms.prefix);
        // Whoever has the root key may take a while to answer, or be away.
        let prepared = tokio::task::spawn_blocking(move || catalogue.prepare(&prefix)).await;
        prepared.map_err(|_| OfficeError::Stopped)?.map_err(OfficeError::Keys)?;
        let operation = Operation::OpenProgramme { issuer, name, terms: terms.clone() };
        match self.operate(operation, once).await? {
            Answer::Programme(id) => Ok((id, Programme { issuer, name, terms, closed: false })),
            _ => Err(OfficeError::Stopped),
        }
    }

    /// A programme.
    ///
    /// # Errors
    /// If there is none of that id.
    pub async fn programme(&self, id: ProgrammeId) -> Result<Programme, OfficeError> {
        let found = self.look(move |partitions| partitions.register().programme(id).cloned()).await?;
        found.ok_or(OfficeError::Refused(Refusal::NoProgramme(id)))
    }

    /// Closes a programme, or opens it again: closed, no numbers are issued by its terms, and those that were are good
    /// until they are over.
    ///
    /// # Errors
    /// If there is none of that id, or nothing can be written.
    pub async fn close_programme(
        &self,
        programme: ProgrammeId,
        closed: bool,
        once: Option<OnceKey>,
    ) -> Result<Programme, OfficeError> {
        self.operate(Operation::CloseProgramme { programme, closed }, once).await?;
        self.programme(programme).await
    }

    /// Whether a number could be one of a programme: it begins and is as long as that says.
    pub fn could_be_ours(&self, number: &Pan) -> bool {
        let programme = self.catalogue.programme_of(number).and_then(|id| self.catalogue.programme(id));
        programme.is_some_and(|entry| entry.programme.terms.layout.length() == number.length())
    }

    /// Whose universal number that is, if it is one.
    ///
    /// # Errors
    /// If the engine can't be asked.
    pub async fn issuer_of_universal(&self, number: &Pan) -> Result<Option<IssuerId>, OfficeError> {
        let index = self.catalogue.index(number);
        self.look(move |partitions| {
            let register = partitions.register();
            register.programme(register.universal(index)?).map(|programme| programme.issuer)
        })
        .await
    }

    /// Programmes in the order in which they were opened: all, or an issuer's.
    ///
    /// # Errors
    /// If the engine can't be asked.
    pub async fn programmes(
        &self,
        issuer: Option<IssuerId>,
        part: Part<ProgrammeId>,
    ) -> Result<Items<(ProgrammeId, Programme), ProgrammeId>, OfficeError> {
        let found = self.look(move |partitions| {
            let register = partitions.register();
            if let Some(issuer) = issuer.filter(|id| register.issuer(*id).is_none()) {
                return Err(OfficeError::Refused(Refusal::NoIssuer(issuer)));
            }
            let skip = part.from.map_or(0, |id| id.0.saturating_sub(1)) as usize;
            let of_issuer = |programme: &Programme| issuer.is_none_or(|issuer| programme.issuer == issuer);
            let found =
                numbered(register.programmes(), skip, ProgrammeId).filter(|(_, found)| of_issuer(found));
            Ok(found.take(part.limit + 1).map(|(id, found)| (id, found.clone())).collect())
        });
        Ok(Items::cut(found.await??, part.limit, |(id, _)| *id))
    }
}

impl<T, Id> Items<T, Id> {
    /// Of one item more than there is room for: it says where the next part begins.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, id: impl FnOnce(&T) -> Id) -> Self {
        let next = items.get(limit).map(id);
        items.truncate(limit);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_makes_sixteen_digits() {
        for (prefix, expected) in [("456940", "1+5+0+9+0"), ("45694012", "1+7+0+7+0"), ("45", "1+1+0+13+0")] {
            let layout = standard_layout(&Prefix::parse(prefix).unwrap()).unwrap();
            assert_eq!((layout.to_string().as_str(), layout.length()), (expected, 16));
        }
    }
}
