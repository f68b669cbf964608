//! How much load the generator can make: against a server that does nothing but answer.
//!
//! ```text
//! cargo run --release -p mayfly-lab --example capacity [connections] [in flight] [seconds]
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mayfly_card::{Expiry, MinorUnits, Pan};
use mayfly_iso8583::{De, Dialect, Message, MessageBuilder};
use mayfly_lab::{Acceptor, Card, Register, load};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let connections = arguments.next().transpose()?.unwrap_or(64);
    let in_flight = arguments.next().transpose()?.unwrap_or(16);
    let seconds = arguments.next().transpose()?.unwrap_or(5);
    let dialect = Dialect::builtin("ascii87").ok_or("built in")?;
    let expiry = Expiry::parse_yymm("3512")?;
    let cards: load::Cards = (0..100_000u64)
        .map(|free| Ok((Pan::with_check_digit(format!("456940{free:09}"))?, expiry)))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?
        .into();
    let first = Card { pan: cards[0].0.clone(), expiry, cvc2: None };
    let mut register = Register::new(Acceptor::web_shop("CAPACITY").ok_or("a short name")?);
    let template =
        register.authorisation(1_700_000_000_000, &first, MinorUnits::new(2498).ok_or("a small amount")?);

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (request, answer) = (wire(dialect, &template)?, wire(dialect, &answer_to(&template)?)?);
    let (from, to) = (stan_of(dialect, &request)?, stan_of(dialect, &answer)?);
    let request_len = request.len();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let served = serve(stream, &answer, request_len, from, to);
                SERVED_NS.fetch_add(thread_ns(), Ordering::Relaxed);
                served
            });
        }
    });
    let options = load::Options {
        connections: connections as usize,
        in_flight: in_flight as usize,
        duration: Duration::from_secs(seconds),
        again: true,
        ..load::Options::to(address)
    };
    let began = cpu_ns();
    let summary = load::run(&options, dialect, &template, cards)?;
    // Let the server's threads notice that it is over, and say what they have spent.
    std::thread::sleep(Duration::from_millis(100));
    let spent = cpu_ns().saturating_sub(began).saturating_sub(SERVED_NS.load(Ordering::Relaxed));
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?;
    writeln!(out, "{} ns of processor time for each message", spent / summary.sent.max(1))?;
    Ok(())
}

/// What the server's threads have spent.
static SERVED_NS: AtomicU64 = AtomicU64::new(0);

/// What this process has spent, as Linux counts it: in hundredths of a second.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000_000
}

/// What this thread has spent.
fn thread_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn wire(dialect: &Dialect, message: &MessageBuilder) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut wire = Vec::new();
    message.encode(dialect, &mut wire)?;
    Ok(wire)
}

fn answer_to(request: &MessageBuilder) -> Result<MessageBuilder, Box<dyn Error>> {
    let mut answer = MessageBuilder::new(request.mti().response().ok_or("has an answer")?);
    for element in [De::PAN, De::PROCESSING_CODE, De::AMOUNT, De::STAN, De::RRN, De::TERMINAL, De::CURRENCY] {
        answer.set(element, request.text(element).unwrap_or_default());
    }
    answer.set(De::APPROVAL_CODE, "000001").set(De::RESPONSE_CODE, "00");
    Ok(answer)
}

fn stan_of(dialect: &Dialect, wire: &[u8]) -> Result<usize, Box<dyn Error>> {
    let message = Message::parse(dialect, &wire[2..]).map_err(|failure| failure.error)?;
    let stan = message.bytes(De::STAN).ok_or("has a STAN")?;
    Ok(stan.as_ptr() as usize - wire.as_ptr() as usize)
}

/// Answers whatever comes, all requests being as long as the first.
fn serve(mut stream: TcpStream, answer: &[u8], length: usize, from: usize, to: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut filled, mut output) = (vec![0; 65_536], 0, Vec::new());
    loop {
        match stream.read(&mut input[filled..])? {
            0 => return Ok(()),
            count => filled += count,
        }
        let whole = filled / length * length;
        for request in input[..whole].chunks_exact(length) {
            let start = output.len() + to;
            output.extend_from_slice(answer);
            output[start..start + 6].copy_from_slice(&request[from..from + 6]);
        }
        input.copy_within(whole..filled, 0);
        filled -= whole;
        stream.write_all(&output)?;
        output.clear();
    }
}
