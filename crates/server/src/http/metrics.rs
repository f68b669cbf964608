//! The metrics. They count and measure; nothing in them, and no label, says whose number or purchase it was.

use std::fmt;
use std::sync::Arc;

use mayfly_core::ResponseCode;
use mayfly_network::{Closed, Traffic};
use mayfly_notify::{HookMeter, HookOutcome, Notifier, Outcome};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::health::Phase;
use crate::live::{Live, Shared};
use mayfly_office::Snapshot;

/// All metrics as OpenMetrics text. `snapshot` is what the engine's writer had in memory, if it answered.
pub(super) fn encode(shared: Arc<Shared>, snapshot: Option<Snapshot>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { shared, snapshot }));
    let mut out = String::with_capacity(16 * 1024);
    text::encode(&mut out, &registry)?;
    Ok(out)
}

struct Scrape {
    shared: Arc<Shared>,
    snapshot: Option<Snapshot>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        out.process(&self.shared)?;
        out.lease(&self.shared)?;
        if let Some(live) = self.shared.live.get() {
            out.engine(live)?;
            out.views(&self.shared, live)?;
            out.retention(live)?;
            out.webhooks(&live.notifier)?;
            out.asked(&live.asked)?;
            out.issuer_hosts(&live.hosts)?;
            out.network(&live.network)?;
            out.connections(&live.network)?;
        }
        if let Some(snapshot) = &self.snapshot {
            out.state(snapshot)?;
        }
        Ok(())
    }
}

/// Labels: a name and a value each, all from fixed lists.
pub(super) type Label = [(&'static str, &'static str); 1];

pub(super) struct Out<'a>(pub(super) DescriptorEncoder<'a>);

