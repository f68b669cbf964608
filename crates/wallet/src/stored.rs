//! A wallet as bytes (postcard), to be sealed. What is secret is borrowed from, or written into, memory that is wiped.

use mayfly_card::{Expiry, Pan};
use mayfly_dynamic::{
    AppVersion, CardKey, CardNumber, Etsn, FieldOrigin, Mode, PseudoPan, ReferenceData, Tsn,
};
use mayfly_keys::{SEAL_PLAINTEXT_BYTES_MAX, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::card::{Card, CardId, OpenPurchase};
use crate::order::{Order, Wish};
use crate::wallet::{CARDS_MAX, SERVER_BYTES_MAX, Session, TOKEN_BYTES_MAX, Wallet};

#[derive(Serialize, Deserialize)]
struct StoredWallet<'a> {
    server: &'a str,
    #[serde(borrow)]
    session: Option<StoredSession<'a>>,
    #[serde(borrow)]
    cards: Vec<StoredCard<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredSession<'a> {
    token: &'a str,
    expires_unix_s: u64,
    refresh: &'a str,
    refresh_expires_unix_s: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredCard<'a> {
    id: &'a str,
    /// Whether the number is the card's own.
    own: bool,
    number: &'a [u8],
    expiry: Expiry,
    key: &'a [u8],
    version: AppVersion,
    tsn: Tsn,
    /// ACS, method, key.
    origin: Option<(u8, u8, u8)>,
    last: Option<StoredPurchase>,
}

#[derive(Serialize, Deserialize)]
struct StoredPurchase {
    wish: Wish,
    mode: Mode,
    etsn: Etsn,
    reference: ReferenceData,
    expires_unix_s: u64,
}

/// Writes a wallet; none if more is in it than can be sealed, or would be read again.
pub(crate) fn write(wallet: &Wallet) -> Option<Written> {
    let stored = StoredWallet {
        server: wallet.server(),
        session: wallet.session().map(|session| StoredSession {
            token: &session.token,
            expires_unix_s: session.expires_unix_s,
            refresh: &session.refresh,
            refresh_expires_unix_s: session.refresh_expires_unix_s,
        }),
        cards: wallet.cards().iter().map(StoredCard::of).collect(),
    };
    // Reserved whole at once: growing would leave copies of keys behind.
    let mut room = Zeroizing::new(vec![0; SEAL_PLAINTEXT_BYTES_MAX]);
    let length = postcard::to_slice(&stored, &mut room).ok()?.len();
    let written = Written { room, length };
    // Better not kept than kept and lost.
    read(written.expose()).map(|_| written)
}

