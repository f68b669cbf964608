//! scratch
use mayfly_bench::{Part, Plan, run};
use std::time::Duration;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "load" {
        mayfly_bench::make_load(&args[2], std::io::stdout()).unwrap();
        return;
    }
    let parts = args[1].split(',').map(|n| *Part::ALL.iter().find(|p| p.name() == n).unwrap()).collect();
    let s: u64 = args[2].parse().unwrap();
    let plan = Plan {
        directory: "/tmp/fs".into(),
        credentials: args[4].parse().unwrap(),
        uses: 1000,
        peak: Duration::from_secs(s),
        sustained: Duration::from_secs(args[3].parse().unwrap()),
        sustained_rate: 120_000.0,
        sustained_rate_tcp: 65_000.0,
        postgres: std::env::var("PG").ok(),
        parts,
        sizes: None,
        load_command: vec![args[0].clone(), "load".into()],
    };
    let r = run(&plan, |s| eprintln!("{s}")).unwrap();
    println!("{}", r.table());
}
