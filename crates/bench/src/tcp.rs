//! The server over TCP: a listener in this process, the load in a second one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mayfly_card::{Expiry, MinorUnits, Pan};
use mayfly_iso8583::Dialect;
use mayfly_lab::load::{self, Summary};
use mayfly_lab::{Acceptor, Card, Register};
use mayfly_network::{Endpoint, Network};
use serde::{Deserialize, Serialize};

use crate::credentials::Credential;
use crate::drive::{Figures, Load};
use crate::rig::{BenchError, Rig};

/// How many connections.
const CONNECTIONS: usize = 64;
/// How long load is made before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
const DIALECT: &str = "ascii87";

/// What the second process is to do: its one argument, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Orders {
    /// Whom to ask.
    address: SocketAddr,
    /// Where the numbers are.
    numbers: std::path::PathBuf,
    /// How many connections.
    connections: usize,
    /// How many in flight on each.
    in_flight: usize,
    /// For how long, in seconds.
    seconds: f64,
    /// How many a second in all; as many as go, if none.
    rate: Option<f64>,
    /// What tells this run's references from another's.
    run: u32,
}

/// Serves the rig over TCP and has a second process drive it.
pub(crate) fn drive(
    rig: &Rig,
    credentials: &[Credential],
    load: Load,
    run: u32,
    command: &[String],
) -> Result<Figures, BenchError> {
    let directory = tempfile::tempdir()?;
    let numbers = directory.path().join("numbers");
    write_numbers(&numbers, credentials)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let dialect = Dialect::builtin(DIALECT).ok_or_else(|| BenchError("no such dialect".into()))?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let network = runtime
        .block_on(Network::start(
            &[Endpoint { address: any, dialect }],
            rig.handle.clone(),
            rig.catalogue.clone(),
            mayfly_network::Options::default(),
        ))
        .map_err(|error| BenchError(error.to_string()))?;
    let address = *network.addresses().first().ok_or_else(|| BenchError("nothing listens".into()))?;
    let orders = Orders {
        address,
        numbers: numbers.clone(),
        connections: CONNECTIONS,
        in_flight: load.in_flight / CONNECTIONS,
        seconds: load.run_for.as_secs_f64(),
        rate: load.rate,
        run,
    };
    let summary = second_process(command, &orders);
    runtime.block_on(network.stop());
    std::fs::remove_file(numbers)?;
    summary.map(|summary| figures(&summary))
}

fn second_process(command: &[String], orders: &Orders) -> Result<Summary, BenchError> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| BenchError("no command to make load with".into()))?;
    let output = Command::new(program)
        .args(arguments)
        .arg(serde_json::to_string(orders)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(BenchError(format!("the process that makes load ended with {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn figures(summary: &Summary) -> Figures {
    let ms = |us: u64| us as f64 / 1000.0;
    Figures {
        answers: summary.answered,
        approved: summary.codes.get("00").copied().unwrap_or(0),
        seconds: summary.seconds,
        rate: summary.per_second,
        p50_ms: ms(summary.latency_us.p50),
        p99_ms: ms(summary.latency_us.p99),
        p999_ms: ms(summary.latency_us.p999),
        max_ms: ms(summary.latency_us.max),
        stall_ms: summary.longest_gap_ms,
    }
}

/// The second process: makes the load that it was ordered to make, and says on its standard output what came of
/// it.
pub fn make_load(orders: &str, mut out: impl Write) -> Result<(), BenchError> {
    let orders: Orders = serde_json::from_str(orders)?;
    let dialect = Dialect::builtin(DIALECT).ok_or_else(|| BenchError("no such dialect".into()))?;
    let cards = read_numbers(&orders.numbers)?;
    let (pan, expiry) = cards.first().ok_or_else(|| BenchError("no numbers".into()))?;
    let first = Card { pan: pan.clone(), expiry: *expiry, cvc2: None };
    let acceptor = Acceptor::web_shop("MERCHANT-000042").ok_or_else(|| BenchError("no such shop".into()))?;
    let amount = MinorUnits::new(2498).unwrap_or(MinorUnits::MAX);
    let template = Register::new(acceptor).authorisation(now_ms(), &first, amount);
    let options = load::Options {
        connections: orders.connections,
        in_flight: orders.in_flight,
        duration: Duration::from_secs_f64(orders.seconds),
        warm_up: WARM_UP,
        again: true,
        run: orders.run,
        rate: orders.rate,
        ..load::Options::to(orders.address)
    };
    let summary = load::run(&options, dialect, &template, cards.clone())
        .map_err(|error| BenchError(error.to_string()))?;
    serde_json::to_writer(&mut out, &summary)?;
    out.flush()?;
    Ok(())
}

fn now_ms() -> u64 {
    mayfly_engine::Clock::now_ms(&mayfly_engine::SystemClock)
}

/// Writes the numbers in an order that looks random, so that they are not presented in the order of their issue.
fn write_numbers(path: &Path, credentials: &[Credential]) -> Result<(), BenchError> {
    let mut file = BufWriter::new(File::create(path)?);
    let count = credentials.len();
    // A step that has no factor in common with the count visits each number once.
    let step = step(count);
    for at in 0..count {
        let credential = &credentials[at * step % count];
        file.write_all(&credential.digits.to_le_bytes())?;
        file.write_all(credential.expiry.yymm().as_bytes())?;
    }
    file.flush()?;
    Ok(())
}

/// A third of the count or little more, and without a factor in common with it.
pub(crate) fn step(count: usize) -> usize {
    (count / 3 + 1..).find(|step| gcd(*step, count) == 1).unwrap_or(1)
}

fn gcd(one: usize, other: usize) -> usize {
    if other == 0 { one } else { gcd(other, one % other) }
}

fn read_numbers(path: &Path) -> Result<Arc<[(Pan, Expiry)]>, BenchError> {
    let mut file = BufReader::new(File::open(path)?);
    let mut numbers = Vec::new();
    let mut row = [0; 12];
    while file.read_exact(&mut row).is_ok() {
        let mut digits = [0; 8];
        digits.copy_from_slice(&row[..8]);
        let digits = format!("{:016}", u64::from_le_bytes(digits));
        let pan = Pan::parse(&digits).map_err(|error| BenchError(error.to_string()))?;
        let text = std::str::from_utf8(&row[8..]).unwrap_or_default();
        let expiry = Expiry::parse_yymm(text).map_err(|error| BenchError(error.to_string()))?;
        numbers.push((pan, expiry));
    }
    Ok(numbers.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_presented_once() {
        for count in (1..200).chain([50_000, 100_000, 1_000_000]) {
            let step = step(count);
            let mut seen = vec![false; count];
            (0..count).for_each(|at| seen[at * step % count] = true);
            assert!(seen.into_iter().all(|seen| seen), "{count}");
        }
    }
}