/// The bytes of a wallet; wiped on drop.
pub(crate) struct Written {
    room: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Written {
    pub(crate) fn expose(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

/// Reads a wallet; none if the bytes are none.
pub(crate) fn read(bytes: &[u8]) -> Option<Wallet> {
    let (stored, rest): (StoredWallet<'_>, _) = postcard::take_from_bytes(bytes).ok()?;
    if !rest.is_empty() || stored.server.len() > SERVER_BYTES_MAX || stored.cards.len() > CARDS_MAX {
        return None;
    }
    let session = match stored.session {
        Some(session) => Some(session.read()?),
        None => None,
    };
    let cards = stored.cards.into_iter().map(StoredCard::read).collect::<Option<Vec<_>>>()?;
    let unique =
        cards.iter().enumerate().all(|(at, card)| cards[..at].iter().all(|other| other.id != card.id));
    unique.then(|| Wallet::from_parts(stored.server.to_owned(), session, cards))
}

impl StoredSession<'_> {
    fn read(self) -> Option<Session> {
        let Self { token, expires_unix_s, refresh, refresh_expires_unix_s } = self;
        let fits = token.len() <= TOKEN_BYTES_MAX && refresh.len() <= TOKEN_BYTES_MAX;
        let (token, refresh) = (token.to_owned(), refresh.to_owned());
        fits.then_some(Session { token, expires_unix_s, refresh, refresh_expires_unix_s })
    }
}

impl<'a> StoredCard<'a> {
    fn of(card: &'a Card) -> Self {
        Self {
            id: card.id.as_str(),
            own: matches!(card.number, CardNumber::Real(_)),
            number: card.number.pan().digits(),
            expiry: card.expiry,
            key: card.key.expose().expose(),
            version: card.version,
            tsn: card.tsn,
            origin: card.origin.map(|FieldOrigin { acs, method, key }| (acs, method, key)),
            last: card.last.as_ref().map(|open| StoredPurchase {
                wish: open.order.wish().clone(),
                mode: open.order.mode(),
                etsn: open.etsn,
                reference: open.reference,
                expires_unix_s: open.expires_unix_s,
            }),
        }
    }

    fn read(self) -> Option<Card> {
        let pan = Pan::parse(self.number).ok()?;
        let last = match self.last {
            Some(StoredPurchase { wish, mode, etsn, reference, expires_unix_s }) => {
                let order = Order::new(wish, mode).ok()?;
                Some(OpenPurchase { order, etsn, reference, expires_unix_s })
            }
            None => None,
        };
        Some(Card {
            id: CardId::parse(self.id).ok()?,
            number: if self.own {
                CardNumber::Real(pan)
            } else {
                CardNumber::Pseudo(PseudoPan::from_pan(pan).ok()?)
            },
            expiry: self.expiry,
            key: CardKey::from_secret(SecretKey::from_bytes(self.key.try_into().ok()?)),
            version: self.version,
            tsn: self.tsn,
            origin: self.origin.map(|(acs, method, key)| FieldOrigin { acs, method, key }),
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use mayfly_keys::{Random, RandomError};
    use proptest::prelude::*;

    use super::*;

    fn session() -> Session {
        let (token, refresh) = ("mfs_token".to_owned(), "mfr_token".to_owned());
        Session { token, expires_unix_s: 1, refresh, refresh_expires_unix_s: 2 }
    }

    fn card(id: &str) -> Card {
        Card {
            id: CardId::parse(id).unwrap(),
            number: CardNumber::Real(Pan::parse("5400001234567892").unwrap()),
            expiry: Expiry::parse_mmyy("1227").unwrap(),
            key: CardKey::from_secret(SecretKey::generate(&mut Sevens).unwrap()),
            version: AppVersion(1),
            tsn: Tsn(7),
            origin: Some(FieldOrigin { acs: 1, method: 1, key: 1 }),
            last: None,
        }
    }

    struct Sevens;

    impl Random for Sevens {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
            out.fill(7);
            Ok(())
        }
    }

    fn wallet(cards: Vec<Card>) -> Wallet {
        Wallet::from_parts("https://issuer.example".to_owned(), Some(session()), cards)
    }

    #[test]
    fn what_can_not_be_a_wallet_is_none() {
        let sound = write(&wallet(vec![card("num_1"), card("num_2")])).unwrap();
        assert_eq!(read(sound.expose()).unwrap().cards().len(), 2);
        assert!(read(&[sound.expose(), &[0]].concat()).is_none());

        let refused = |wallet: &Wallet| write(wallet).is_none();
        assert!(refused(&wallet(vec![card("num_1"), card("num_1")])));
        assert!(refused(&wallet((0..=CARDS_MAX).map(|at| card(&format!("num_{at}"))).collect())));
        let mut long = session();
        long.token = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert!(refused(&Wallet::from_parts(String::new(), Some(long), Vec::new())));
        assert!(refused(&Wallet::new("x".repeat(SERVER_BYTES_MAX + 1))));
        assert!(refused(&Wallet::new("x".repeat(SEAL_PLAINTEXT_BYTES_MAX))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn changed_bytes_are_read_without_a_panic(at in any::<prop::sample::Index>(), byte: u8, cut in 0usize..20) {
            let mut bytes = write(&wallet(vec![card("num_1")])).unwrap().expose().to_vec();
            let place = at.index(bytes.len());
            bytes[place] = byte;
            bytes.truncate(bytes.len() - cut);
            if let Some(wallet) = read(&bytes) {
                prop_assert!(write(&wallet).is_some());
            }
        }
    }
}
