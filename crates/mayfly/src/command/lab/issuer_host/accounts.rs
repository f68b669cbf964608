//! The file with the cardholders' accounts.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mayfly_card::{Currency, Expiry, Pan};
use mayfly_lab::issuer::Account;
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// The longest file that is read, in bytes: about a million accounts.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Whoever is not the file's owner.
const OTHERS: u32 = 0o077;
/// What stands in a line, and may stand above the first one.
const COLUMNS: &str = "number,expiry,currency,funds";

/// Reads it.
pub(super) fn read(path: &Path) -> Outcome<Vec<(Pan, Account)>> {
    let name = path.display();
    let failed = |error| Failure::unreachable(format!("{name} can't be read"), error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(Failure::Usage(format!("{name} is no file with accounts, or longer than 64 MiB")));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(Failure::Refused(format!(
            "{name} has card numbers in it and mode {mode:04o}, so that its group or others can use it; run \
             `chmod 600 {name}`"
        )));
    }
    // As long as it will be: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(metadata.len() as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    parse(&text).map_err(|why| Failure::Usage(format!("{name}, {why}")))
}

/// One account a line. What is wrong is said without what stands there, which may be a card number.
fn parse(text: &str) -> Result<Vec<(Pan, Account)>, String> {
    let mut accounts = Vec::new();
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || at == 0 && line == COLUMNS {
            continue;
        }
        accounts.push(account(line).map_err(|why| format!("line {}: {why}", at + 1))?);
        lines.push(at + 1);
    }
    let mut numbers: Vec<_> = accounts.iter().map(|(pan, _)| pan.as_str()).zip(lines).collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if let [(first, _), (second, line)] = pair
            && first == second
        {
            return Err(format!("line {line}: this number stands further up, too"));
        }
    }
    if accounts.is_empty() {
        return Err(format!("there is no account in it; write {COLUMNS} on each line"));
    }
    Ok(accounts)
}

fn account(line: &str) -> Result<(Pan, Account), String> {
    let mut columns = line.split(',').map(str::trim);
    let (Some(number), Some(expiry), Some(currency), Some(funds), None) =
        (columns.next(), columns.next(), columns.next(), columns.next(), columns.next())
    else {
        return Err(format!("there are not four columns; write {COLUMNS}"));
    };
    let pan = Pan::parse(number).map_err(|error| error.to_string())?;
    let date = expiry.split_once('/').filter(|(month, year)| (month.len(), year.len()) == (2, 2));
    let date = date.and_then(|(month, year)| Expiry::parse_mmyy(&format!("{month}{year}")).ok());
    let expiry = date.ok_or("the expiration date is none; write month and year, as in 05/28")?;
    let currency =
        Currency::parse_alphabetic(currency).ok_or("that is no currency; write USD, for example")?;
    let funds =
        currency.parse_amount(funds).map_err(|_| "the funds are no amount in the currency; write 1000.00")?;
    Ok((pan, Account { expiry, currency, funds, blocked: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: &str = "4761739001010119";

    #[test]
    fn a_line_is_an_account() {
        let text =
            format!("{COLUMNS}\n# Dora\n\n{NUMBER}, 12/29, USD, 1000.00\n5412345678901232,05/28,JPY,7\r\n");
        let accounts = parse(&text).unwrap();
        let read: Vec<_> = accounts
            .iter()
            .map(|(pan, account)| (pan.as_str(), account.expiry.mmyy(), account.funds.value()))
            .collect();
        assert_eq!(read, [(NUMBER, "1229".to_owned(), 100_000), ("5412345678901232", "0528".to_owned(), 7)]);
        assert!(accounts.iter().all(|(_, account)| !account.blocked));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_number() {
        for (line, expected) in [
            (format!("{NUMBER},12/29,USD"), "four columns"),
            (format!("{NUMBER},12/29,USD,1,2"), "four columns"),
            ("4761739001010118,12/29,USD,1".to_owned(), "check digit"),
            (format!("{NUMBER},1229,USD,1"), "05/28"),
            (format!("{NUMBER},13/29,USD,1"), "05/28"),
            (format!("{NUMBER},12/29,XXX,1"), "currency"),
            (format!("{NUMBER},12/29,USD,{NUMBER}x"), "amount"),
            (format!("{NUMBER},12/29,USD,1\n{NUMBER},12/29,USD,1"), "line 2: this number"),
            (String::new(), "no account"),
        ] {
            let why = parse(&line).unwrap_err();
            assert!(why.contains(expected) && !why.contains("476173"), "{line}: {why}");
        }
    }
}
