//! Where an issuer's console is: the page on which its cardholders log in when a shop got their universal number.

use mayfly_core::{IssuerId, ProgrammeId};

use super::audit::Entry;
use super::web_address::WebAddress;
use super::{Directory, DirectoryError, Writing, ms};
use crate::sql::values;

pub(super) const CREATE: &str = "
CREATE TABLE consoles (
    programme INTEGER PRIMARY KEY,
    issuer INTEGER NOT NULL,
    url TEXT NOT NULL,
    set_ms INTEGER NOT NULL
) STRICT;";

const FIND: &str = "SELECT url FROM consoles WHERE programme = ? AND issuer = ?";
const SET: &str = "INSERT INTO consoles (programme, issuer, url, set_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT (programme) DO UPDATE SET issuer = excluded.issuer, url = excluded.url, set_ms = excluded.set_ms";
const REMOVE: &str = "DELETE FROM consoles WHERE programme = ? AND issuer = ?";

impl Directory {
    /// Where the console of a programme of `issuer` is, if it is known. Another's is not.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn console(
        &self,
        issuer: IssuerId,
        programme: ProgrammeId,
    ) -> Result<Option<WebAddress>, DirectoryError> {
        let values = values![programme.0 as i64, issuer.0 as i64];
        self.read(|sql| sql.one(FIND, values, |cells| cells.text(WebAddress::parse)))
    }
}

impl Writing<'_> {
    /// Says where the console of a programme of `issuer` is; none: nowhere. That the programme is the issuer's own is
    /// for the caller to check: the engine knows it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn set_console(
        &self,
        issuer: IssuerId,
        programme: ProgrammeId,
        console: Option<&WebAddress>,
    ) -> Result<(), DirectoryError> {
        let (at, whose, set_ms) = (programme.0 as i64, issuer.0 as i64, ms(self.now_ms()));
        match console {
            Some(url) => self.sql().run(SET, values![at, whose, url.as_str(), set_ms])?,
            None => self.sql().run(REMOVE, values![at, whose])?,
        };
        let detail = serde_json::json!({ "url": console.map(WebAddress::as_str) });
        let subject = programme.to_string();
        self.audit(Entry { action: "programme.console_set", subject: &subject, issuer: Some(issuer), detail })
            .map(|_| ())
    }
}
