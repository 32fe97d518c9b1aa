//! The boards and the alerts speak of metrics that a running gateway has, of all of them, and
//! Prometheus understands every expression. No Grafana runs here: see dashboards/README.md.

mod prometheus;
mod promql;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use serde_json::json;
use tests::GatepostPlan;
use tests::PATIENCE;
use tests::SitePlan;
use tests::SmtpSink;
use tests::messages;
use tests::run;
use tests::wait_for;

use self::prometheus::Prometheus;
use self::promql::Uses;

/// Labels that Prometheus adds to everything it reads.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];
/// The boards: file and uid.
const BOARDS: [(&str, &str); 2] =
    [("message-flow.json", "gatepost-message-flow"), ("relay-security.json", "gatepost-relay-security")];
/// Units of Grafana that suit us; a misspelt one would show bare numbers.
const UNITS: [&str; 8] = ["mps", "cps", "ops", "s", "short", "none", "percentunit", "dateTimeFromNow"];

#[test]
fn promtool_accepts_the_alerts_and_their_tests() {
    let promtool = |words: &[&str]| {
        run(Command::new("promtool").current_dir(dashboards()).args(words), b"").success();
    };
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn every_alert_is_tested_firing_and_silent() {
    let rules = read("alerts.yml");
    let tests = read("alerts_test.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let cases: Vec<&str> =
            tests.split("- alertname: ").filter(|case| case.lines().next() == Some(alert)).collect();
        assert!(
            cases.iter().any(|case| case.contains("exp_labels: {severity: ")),
            "{alert} is never seen firing"
        );
        assert!(cases.iter().any(|case| case.contains("exp_alerts: []")), "{alert} is never seen silent");
    }
}

#[test]
fn alerts_say_what_happened_and_where_to_read_on() {
    let mut gatepost = GatepostPlan::new("alpha.example").prepare();
    gatepost.start();
    let prometheus = Prometheus::watch(gatepost.metrics_port(), &dashboards().join("alerts.yml"));
    let guide = std::fs::read_to_string(dashboards().join("../docs/operating.md")).unwrap();
    let headings = guide.lines().filter(|line| line.starts_with('#'));
    let anchors: Vec<String> =
        headings.map(|line| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-")).collect();
    for alert in prometheus.alerts() {
        let (name, annotations) = (&alert["name"], &alert["annotations"]);
        assert!(alert["duration"].as_f64() > Some(0.0), "{name} waits for nothing");
        assert!(["critical", "warning"].map(Value::from).contains(&alert["labels"]["severity"]), "{name}");
        for text in ["summary", "description"] {
            assert!(annotations[text].as_str().is_some_and(|text| text.len() > 20), "{name}: {text}");
        }
        let link = annotations["runbook_url"].as_str().unwrap();
        let anchor = link.strip_prefix("docs/operating.md#").unwrap_or_else(|| panic!("{name}: {link}"));
        assert!(anchors.iter().any(|known| known == anchor), "{name}: no heading for {link}");
    }
}

#[test]
fn the_boards_follow_the_rules() {
    for (file, uid) in BOARDS {
        let board = board(file);
        assert_eq!(board["uid"], uid);
        board_follows_the_rules(&board);
    }
}

fn board_follows_the_rules(board: &Value) {
    assert_eq!(board["id"], Value::Null, "an id belongs to one Grafana only");
    assert_eq!((&board["editable"], &board["schemaVersion"]), (&json!(false), &json!(41)));
    assert_eq!((&board["graphTooltip"], &board["refresh"]), (&json!(1), &json!("30s")));
    assert!(board.get("__inputs").is_none(), "provisioning does not fill __inputs");
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let variables = board["templating"]["list"].as_array().unwrap();
    let names: Vec<&Value> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
    assert_eq!(variables[0]["type"], "datasource");
    for variable in &variables[1..] {
        assert_eq!(variable["datasource"], source);
        assert_eq!((&variable["multi"], &variable["allValue"]), (&json!(true), &json!(".+")));
        assert_eq!(variable["refresh"], 2, "asked again when the time range changes");
    }
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(board) {
        let title = panel["title"].as_str().filter(|title| !title.is_empty()).expect("a panel has a title");
        let filled = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(filled(&panel["description"]), "{title}: description");
        assert_eq!(panel["datasource"], source, "{title}");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: id is taken");
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(UNITS.map(Value::from).contains(&defaults["unit"]), "{title}: unit {}", defaults["unit"]);
        assert!(filled(&defaults["noValue"]), "{title}: noValue");
        let targets = panel["targets"].as_array().unwrap();
        assert_eq!(targets.len(), 1, "{title}: one query, split by label");
        assert_eq!(targets[0]["datasource"], source, "{title}");
        assert!(filled(&targets[0]["legendFormat"]), "{title}: legend");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{title} is too wide");
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        cells.for_each(|cell| assert!(taken.insert(cell), "{title} lies on another panel"));
        expression_follows_the_rules(title, &promql::read(targets[0]["expr"].as_str().unwrap()));
    }
}

fn expression_follows_the_rules(title: &str, uses: &Uses) {
    for selector in &uses.selectors {
        assert_eq!(selector.matcher("job"), Some("$job"), "{title}");
        assert_eq!(selector.matcher("instance"), Some("$instance"), "{title}");
        let counter =
            ["_total", "_bucket", "_sum", "_count"].iter().any(|end| selector.metric.ends_with(end));
        let (range, inside) = (selector.range.as_str(), selector.inside.as_str());
        match counter {
            true => assert_eq!((range, inside), ("$__rate_interval", "rate"), "{title}: {}", selector.metric),
            false => assert_eq!(range, "", "{title}: {}", selector.metric),
        }
    }
}

#[test]
fn boards_and_alerts_use_what_a_gateway_exports_and_all_of_it() {
    let mut gatepost = GatepostPlan::new("alpha.example").prepare();
    gatepost.start();
    let (_, text) = gatepost.get("/metrics").unwrap();
    let exported = series(&text);
    let prometheus = Prometheus::watch(gatepost.metrics_port(), &dashboards().join("alerts.yml"));
    let alerts = prometheus.alerts();
    let alerts = alerts.iter().map(|alert| alert["query"].as_str().unwrap().to_owned());
    let boards = BOARDS.map(|(file, _)| board(file));
    let variables = boards.iter().flat_map(|board| &board["templating"]["list"].as_array().unwrap()[1..]);
    // label_values(SELECTOR, LABEL)
    let chained = variables.map(|variable| {
        let query = variable["query"]["query"].as_str().unwrap();
        let inside = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')')).unwrap();
        inside.rsplit_once(", ").unwrap().0.to_owned()
    });
    let mut used = BTreeSet::new();
    for expression in boards.iter().flat_map(expressions).chain(alerts).chain(chained) {
        let uses = promql::read(&expression);
        assert!(!uses.selectors.is_empty(), "{expression}");
        for selector in uses.selectors.iter().filter(|selector| selector.metric != "up") {
            let metric = &selector.metric;
            let labels = exported.get(metric).unwrap_or_else(|| panic!("no {metric}: {expression}"));
            let known = |label: &str| TARGET_LABELS.contains(&label) || labels.contains_key(label);
            for (label, operator, value) in &selector.matchers {
                assert!(known(label), "{metric} has no label {label}: {expression}");
                let exact = operator == "=" && !TARGET_LABELS.contains(&label.as_str());
                assert!(
                    !exact || labels[label].contains(value),
                    "{metric} has no {label}={value}: {expression}"
                );
            }
            for label in &uses.labels {
                assert!(known(label), "{metric} has no label {label}: {expression}");
            }
            used.insert(metric.clone());
        }
    }
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for family in families.filter(|family| family.starts_with("gatepost_")) {
        let shown = used.contains(family) || used.contains(&format!("{family}_bucket"));
        assert!(shown, "{family} is neither on a board nor in an alert");
    }
}

