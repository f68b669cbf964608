//! `mayfly lab forge`

use clap::Args;
use mayfly_core::scheme::dynamic::DynamicTerms;
use mayfly_dynamic::Months;
use mayfly_lab::forge::{DEVIATIONS_MAX, Line, Plan, run};
use serde_json::json;

use super::rand_seed;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Tone};
use crate::table::Table;

/// Attack the check site's MACs, and hold what falls against what was computed
///
/// A check site in memory, which decides with the server's own core, is attacked at many fresh cards for each way of
/// guessing. The attacker knows everything but keys. Beside the share of cards that fell stands the chance that was computed,
/// and how many standard deviations lie between them; if that is more than five anywhere, the exit code is 1.
#[derive(Debug, Args)]
pub(crate) struct Forge {
    /// How many fresh cards each attack is made on
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    cards: u64,
    /// Among how many months pseudo expiration dates lie, 12 to 120
    #[arg(long, value_delimiter = ',', default_value = "24,60,96,120", value_name = "M", value_parser = months)]
    months: Vec<Months>,
    /// How many purchases of a card are open, 0 to 8
    #[arg(long, value_delimiter = ',', default_value = "0,1,2,3,8", value_name = "N", value_parser = clap::value_parser!(u8).range(0..=8))]
    open: Vec<u8>,
    /// How many failed proofs lock a card
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    lock_after: u8,
    /// Where chance begins; drawn if not said, and printed
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

fn months(text: &str) -> Result<Months, String> {
    let months =
        text.trim().parse().ok().and_then(Months::new).filter(|months| *months >= Months::CHOSEN_MIN);
    months.ok_or_else(|| "12 to 120".to_owned())
}

impl Forge {
    /// Runs it.
    pub(crate) fn run(self, output: Output) -> Outcome {
        let Self { cards, months, open, lock_after, seed } = self;
        let seed = seed.unwrap_or_else(rand_seed);
        let terms = DynamicTerms { misses_max: lock_after, ..DynamicTerms::standard() };
        let plan = Plan { terms, months, open, cards, seed };
        let bar = output.progress("attacking", plan.attacks() as u64);
        let lines = run(&plan, |_| bar.inc(1));
        bar.finish_and_clear();
        let lines = lines.map_err(|error| Failure::Refused(error.to_string()))?;
        output.either(
            &json!({ "seed": seed, "lines": lines.iter().map(fields).collect::<Vec<_>>() }),
            || format!("seed {seed}, {cards} cards for each attack\n\n{}", table(&lines, output)),
        )?;
        let off: Vec<&Line> = lines.iter().filter(|line| !line.holds()).collect();
        match off.first() {
            None => Ok(()),
            Some(worst) => Err(Failure::Refused(format!(
                "{} of {} attacks are more than {DEVIATIONS_MAX} standard deviations from what was computed, the first of \
                 them {} / {}; seed {seed}",
                off.len(),
                lines.len(),
                worst.mode.name(),
                worst.attack.name()
            ))),
        }
    }
}

fn fields(line: &Line) -> serde_json::Value {
    json!({
        "mode": line.mode.name(),
        "attack": line.attack.name(),
        "months": line.months.count(),
        "open": line.open,
        "guesses": line.guesses,
        "cards": line.cards,
        "fell": line.fell,
        "measured": line.measured(),
        "computed": line.chance,
        "deviations": line.deviations(),
        "holds": line.holds(),
    })
}

fn table(lines: &[Line], output: Output) -> String {
    let mut table = Table::new([
        "MODE",
        "ATTACK",
        ">MONTHS",
        ">OPEN",
        ">GUESSES",
        ">FELL",
        ">MEASURED",
        ">COMPUTED",
        ">DEVIATIONS",
    ]);
    for line in lines {
        let deviations = format!("{:.1}", line.deviations());
        table.row([
            line.mode.name().to_owned(),
            line.attack.name().to_owned(),
            line.months.count().to_string(),
            line.open.to_string(),
            line.guesses.to_string(),
            line.fell.to_string(),
            percent(line.measured()),
            percent(line.chance),
            output.tone(if line.holds() { Tone::Good } else { Tone::Bad }, &deviations),
        ]);
    }
    table.lines()
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 1e-5 { format!("{share:.1e}") } else { format!("{:.3}%", share * 100.0) }
}
