//! What is played: three cardholders, and everything that can become of a one-time number.

#![allow(clippy::inconsistent_digit_grouping, reason = "cents stand apart from dollars")]

use std::time::Duration;

use mayfly_card::{Currency, Pan, Prefix};
use mayfly_core::{AccountId, Name};
use mayfly_iso8583::{De, MessageBuilder};
use mayfly_lab::Card;
use mayfly_server::protocol::{
    Account, AccountLimit, AdminRequest, IssueNumber, NumberControls, OpenProgramme, TermsAsked,
};

use super::report::Report;
use super::till::{
    Exchange, Till, card as card_of, minor, now_ms, universal, with_wrong_cvc2, with_wrong_date,
};
use crate::admin::{Admin, answered};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Tone};

/// The number that everybody of the demonstration's programme shares.
const UNIVERSAL_PAYLOAD: &str = "456940000000000";
/// How long the number is good that is let expire.
const SHORT_LIFETIME_S: u64 = 1;

/// Whoever takes part.
pub(crate) struct Cast {
    /// Pays on credit.
    pub(crate) anna: AccountId,
    /// Has paid in 100.00.
    pub(crate) ben: AccountId,
    /// Pays on credit.
    pub(crate) cleo: AccountId,
    universal: Pan,
}

/// The stage: who asks, who is asked, and what came of it.
pub(crate) struct Stage {
    /// The operator.
    pub(crate) admin: Admin,
    /// The acquirer.
    pub(crate) till: Till,
    /// What came of it.
    pub(crate) report: Report,
    /// Where it is told.
    pub(crate) output: Output,
}

/// Opens an issuer, a programme and three accounts.
pub(crate) fn set_up(admin: &mut Admin, currency: Currency) -> Outcome<Cast> {
    let issuer = answered!(admin.ask(AdminRequest::OpenIssuer { name: name("Demo Bank")? })?, Issuer)?.id;
    let prefix = Prefix::parse("456940").map_err(|error| Failure::Refused(error.to_string()))?;
    let universal =
        Pan::with_check_digit(UNIVERSAL_PAYLOAD).map_err(|error| Failure::Refused(error.to_string()))?;
    let programme = OpenProgramme {
        issuer,
        name: name("One-time numbers")?,
        terms: TermsAsked::standard(prefix),
        universal: Some(universal.clone()),
    };
    answered!(admin.ask(AdminRequest::OpenProgramme(Box::new(programme)))?, Programme)?;
    let mut open = |limit| -> Outcome<AccountId> {
        let request = AdminRequest::OpenAccount { issuer, currency, limit };
        Ok(answered!(admin.ask(request)?, Account)?.id)
    };
    let anna = open(AccountLimit::Credit { minor: 500_00 })?;
    let ben = open(AccountLimit::Prepaid)?;
    let cleo = open(AccountLimit::Credit { minor: 1_000_00 })?;
    answered!(admin.ask(AdminRequest::Fund { account: ben, minor: 100_00 })?, Account)?;
    Ok(Cast { anna, ben, cleo, universal })
}

/// What something is called.
pub(crate) fn name(text: &str) -> Outcome<Name> {
    Name::parse(text).map_err(|_| Failure::Refused("the demonstration's own values are wrong".into()))
}

impl Stage {
    /// Plays everything that can become of one-time numbers.
    pub(crate) fn play(&mut self, cast: &Cast) -> Outcome {
        let sign_on = self.till.register.sign_on(now_ms());
        self.step("the acquirer signs on", "00", &sign_on)?;
        self.act("one-time numbers")?;
        self.one_purchase(cast)?;
        self.wrong_proofs(cast)?;
        self.limits_and_funds(cast)?;
        self.after_the_purchase(cast)?;
        self.checked_first(cast)?;
        self.too_late(cast)
    }

    /// A number is good for one purchase, and a repeat is no second one.
    fn one_purchase(&mut self, cast: &Cast) -> Outcome {
        let card = self.issue(cast.anna, |_| {})?;
        let purchase = self.till.at("BOOKS-4-YOU")?.authorisation(now_ms(), &card, minor(24_98));
        let first = self.step("Anna buys a book", "00", &purchase)?;
        let before = self.account(cast.anna)?;
        let repeat = self.till.register.repeat(&purchase);
        let again = self.step("the same message again (0101): the same answer", "00", &repeat)?;
        let after = self.account(cast.anna)?;
        self.report
            .require("same approval code", first.approval.is_some() && first.approval == again.approval);
        self.report.require("nothing changed", before.balance == after.balance && before.held == after.held);
        let other = self.till.at("BOOKS-4-YOU")?.authorisation(now_ms(), &card, minor(24_98));
        self.step("the same number for a second purchase", "05", &other)?;
        Ok(())
    }