#[test]
fn prometheus_answers_every_expression_and_stays_calm_at_a_healthy_gateway() {
    let sink = SmtpSink::start();
    let site = SitePlan::new("alpha.example").route("beta.example", sink.port()).start();
    let prometheus = Prometheus::watch(site.gatepost.metrics_port(), &dashboards().join("alerts.yml"));
    // After the first reading, so that the rates see it.
    let (alice, bob) = ("alice@alpha.example", "bob@beta.example");
    assert!(site.submit(alice, &[bob], &messages::plain(alice, bob, "news", "hello")).accepted());
    for expression in BOARDS.iter().flat_map(|(file, _)| expressions(&board(file))) {
        let expression = expression.replace("$job", ".+").replace("$instance", ".+");
        let expression = expression.replace("$__rate_interval", "1m");
        wait_for(&format!("an answer to {expression}"), PATIENCE, || {
            (!prometheus.query(&expression).is_empty()).then_some(())
        });
    }
    for alert in prometheus.alerts() {
        assert_eq!(alert["health"], "ok", "{alert}");
        let query = alert["query"].as_str().unwrap();
        // Asked now: the state may be from before the first reading.
        let wrong = prometheus.query(query);
        assert!(wrong.is_empty(), "nothing is wrong, but {} says {wrong:?}", alert["name"]);
        for selector in promql::read(query).selectors {
            let found = prometheus.query(&selector.text());
            assert!(!found.is_empty(), "{} in {}", selector.text(), alert["name"]);
        }
    }
}

/// What /metrics holds: names of series, their labels, and the values of these.
fn series(text: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut series: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [selector] = promql::read(line).selectors.try_into().unwrap();
        let labels = series.entry(selector.metric).or_default();
        for (label, _, value) in selector.matchers {
            labels.entry(label).or_default().insert(value);
        }
    }
    series
}

fn expressions(board: &Value) -> Vec<String> {
    let target = |panel: &Value| panel["targets"][0]["expr"].as_str().unwrap().to_owned();
    panels(board).iter().map(target).collect()
}

fn panels(board: &Value) -> &[Value] {
    board["panels"].as_array().unwrap()
}

fn board(file: &str) -> Value {
    serde_json::from_str(&read(file)).unwrap()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(dashboards().join(file)).unwrap()
}

fn dashboards() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards").into()
}
