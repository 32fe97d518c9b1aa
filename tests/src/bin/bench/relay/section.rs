//! The section about the relay room in docs/benchmarks.md, and its goals.

use std::fmt::Write as _;

use serde_json::Value;

use crate::document::Target;
use crate::statistics::Mean;
use crate::statistics::Spread;

/// The figures of the part in the namespace.
#[derive(Debug)]
pub(crate) struct Relay {
    figures: Value,
}

impl Relay {
    /// Takes what the part in the namespace has printed.
    pub(super) fn new(figures: Value) -> Self {
        Self { figures }
    }

    /// Goals, and what became of them.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for line in self.list("answers") {
            let what = format!("policy server, {}: answers per second of a constant ×", connections(line));
            let rate = ratio(&line["gatepost"], &line["echo"], "rates");
            targets.push(Target::new(what, 0.7, true, Some(rate)));
        }
        let mean = self.difference();
        targets.push(Target {
            what: "Postfix with the policy server's answers: deliveries per second with a hash: map ×"
                .to_owned(),
            goal: "no measurable difference".to_owned(),
            measured: mean.to_string(),
            met: Some(mean.mean + mean.margin >= 1.0),
        });
        for line in self.list("relayed") {
            let what = format!("relay, {}: messages per second of Postfix's smtp client ×", size(line));
            targets.push(Target::new(what, 0.8, true, Some(ratio(&line["relay"], &line["direct"], "rates"))));
        }
        targets
    }

    /// The whole section.
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str("\n## Policy server and relay\n\n");
        out.push_str(
            "A signed DNS tree of our own behind a validating unbound, a hundred domains with one mail host that has \
             a TLSA record (`3 1 1`), all in a network namespace; one Postfix with a transport for each contender.\n",
        );
        self.answers(out);
        self.lookups(out);
        self.relayed(out);
    }

    fn answers(&self, out: &mut String) {
        out.push_str(
            "\n### Cached answers\n\nThe same clients ask both servers over socketmap (`QUERY`, TCP): each \
             connection has a thread of its own that waits for the answer before it asks again, for one of a \
             hundred domains. The constant comes from a server that reads a netstring and writes the same bytes \
             each time, with a blocking thread for each connection. Waiting time and processor time of the server \
             are in microseconds per answer.\n\n| server | connections | rate ÷ constant | answers/s | p50 | p99 | \
             processor time |\n|---|---|---|---|---|---|---|\n",
        );
        for line in self.list("answers") {
            for (name, server) in [("gatepost", &line["gatepost"]), ("constant", &line["echo"])] {
                let ratio = match name {
                    "constant" => "1".to_owned(),
                    _ => ratio(server, &line["echo"], "rates").to_string(),
                };
                let _ = writeln!(
                    out,
                    "| {name} | {} | {ratio} | {:.0} | {:.0} | {:.0} | {:.1} |",
                    line["connections"],
                    median(server, "rates"),
                    median(server, "p50"),
                    median(server, "p99"),
                    median(server, "costs"),
                );
            }
        }
    }

    fn lookups(&self, out: &mut String) {
        let (lookups, postmap) = (&self.figures["lookups"], &self.figures["postmap"]);
        let _ = write!(
            out,
            "\n### Through Postfix\n\nPostfix's smtp client delivers messages of 2 kB to a hundred domains, with a \
             connection and a look-up in `smtp_tls_policy_maps` for each, by a socketmap or by a hash: map with \
             the same answers. Messages lie in the queue before the clock starts. Ratio of the rates: mean and \
             95 % confidence interval of {rounds} rounds: **{mean}**. postmap(1) is Postfix's client without \
             the delivery.\n\n| map | deliveries/s | µs per look-up by `postmap -q -` |\n|---|---|---|\n",
            rounds = values(&lookups["hash"], "rates").len(),
            mean = self.difference(),
        );
        for (name, key) in [("socketmap: of gatepost", "socketmap"), ("hash:", "hash")] {
            let (rate, time) = (median(&lookups[key], "rates"), median(postmap, key));
            let _ = writeln!(out, "| {name} | {rate:.0} | {time:.1} |");
        }
    }

    fn relayed(&self, out: &mut String) {
        out.push_str(
            "\n### Relay\n\nMessages to ten domains lie in Postfix's queue; the clock runs from their release to the \
             last arrival. Postfix delivers by DANE itself (smtp, at most 20 processes) or hands over to the relay \
             (lmtp, at most 20 processes), which records each message on disk before it answers. Both use a \
             connection for up to 50 messages (`smtp_tls_connection_reuse = yes` and \
             `smtp_connection_cache_destinations = static:all`); the last row is Postfix as it comes, which makes \
             a TLS connection for each message. Processor time is gatepost's, per \
             message.\n\n| size | who | rate ÷ Postfix | messages/s | messages per connection | processor time µs \
             |\n|---|---|---|---|---|---|\n",
        );
        for line in self.list("relayed") {
            for (name, key) in
                [("gatepost", "relay"), ("Postfix", "direct"), ("Postfix, a connection for each", "single")]
            {
                let who = &line[key];
                let ratio = match key {
                    "direct" => "1".to_owned(),
                    _ => ratio(who, &line["direct"], "rates").to_string(),
                };
                let cost = match key {
                    "relay" => format!("{:.0}", median(who, "costs")),
                    _ => "-".to_owned(),
                };
                let (rate, uses) = (median(who, "rates"), median(who, "uses"));
                let _ =
                    writeln!(out, "| {} | {name} | {ratio} | {rate:.0} | {uses:.1} | {cost} |", size(line));
            }
        }
    }

    fn difference(&self) -> Mean {
        let lookups = &self.figures["lookups"];
        Mean::of_ratios(&values(&lookups["socketmap"], "rates"), &values(&lookups["hash"], "rates"))
    }

    fn list(&self, key: &str) -> &[Value] {
        self.figures[key].as_array().unwrap()
    }
}

fn connections(line: &Value) -> String {
    match line["connections"].as_u64().unwrap() {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    }
}

fn size(line: &Value) -> &str {
    line["size"].as_str().unwrap()
}

fn values(turns: &Value, key: &str) -> Vec<f64> {
    turns[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn median(turns: &Value, key: &str) -> f64 {
    Spread::of(values(turns, key)).median
}

fn ratio(turns: &Value, base: &Value, key: &str) -> Spread {
    Spread::of_ratios(&values(turns, key), &values(base, key))
}
