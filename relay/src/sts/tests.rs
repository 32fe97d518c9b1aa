//! Discovery, fetch and cache against a scripted resolver and a policy host in this process.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use domain::base::Rtype;
use net::Clock;

use super::host::POLICY;
use super::host::PolicyHost;
use super::*;
use crate::dns::script::Fault;
use crate::dns::script::Script;
use crate::fixtures::certificates::Identity;
use crate::road::TroubleKind;

const DAY: i64 = 86_400;

struct Bench {
    script: Script,
    host: PolicyHost,
    cache: StsCache,
    time: Arc<AtomicI64>,
}

fn clock(time: &Arc<AtomicI64>) -> Clock {
    let time = Arc::clone(time);
    Clock::from_fn(move || time.load(Ordering::SeqCst))
}

async fn bench_with(host: PolicyHost, change: impl FnOnce(&mut StsConfig)) -> Bench {
    let script = Script::new().txt("_mta-sts.a.example", &["v=STSv1; id=1;"]);
    let time = Arc::new(AtomicI64::new(1_000_000_000));
    let mut config = host.config();
    change(&mut config);
    let cache = StsCache::open(config, script.start().await, clock(&time)).unwrap();
    Bench { script, host, cache, time }
}

async fn bench() -> Bench {
    bench_with(PolicyHost::start("mta-sts.a.example").await, |_| {}).await
}

impl Bench {
    fn announce(&self, records: &[&str]) {
        self.script.clear("_mta-sts.a.example", Rtype::TXT);
        for record in records {
            let _ = self.script.clone().txt("_mta-sts.a.example", &[record]);
        }
    }

