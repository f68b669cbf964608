//! Why a connection to an issuer host ended.

use crate::reasons::reasons;

reasons! {
    /// Why a connection to an issuer host was closed.
    Ended:
    /// The host closed it.
    ByHost => "by-host", "the host closed it";
    /// It broke.
    Broken => "broken", "it broke";
    /// The host refused the sign-on.
    SignOnRefused => "sign-on-refused", "the host refused the sign-on";
    /// The host did not answer the sign-on.
    NoSignOn => "no-sign-on", "the host did not answer the sign-on in time";
    /// The host answered an echo with something else than 00.
    EchoRefused => "echo-refused", "the host did not accept an echo";
    /// The host did not answer an echo.
    Silent => "silent", "the host did not answer an echo in time";
    /// What came in is no message: not even its length, or its MTI, could be read.
    Unreadable => "unreadable", "what came in is no message of this dialect";
    /// A message is longer than allowed.
    TooLong => "too-long", "a message is longer than allowed";
    /// The rest of a message did not come.
    HalfMessage => "half-message", "the rest of a message did not come in time";
    /// The host did not read what was sent.
    NotReading => "not-reading", "the host did not read what was sent in time";
    /// The link stopped.
    Stopping => "stopping", "the link stops";
}
