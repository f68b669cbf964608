//! The metrics of issuer hosts.

use std::fmt;

use mayfly_network::host::HostOutcome;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::metrics::{Label, Out};
use crate::hosts::{HostView, HostsView};

/// What is read of a host: under which name, what that is, and how.
type Reading<N> = (&'static str, &'static str, fn(&HostView) -> N);

impl Out<'_> {
    /// How asking and telling issuer hosts goes: by issuer, but for what came of asking.
    pub(super) fn issuer_hosts(&mut self, view: &HostsView) -> fmt::Result {
        self.counters(
            "mayfly_issuer_host_asked",
            "Questions for issuer hosts, by what came of them.",
            "outcome",
            HostOutcome::ALL.into_iter().map(|outcome| (outcome.name(), view.asked.of(outcome))),
        )?;
        if view.hosts.is_empty() {
            return Ok(());
        }
        let gauges: [Reading<f64>; 4] = [
            ("connections", "Connections that are open.", |host| host.counts.open() as f64),
            ("in_service", "Connections that are signed on.", |host| host.link.in_service() as f64),
            ("under_way", "Questions and advices that wait for their answers.", |host| {
                host.link.under_way() as f64
            }),
            (
                "owed",
                "Reversals and other advices that are not acknowledged, as far as they are in memory.",
                |host| host.owed() as f64,
            ),
        ];
        for (name, help, value) in gauges {
            let name = format!("mayfly_issuer_host_{name}");
            let mut metric = self.0.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            for host in &view.hosts {
                let labels = [("issuer", host.issuer.to_string())];
                metric.encode_family(&labels)?.encode_gauge(&value(host))?;
            }
        }
        let counters: [Reading<u64>; 15] = [
            ("answered", "Questions that were answered in time.", |host| host.counts.answered.value()),
            ("timed_out", "Questions that were not answered in time.", |host| host.counts.timed_out.value()),
            ("lost", "Questions whose connection was closed before the answer.", |host| {
                host.counts.lost.value()
            }),
            ("not_signed_on", "Questions that found no connection signed on.", |host| {
                host.counts.not_signed_on.value()
            }),
            ("busy", "Questions for which there was no room.", |host| host.counts.busy.value()),
            ("late", "Answers to questions that were given up.", |host| host.counts.late.value()),
            ("unmatched", "Answers to nothing that was asked.", |host| host.counts.unmatched.value()),
            ("contradicting", "Answers that contradict their questions.", |host| {
                host.counts.contradicting.value()
            }),
            ("malformed", "Messages that could not be read.", |host| host.counts.malformed.value()),
            ("connections_opened", "Connections that were opened.", |host| host.counts.opened.value()),
            ("connections_not_opened", "Connections that could not be opened.", |host| {
                host.counts.not_opened.value()
            }),
            ("advices_sent", "First sendings of advices.", |host| host.told.first.value()),
            ("advices_repeated", "Repeats of advices.", |host| host.told.repeats.value()),
            ("advices_accepted", "Advices that were acknowledged and done.", |host| {
                host.told.accepted.value()
            }),
            ("advices_refused", "Advices that were refused: somebody should look at them.", |host| {
                host.told.refused.value()
            }),
        ];
        for (name, help, value) in counters {
            let name = format!("mayfly_issuer_host_{name}");
            let mut metric = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
            for host in &view.hosts {
                let labels = [("issuer", host.issuer.to_string())];
                let mut one = metric.encode_family(&labels)?;
                one.encode_counter::<Label, u64, u64>(&value(host), None::<&Exemplar<Label, u64>>)?;
            }
        }
        Ok(())
    }
}