    fn pass(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn id(&self) -> Option<String> {
        self.cache.policy("a.example").await.policy.map(|policy| policy.id)
    }
}

#[tokio::test]
async fn a_policy_is_fetched_once_and_then_cached() {
    let bench = bench().await;
    let found = bench.cache.policy("a.example").await;
    assert!(found.policy.unwrap().lists("mx.a.example"));
    assert!(found.troubles.is_empty() && found.ttl == 300, "{:?}", found.steps);
    assert_eq!(bench.id().await.as_deref(), Some("1"));
    assert_eq!(bench.host.hits(), 1);
    assert_eq!(bench.cache.list().len(), 1);
}

#[tokio::test]
async fn concurrent_questions_share_one_fetch() {
    let bench = bench().await;
    let all = tokio::join!(bench.id(), bench.id(), bench.id(), bench.id());
    assert_eq!(all.0.as_deref(), Some("1"));
    assert_eq!((all.0.clone(), all.1, all.2), (all.3, all.0.clone(), all.0));
    assert_eq!(bench.host.hits(), 1);
}

#[tokio::test]
async fn without_exactly_one_valid_record_there_is_no_policy() {
    let bench = bench().await;
    for records in [&[][..], &["other text"], &["v=STSv1; id=1;", "v=STSv1; id=2;"], &["v=STSv1;"]] {
        bench.announce(records);
        assert_eq!(bench.id().await, None, "{records:?}");
    }
    assert_eq!(bench.host.hits(), 0);
    bench.announce(&["other text", "v=STSv1; id=1;"]);
    assert_eq!(bench.id().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn whatever_is_wrong_with_the_answer_there_is_no_policy() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let big = format!("{POLICY}{}", "mx: mx.a.example\r\n".repeat(5000));
    for (answer, kind) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n".to_owned(), TroubleKind::StsPolicyFetchError),
        (
            "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.b.example/\r\n\r\n".to_owned(),
            TroubleKind::StsPolicyFetchError,
        ),
        (format!("{ok}Content-Type: text/html\r\n\r\n{POLICY}"), TroubleKind::StsPolicyFetchError),
        (format!("{ok}\r\n{POLICY}"), TroubleKind::StsPolicyFetchError),
        (format!("{ok}Content-Type: text/plain\r\n\r\n{big}"), TroubleKind::StsPolicyFetchError),
        (
            format!("{ok}Content-Type: text/plain\r\n\r\n{}", POLICY.replace("mx:", "m:")),
            TroubleKind::StsPolicyInvalid,
        ),
        (
            format!("{ok}Content-Type: text/plain\r\n\r\n{}", POLICY.replace("max_age", "x")),
            TroubleKind::StsPolicyInvalid,
        ),
        ("garbage".to_owned(), TroubleKind::StsPolicyFetchError),
    ] {
        let bench = bench().await;
        bench.host.answer_with(&answer);
        let found = bench.cache.policy("a.example").await;
        assert_eq!(found.policy, None, "{answer:.60}");
        assert_eq!(found.troubles[0].kind, kind, "{answer:.60}");
    }
}

#[tokio::test]
async fn the_media_type_may_have_parameters_and_any_case() {
    let bench = bench().await;
    bench
        .host
        .answer_with(&format!("HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\n\r\n{POLICY}"));
    assert_eq!(bench.id().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_silent_policy_host_costs_one_deadline_and_a_pause() {
    let bench = bench().await;
    bench.host.fall_silent();
    let found = bench.cache.policy("a.example").await;
    assert!(found.troubles[0].why.contains("did not answer within"), "{found:?}");
    bench.host.serve(POLICY);
    assert_eq!(bench.id().await, None, "not asked again at once");
    assert_eq!(bench.host.hits(), 1);
    bench.pass(300);
    assert_eq!(bench.id().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_policy_host_is_authenticated_by_its_own_name() {
    let root = Identity::root("test only root");
    let expired = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    };
    for leaf in [
        root.issue(&["www.a.example"], |_| {}),
        root.issue(&["mta-sts.a.example"], expired),
        Identity::alone(&["mta-sts.a.example"], |_| {}),
    ] {
        let bench = bench_with(PolicyHost::start_with(&root, leaf).await, |_| {}).await;
        let found = bench.cache.policy("a.example").await;
        assert_eq!((found.policy, found.troubles[0].kind), (None, TroubleKind::StsWebpkiInvalid));
    }
    let wildcard = root.issue(&["*.a.example"], |_| {});
    let bench = bench_with(PolicyHost::start_with(&root, wildcard).await, |_| {}).await;
    assert_eq!(bench.id().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_policy_host_is_looked_up_through_the_same_resolver() {
    let bench =
        bench_with(PolicyHost::start("mta-sts.a.example").await, |config| config.connect_to = None).await;
    let found = bench.cache.policy("a.example").await;
    assert!(found.troubles[0].why.contains("mta-sts.a.example has no usable address"), "{found:?}");
    assert_eq!(bench.script.asked("mta-sts.a.example", Rtype::A), 1);
}

#[tokio::test]
async fn a_cached_policy_outlives_every_failure_until_it_expires() {
    let bench = bench().await;
    assert!(bench.id().await.is_some());
    bench.announce(&[]);
    assert_eq!(bench.id().await.as_deref(), Some("1"), "the TXT record is gone");
    bench.announce(&["v=STSv1; id=1;", "v=STSv1; id=2;"]);
    assert_eq!(bench.id().await.as_deref(), Some("1"), "there are two");
    let _ = bench.script.clone().fault("_mta-sts.a.example", Rtype::TXT, Fault::ServFail);
    assert_eq!(bench.id().await.as_deref(), Some("1"), "its look-up fails");
    bench.pass(7 * DAY);
    assert_eq!(bench.id().await, None, "max_age has passed");
}

#[tokio::test]
async fn a_changed_id_is_fetched_at_once_and_a_failure_keeps_the_old_policy() {
    let bench = bench().await;
    assert!(bench.id().await.is_some());
    bench.announce(&["v=STSv1; id=2;"]);
    bench.host.answer_with("HTTP/1.1 500 Oops\r\n\r\n");
    assert_eq!(bench.id().await.as_deref(), Some("1"));
    bench.pass(301);
    bench.host.serve(&POLICY.replace("enforce", "none"));
    let policy = bench.cache.policy("a.example").await.policy.unwrap();
    assert_eq!((policy.id.as_str(), policy.mode), ("2", Mode::None));
}

#[tokio::test]
async fn policies_are_renewed_a_day_before_they_must() {
    let bench = bench().await;
    assert!(bench.id().await.is_some());
    bench.cache.refresh().await;
    assert_eq!(bench.host.hits(), 1, "too young");
    bench.pass(DAY);
    bench.host.answer_with("HTTP/1.1 500 Oops\r\n\r\n");
    bench.cache.refresh().await;
    bench.cache.refresh().await;
    assert_eq!(bench.host.hits(), 2, "a failure is not repeated at once");
    bench.pass(301);
    bench.host.serve(POLICY);
    bench.cache.refresh().await;
    assert_eq!(bench.host.hits(), 3);
    bench.pass(6 * DAY + 1000);
    assert_eq!(bench.cache.list()[0].2, 1_000_000_000 + DAY + 301);
    assert_eq!(bench.id().await.as_deref(), Some("1"), "it would have expired without");
    assert_eq!(bench.host.hits(), 3);
}

#[tokio::test]
async fn a_policy_is_renewed_without_its_txt_record() {
    let bench = bench().await;
    assert!(bench.id().await.is_some());
    bench.announce(&[]);
    bench.pass(6 * DAY);
    bench.cache.refresh().await;
    assert_eq!(bench.host.hits(), 2);
    bench.pass(6 * DAY);
    assert_eq!(bench.id().await.as_deref(), Some("1"), "who suppresses the record cannot make it expire");
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("sts");
    let host = PolicyHost::start("mta-sts.a.example").await;
    let bench = bench_with(host.clone(), |config| config.directory = Some(at.clone())).await;
    assert!(bench.id().await.is_some());
    let mut config = host.config();
    config.directory = Some(at);
    let again = StsCache::open(config, bench.script.start().await, clock(&bench.time)).unwrap();
    assert_eq!(again.policy("a.example").await.policy.unwrap().id, "1");
    assert_eq!(host.hits(), 1);
}

#[tokio::test]
async fn the_cache_has_a_limit() {
    let bench = bench_with(PolicyHost::start("mta-sts.a.example").await, |config| config.capacity = 1).await;
    let _ = bench.script.clone().txt("_mta-sts.b.example", &["v=STSv1; id=9;"]);
    assert!(bench.cache.policy("b.example").await.policy.is_none(), "the certificate is for another host");
    assert!(bench.id().await.is_some());
    assert!(bench.cache.policy("b.example").await.policy.is_none());
    assert!(bench.cache.list().len() <= 1);
}
