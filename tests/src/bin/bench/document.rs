//! The document.

use std::fmt::Write as _;

use crate::effort::Effort;
use crate::flow::Flow;
use crate::flow::Latency;
use crate::machine::Machine;
use crate::profile::Profile;
use crate::stage::Who;
use crate::statistics::Spread;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) machine: Machine,
    effort: Effort,
    pub(crate) flows: Vec<Flow>,
    pub(crate) latency: Option<Latency>,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) sendmail: crate::sendmail::Result,
    pub(crate) openpgp: (),
    pub(crate) notary: (),
}

impl Document {
    pub(crate) fn new(machine: Machine, effort: Effort) -> Self {
        Self {
            machine,
            effort,
            flows: vec![],
            latency: None,
            profiles: vec![],
            sendmail: Ok(()),
            openpgp: (),
            notary: (),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{}\n{:?}", self.machine.text(), self.effort);
        for flow in &self.flows {
            for who in Who::ALL {
                let rates = Spread::of(flow.of(who).rates.iter().copied());
                let costs = Spread::of(flow.of(who).costs.iter().copied());
                let _ = writeln!(
                    out,
                    "{} | {} | {} | {} | {} | {}",
                    flow.size.name,
                    who.name(),
                    flow.rate(who, Who::Nobody),
                    rates.median,
                    costs,
                    flow.cost(who, Who::LibmilterAll)
                );
            }
            let _ = writeln!(out, "inet/unix {}", flow.rate(Who::PassInet, Who::PassUnix));
        }
        let _ = writeln!(out, "{:?}", self.latency);
        for p in &self.profiles {
            let _ = writeln!(out, "## {}\n{}", p.title, p.lines);
        }
        out
    }
}
