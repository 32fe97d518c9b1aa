//! A Prometheus of our own that reads one gatepost and our alerts.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tests::Daemon;
use tests::PATIENCE;
use tests::directory;
use tests::free_port;
use tests::wait_for;

/// A running Prometheus; it reads the gatepost four times a second, as job `gatepost`.
pub(crate) struct Prometheus {
    port: u16,
    // Before the directory: what runs in it must end first.
    _daemon: Daemon,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts it and waits until it has read the gatepost at this metrics port.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) fn watch(metrics: u16, alerts: &Path) -> Self {
        let dir = directory("prometheus");
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: gatepost, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}]\n",
            alerts.display()
        );
        std::fs::write(&config, text).unwrap();
        let port = free_port();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}/data", dir.path().display()));
        command.args([&format!("--web.listen-address=127.0.0.1:{port}"), "--log.level=warn"]);
        let daemon = Daemon::start(&mut command, &dir.path().join("log"), dir.path());
        let prometheus = Self { port, _daemon: daemon, _dir: dir };
        wait_for("Prometheus to read the gatepost", PATIENCE, || {
            let up = prometheus.try_get("/api/v1/query?query=up")?;
            (up["result"][0]["value"][1] == "1").then_some(())
        });
        prometheus
    }

    /// The series that an expression gives now.
    ///
    /// # Panics
    /// If Prometheus refuses the expression.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.try_get(&format!("/api/v1/query?query={encoded}"));
        let answer = answer.unwrap_or_else(|| panic!("Prometheus does not take {expression}"));
        answer["result"].as_array().unwrap().clone()
    }

    /// The alerts with their state, once all were evaluated.
    ///
    /// # Panics
    /// If there are none.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        wait_for("Prometheus to evaluate the alerts", PATIENCE, || {
            let answer = self.try_get("/api/v1/rules?type=alert")?;
            let groups = answer["groups"].as_array().unwrap().iter();
            let rules: Vec<Value> =
                groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
            let done = !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown");
            done.then_some(rules)
        })
    }

    /// The data of a successful answer.
    fn try_get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP/1.0, so that the answer is one piece.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let mut answer: Value = serde_json::from_str(body).ok()?;
        (answer["status"] == "success").then(|| answer["data"].take())
    }
}
