//! Where cards are enrolled and wallets ask for ETSNs: computes what takes a card's key, and has the writer decide.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex, Pan};
use mayfly_core::scheme::dynamic::{DynamicTerms, MARGIN_MS};
use mayfly_core::{
    AccountId, Answer, Candidate, CardRef, ClaimNumber, Command, Controls, EtsnOpened, IssueNumber, NumberId,
    Once, OnceKey, Operation, Outcome, PartitionId, ProgrammeId, Refusal, TimeMs,
};
use mayfly_dynamic::{
    Answer as Said, AppVersions, CardNumber, CardStanding, ControlDigit, Conversion, Etsn, FieldOrigin, IssueError,
    Mode, Numbers, OpenEtsn, PseudoExpiry, PseudoPan, ReferenceData, ReferenceError, ReferencePolicy, RequestRefusal,
    SpecialBin, Tsn, VerificationRequest, issue, issue_for_field,
};
use mayfly_enrol::{EnrolError, Half, Point};
use mayfly_keys::{Mac, NumberIndex, Random, RandomError, SecretKey};

use super::{CardBook, Entry};
use crate::{Catalogue, Clock, Handle, Refused};
