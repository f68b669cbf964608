//! `mayfly bench`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mayfly_bench::{BenchError, Part, Plan, make_load, run};

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Measure what the engine and the server can do, beside the limit of the same machine
///
/// Makes a directory of its own in --dir and removes it. Numbers are issued first, through the engine; then the
/// engine alone is driven, then the server over TCP from a second process. Ratios to a plain file that is synced
/// for each group of records, measured in the same run, say more than rates: machines differ, and shared ones
/// from minute to minute.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How many active numbers there are
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    credentials: usize,
    /// How many uses each of them has
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    uses: u32,
    /// How long a peak is driven, in seconds
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    peak: u64,
    /// How long a sustained load is driven, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    sustained: u64,
    /// Authorisations a second that are offered to the engine in the sustained run
    #[arg(long, default_value_t = 120_000, value_name = "RATE")]
    sustained_rate: u32,
    /// The same for the server over TCP
    #[arg(long, default_value_t = 65_000, value_name = "RATE")]
    sustained_rate_tcp: u32,
    /// The same for the engine with its data in PostgreSQL
    #[arg(long, default_value_t = 40_000, value_name = "RATE")]
    sustained_rate_store: u32,
    /// A PostgreSQL database of the benchmark's own, to keep the data in and to compare with (schemas mayfly_… are made
    /// in it and removed)
    #[arg(long, value_name = "URL", env = "MAYFLY_BENCH_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
    /// What to measure: limit, engine, tcp, pairs, start, memory, cards, store, postgres
    #[arg(long, value_delimiter = ',', value_name = "PART", value_parser = part)]
    only: Vec<Part>,
    /// Compare the rate with so many and with so many active numbers, in turn
    #[arg(long, value_name = "FEW,MANY", value_parser = sizes)]
    sizes: Option<(usize, usize)>,
    /// How often --sizes measures each
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
    /// Where to make the directory: on the disk that is to be measured
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// The second process of the benchmark
    #[arg(long, hide = true, value_name = "ORDERS")]
    load: Option<String>,
}

fn part(text: &str) -> Result<Part, String> {
    Part::ALL
        .into_iter()
        .find(|part| part.name() == text)
        .ok_or_else(|| format!("choose from {}", Part::ALL.map(Part::name).join(", ")))
}

fn sizes(text: &str) -> Result<(usize, usize), String> {
    let two = text
        .split_once(',')
        .and_then(|(few, many)| Some((few.trim().parse().ok()?, many.trim().parse().ok()?)));
    two.filter(|(few, many)| *few > 0 && *many > 0)
        .ok_or_else(|| "two numbers, like 100000,10000000".to_owned())
}

impl Bench {
    /// Runs it.
    pub(crate) fn run(self, output: Output) -> Outcome {
        if let Some(orders) = &self.load {
            return make_load(orders, std::io::stdout().lock()).map_err(failed);
        }
        if self.credentials == 0 || self.peak == 0 || self.sustained == 0 {
            return Err(Failure::Usage("--credentials, --peak and --sustained must be more than 0".into()));
        }
        let program =
            std::env::current_exe().map_err(|error| Failure::unreachable("this program's path", error))?;
        let parts = if self.only.is_empty() && self.sizes.is_none() { Part::ALL.to_vec() } else { self.only };
        let plan = Plan {
            directory: self.dir,
            credentials: self.credentials,
            uses: self.uses,
            peak: Duration::from_secs(self.peak),
            sustained: Duration::from_secs(self.sustained),
            sustained_rate: f64::from(self.sustained_rate.max(1)),
            sustained_rate_tcp: f64::from(self.sustained_rate_tcp.max(1)),
            sustained_rate_store: f64::from(self.sustained_rate_store.max(1)),
            postgres: self.postgres,
            parts,
            sizes: self.sizes.map(|(few, many)| (few, many, self.rounds as usize)),
            load_command: vec![program.to_string_lossy().into_owned(), "bench".into(), "--load".into()],
        };
        let spinner = output.spinner("starting");
        let report = run(&plan, |step| spinner.set_message(step.to_owned())).map_err(failed)?;
        spinner.finish_and_clear();
        output.either(&report, || report.table())
    }
}

fn failed(error: BenchError) -> Failure {
    Failure::unreachable("the benchmark", error)
}