impl Out<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<Label, u64, u64>(&value, None::<&Exemplar<Label, u64>>)
    }

    fn seconds_counter(&mut self, name: &str, help: &str, value_us: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<Label, f64, u64>(&(value_us as f64 / 1e6), None::<&Exemplar<Label, u64>>)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in values {
            let labels: Label = [(label, value)];
            let mut one = metric.encode_family(&labels)?;
            one.encode_counter::<Label, u64, u64>(&count, None::<&Exemplar<Label, u64>>)?;
        }
        Ok(())
    }

    fn process(&mut self, shared: &Shared) -> fmt::Result {
        let ready = if shared.health.not_ready().is_none() { 1.0 } else { 0.0 };
        self.gauge("mayfly_ready", "1 if the server takes work.", ready)?;
        self.gauge(
            "mayfly_start_time_seconds",
            "When the server was started, in seconds since 1970.",
            shared.started.0 as f64 / 1e3,
        )?;
        match resident_bytes() {
            Some(bytes) => self.gauge("mayfly_resident_memory_bytes", "Memory of the process.", bytes as f64),
            None => Ok(()),
        }
    }

    /// Only where several gateways share a database.
    fn lease(&mut self, shared: &Shared) -> fmt::Result {
        let standing = shared.health.standing();
        if standing.is_none() && !matches!(shared.health.phase(), Phase::Standby(_)) {
            return Ok(());
        }
        let active = if standing.is_some_and(|standing| !standing.is_lost()) { 1.0 } else { 0.0 };
        self.gauge("mayfly_active", "1 if this gateway is the active one, 0 if it stands by.", active)?;
        let left = standing.map_or(0.0, |standing| standing.left().as_secs_f64());
        self.gauge("mayfly_lease_valid_seconds", "How long the lease is good if it is not renewed.", left)?;
        let fence = standing.map_or(0, |standing| standing.fence()) as f64;
        self.gauge("mayfly_lease_fence", "The fencing number of the lease; 0 without one.", fence)
    }

    fn engine(&mut self, live: &Live) -> fmt::Result {
        let counts = live.handle.meter().counts();
        self.counter(
            "mayfly_journal_entries",
            "Entries appended to the journal: one for each batch.",
            counts.entries,
        )?;
        self.counter(
            "mayfly_journal_records",
            "Records in them: one for each partition that a batch changed.",
            counts.records,
        )?;
        self.counter("mayfly_journal_events", "Events in those records.", counts.events)?;
        self.counter("mayfly_journal_bytes", "Bytes of those events.", counts.bytes)?;
        self.counter("mayfly_answers", "Answers that the engine gave.", counts.answers)?;
        self.seconds_counter(
            "mayfly_journal_append_seconds",
            "Time spent in appends, the sync included.",
            counts.append_us,
        )?;
        self.gauge(
            "mayfly_journal_append_seconds_max",
            "The longest append since the start.",
            counts.append_us_max as f64 / 1e6,
        )?;
        self.gauge(
            "mayfly_queue_commands",
            "Commands that wait to be decided.",
            live.handle.waiting() as f64,
        )?;
        self.counter(
            "mayfly_holds_released",
            "Holds that were given back because they were over.",
            live.holds.released(),
        )
    }

    fn views(&mut self, shared: &Shared, live: &Live) -> fmt::Result {
        let (progress, lag) = (live.handle.progress(), shared.health.lag());
        let (folded, durable) = (progress.folded(), progress.durable());
        self.gauge("mayfly_journal_entry", "The last entry on the disk.", durable as f64)?;
        self.gauge("mayfly_views_entry", "The last entry folded into the views.", folded as f64)?;
        self.gauge("mayfly_views_lag_entries", "By how many entries the views lag.", lag.entries as f64)?;
        self.gauge(
            "mayfly_views_lag_seconds",
            "How long the oldest entry that is not folded has been waiting.",
            lag.ms as f64 / 1e3,
        )
    }

    fn retention(&mut self, live: &Live) -> fmt::Result {
        let counts = live.retention.counts();
        for (name, help, at_ms) in [
            (
                "mayfly_journal_oldest_timestamp_seconds",
                "The time of the oldest entry in the journal, in seconds since 1970; 0 if there is none.",
                counts.oldest_ms,
            ),
            (
                "mayfly_archive_last_timestamp_seconds",
                "When records were archived last, in seconds since 1970; 0 if none were since the start.",
                counts.archived_ms,
            ),
        ] {
            self.gauge(name, help, at_ms as f64 / 1e3)?;
        }
        self.gauge(
            "mayfly_retention_held_entries",
            "Entries that are old enough to be dropped and stay, because a webhook has not been told them.",
            counts.held as f64,
        )?;
        for (name, help, count) in [
            (
                "mayfly_archived_records",
                "Records that were archived and dropped from the journal.",
                counts.records,
            ),
            ("mayfly_archived_bytes", "Bytes of the files in which they are.", counts.bytes),
            ("mayfly_views_dropped_rows", "Transactions and numbers dropped from the views.", counts.rows),
            (
                "mayfly_retention_failures",
                "How often something could not be archived or dropped.",
                counts.failures,
            ),
        ] {
            self.counter(name, help, count)?;
        }
        Ok(())
    }

    fn webhooks(&mut self, notifier: &Notifier) -> fmt::Result {
        let counts = notifier.counts();
        self.counters(
            "mayfly_webhook_attempts",
            "Attempts to deliver an event to a webhook, by what came of them.",
            "outcome",
            Outcome::ALL.into_iter().map(|outcome| (outcome.name(), counts.of(outcome))),
        )?;
        let lagging = notifier.lagging();
        for (name, help, value) in [
            ("mayfly_webhooks", "Webhooks that are told things.", lagging.active as f64),
            ("mayfly_webhooks_failing", "Those whose latest attempt failed.", lagging.failing as f64),
            (
                "mayfly_webhook_lag_seconds",
                "How old the oldest event is that one of them is to be told next.",
                lagging.lag_ms as f64 / 1e3,
            ),
        ] {
            self.gauge(name, help, value)?;
        }
        Ok(())
    }

    fn asked(&mut self, counts: &HookMeter) -> fmt::Result {
        self.counters(
            "mayfly_decisions_asked",
            "Questions put to issuers' endpoints, by what came of them.",
            "outcome",
            HookOutcome::ALL.into_iter().map(|outcome| (outcome.name(), counts.of(outcome))),
        )
    }

    fn state(&mut self, snapshot: &Snapshot) -> fmt::Result {
        for (name, help, value) in [
            ("mayfly_issuers", "Issuers.", snapshot.issuers),
            ("mayfly_programmes", "Programmes.", snapshot.programmes),
            ("mayfly_accounts", "Accounts.", snapshot.accounts),
            ("mayfly_active_numbers", "Numbers that can be used.", snapshot.active_numbers),
            ("mayfly_quarantined_numbers", "Numbers that must not be drawn yet.", snapshot.quarantined),
            ("mayfly_transactions_in_memory", "Transactions in memory.", snapshot.transactions_in_memory),
        ] {
            self.gauge(name, help, value as f64)?;
        }
        Ok(())
    }

    fn network(&mut self, network: &mayfly_network::Meter) -> fmt::Result {
        self.counters(
            "mayfly_messages",
            "Messages that came in, by message type.",
            "mti",
            Traffic::ALL.into_iter().map(|traffic| (traffic.name(), network.messages(traffic).value())),
        )?;
        self.counters(
            "mayfly_responses",
            "Answers that were given, by response code.",
            "code",
            ResponseCode::ALL
                .iter()
                .map(|code| (code.code(), network.answers(*code).value()))
                .chain([("other", network.other_answers.value())]),
        )?;
        let buckets: Vec<_> = network
            .latency
            .buckets()
            .map(|(bound_us, count)| {
                (bound_us.map_or(f64::INFINITY, |bound_us| bound_us as f64 / 1e6), count)
            })
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let help = "From when a message was read to when its answer was written.";
        let name = "mayfly_message_latency_seconds";
        let sum = network.latency.sum_us() as f64 / 1e6;
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<Label>(sum, count, &buckets, None)
    }

    fn connections(&mut self, network: &mayfly_network::Meter) -> fmt::Result {
        self.gauge("mayfly_connections", "Connections that are open.", network.open() as f64)?;
        self.counters(
            "mayfly_connections_closed",
            "Connections that were closed, by reason.",
            "reason",
            Closed::ALL.into_iter().map(|why| (why.name(), network.closed(why).value())),
        )?;
        for (name, help, counter) in [
            ("mayfly_connections_opened", "Connections that were accepted.", &network.opened),
            ("mayfly_connections_refused", "Connections that were one too many.", &network.refused),
            ("mayfly_received_bytes", "Bytes that came in.", &network.bytes_in),
            ("mayfly_sent_bytes", "Bytes that went out.", &network.bytes_out),
            ("mayfly_messages_malformed", "Messages that were answered 30.", &network.malformed),
            ("mayfly_messages_unreadable", "Messages that cost their connection.", &network.unreadable),
            ("mayfly_messages_unanswerable", "Messages that have no answer.", &network.unanswerable),
            ("mayfly_messages_timed_out", "Messages that the engine took too long for.", &network.timed_out),
            ("mayfly_answers_late", "Answers of the engine that came after that.", &network.late),
        ] {
            self.counter(name, help, counter.value())?;
        }
        Ok(())
    }
}

/// The process's memory, where the system says.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