    /// Whatever proof is missing, it looks the same from outside; and the number is not used up by it.
    fn wrong_proofs(&mut self, cast: &Cast) -> Outcome {
        let card = self.issue(cast.anna, |_| {})?;
        for (title, card) in [
            ("a wrong CVC2", with_wrong_cvc2(&card)),
            ("a wrong expiration date", with_wrong_date(&card)),
            ("the universal number alone", universal(&cast.universal, &card)),
        ] {
            let guess = self.till.at("SHOES-R-US")?.authorisation(now_ms(), &card, minor(10_00));
            self.step(title, "05", &guess)?;
        }
        let purchase = self.till.at("SHOES-R-US")?.authorisation(now_ms(), &card, minor(10_00));
        self.step("everything right: the wrong tries used nothing up", "00", &purchase)?;
        Ok(())
    }

    /// What a number may spend, and what there is; and a reversal gives it back.
    fn limits_and_funds(&mut self, cast: &Cast) -> Outcome {
        let limited = self.issue(cast.anna, |number| number.controls.amount_max_minor = Some(50_00))?;
        let large = self.till.at("GADGETS")?.authorisation(now_ms(), &limited, minor(50_01));
        self.step("more than the number may spend", "61", &large)?;
        let card = self.issue(cast.ben, |_| {})?;
        let too_much = self.till.at("GADGETS")?.authorisation(now_ms(), &card, minor(100_01));
        self.step("more than Ben has", "51", &too_much)?;
        let purchase = self.till.at("GADGETS")?.authorisation(now_ms(), &card, minor(60_00));
        self.step("Ben buys for less", "00", &purchase)?;
        let available = self.account(cast.ben)?.available.minor;
        self.report.require("60.00 are held", available == 40_00);
        let reversal = self.till.register.reversal(now_ms(), &purchase, None);
        self.step("the shop reverses it", "00", &reversal)?;
        let available = self.account(cast.ben)?.available.minor;
        self.report.require("the money is back", available == 100_00);
        Ok(())
    }

    /// A part is completed; money comes back to a number that was used long ago.
    fn after_the_purchase(&mut self, cast: &Cast) -> Outcome {
        let card = self.issue(cast.cleo, |_| {})?;
        let authorised = self.till.at("GARDEN-CO")?.authorisation(now_ms(), &card, minor(80_00));
        self.step("Cleo orders two things", "00", &authorised)?;
        let completion = self.till.register.completion(now_ms(), &authorised, minor(30_00));
        self.step("one of them is sent and charged", "00", &completion)?;
        let account = self.account(cast.cleo)?;
        self.report.require(
            "30.00 charged, 50.00 held",
            (account.balance.minor, account.held.minor) == (-80_00, 50_00),
        );
        let refund = self.till.register.refund_of_card(now_ms(), &card, minor(12_00));
        self.step("a part of it is refunded, to the used number", "00", &refund)?;
        let account = self.account(cast.cleo)?;
        self.report.require("12.00 are back", account.balance.minor == -68_00);
        Ok(())
    }

    /// A check tells that the number is good, and does not use it up.
    fn checked_first(&mut self, cast: &Cast) -> Outcome {
        let card = self.issue(cast.ben, |_| {})?;
        let check = self.till.at("STREAMING")?.authorisation(now_ms(), &card, minor(0));
        self.step("an account check: nothing is used up", "00", &check)?;
        let purchase = self.till.at("STREAMING")?.sale(now_ms(), &card, minor(9_99));
        self.step("then the purchase, booked at once", "00", &purchase)?;
        Ok(())
    }

    /// A number whose time is over.
    fn too_late(&mut self, cast: &Cast) -> Outcome {
        let card = self.issue(cast.cleo, |number| number.lifetime_s = Some(SHORT_LIFETIME_S))?;
        std::thread::sleep(Duration::from_secs(SHORT_LIFETIME_S) + Duration::from_millis(100));
        let late = self.till.at("KIOSK")?.authorisation(now_ms(), &card, minor(5_00));
        self.step("a number that was good for one second, too late", "05", &late)?;
        Ok(())
    }

    /// Says what comes now.
    pub(crate) fn act(&mut self, title: &str) -> Outcome {
        self.report.flush(self.output)?;
        if self.output.is_json() {
            return Ok(());
        }
        self.output.line(format!("{}\n", self.output.tone(Tone::Strong, title)))
    }

    /// Sends a message, and notes what should come of it and what did.
    pub(crate) fn step(
        &mut self,
        title: &'static str,
        expected: &'static str,
        message: &MessageBuilder,
    ) -> Outcome<Exchange> {
        self.report.flush(self.output)?;
        let stan = message.text(De::STAN).unwrap_or_default().to_owned();
        let exchange = self.till.ask(message)?;
        self.report.add(title, expected, stan, &exchange);
        Ok(exchange)
    }

    fn issue(&mut self, account: AccountId, adjust: impl FnOnce(&mut IssueNumber)) -> Outcome<Card> {
        let mut request = IssueNumber {
            account,
            programme: None,
            uses: None,
            lifetime_s: None,
            controls: NumberControls::default(),
        };
        adjust(&mut request);
        let issued = answered!(self.admin.ask(AdminRequest::IssueNumber(Box::new(request)))?, Issued)?;
        card_of(&issued)
    }

    fn account(&mut self, account: AccountId) -> Outcome<Account> {
        answered!(self.admin.ask(AdminRequest::ShowAccount { account })?, Account)
    }
}
