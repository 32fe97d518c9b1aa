use std::sync::Arc;
use std::time::Duration;

use domain::base::Rtype;
use rustls::RootCertStore;
use url::Url;

use super::script::Reply;
use super::script::Web;
use super::*;
use crate::dns::script::Fault;
use crate::dns::script::Script;

const NAMES: &[&str] = &["a.example", "*.a.example", "b.example"];

struct World {
    web: Web,
    client: Https,
}

async fn world(script: &Script) -> World {
    let web = Web::start(NAMES).await;
    let reach = Reach { connect_to: Some(web.address), ..Reach::default() };
    let client = Https::new(script.start().await, Some(Arc::clone(&web.roots)), reach).unwrap();
    World { web, client }
}

fn script() -> Script {
    Script::new().addr("a.example", "9.9.9.9").addr("www.a.example", "9.9.9.10").addr("b.example", "9.9.9.11")
}

impl World {
    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        self.get_within(url, Duration::from_secs(20)).await
    }

    async fn get_within(&self, url: &str, deadline: Duration) -> Result<Fetched, FetchError> {
        let redirects = Redirects::Within("a.example");
        let wish = Wish { accept: "*/*", limit: 1000, deadline, redirects, configured: false };
        self.client.get(&Url::parse(url).unwrap(), &wish).await
    }
}

#[tokio::test]
async fn a_good_answer_comes_with_its_url() {
    let world = world(&script()).await;
    world.web.reply("a.example/x?l=%20", Reply::ok(b"hello"));
    let fetched = world.get("https://a.example/x?l=%20").await.unwrap();
    assert_eq!((fetched.response.status, fetched.response.body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(world.get("https://a.example/other").await.unwrap().response.status, 404);
}

#[tokio::test]
async fn redirects_stay_within_the_domain_and_end() {
    let world = world(&script()).await;
    world
        .web
        .reply("a.example/1", Reply::moved("/2"))
        .reply("a.example/2", Reply::moved("https://www.a.example/3"));
    world.web.reply("www.a.example/3", Reply::ok(b"there"));
    let fetched = world.get("https://a.example/1").await.unwrap();
    assert_eq!((fetched.url.as_str(), fetched.redirected), ("https://www.a.example/3", 2));
    for to in [
        "https://b.example/3",
        "http://a.example/3",
        "https://evil-a.example/",
        "https://a.example.evil.example/",
        "//b.example/",
        "ftp://a.example/",
        "https://127.0.0.1/",
        "https://a.example:22/",
        "",
        "https://a.example@b.example/",
        "https://user@a.example/",
        "gopher:x",
        "/loop",
    ] {
        world.web.reply("a.example/loop", Reply::moved(to));
        assert!(world.get("https://a.example/loop").await.is_err(), "{to}");
    }
    let asked = world.web.asked().iter().filter(|asked| *asked == "a.example/loop").count();
    assert!(asked < 30, "{asked}");
    assert!(!world.web.asked().iter().any(|asked| asked.starts_with("b.example")));
}

#[tokio::test]
async fn private_addresses_are_never_connected_to() {
    for address in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:9.9.9.9", "64:ff9b::909:909", "fd00::1"]
    {
        let world = world(&Script::new().addr("a.example", address)).await;
        world.web.reply("a.example/", Reply::ok(b"secret"));
        let error = world.get("https://a.example/").await.unwrap_err();
        assert!(matches!(error, FetchError::Forbidden { .. }), "{address}: {error}");
        assert_eq!(world.web.asked(), [""; 0]);
    }
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_checked_like_the_first() {
    let world = world(&script().addr("inside.a.example", "192.168.1.1")).await;
    world.web.reply("a.example/", Reply::moved("https://inside.a.example/"));
    world.web.reply("inside.a.example/", Reply::ok(b"secret"));
    assert!(matches!(world.get("https://a.example/").await, Err(FetchError::Forbidden { .. })));
}

/// The name changes its address between two look-ups: what was checked is what is connected to, so the second answer
/// is checked again and refused.
#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let script = script();
    let world = world(&script).await;
    world.web.reply("a.example/", Reply::ok(b"hello"));
    assert!(world.get("https://a.example/").await.is_ok());
    assert_eq!(script.asked("a.example", Rtype::A), 1, "one look-up for check and connection");
    script.clear("a.example", Rtype::A);
    let _ = script.clone().addr("a.example", "127.0.0.1");
    assert!(matches!(world.get("https://a.example/").await, Err(FetchError::Forbidden { .. })));
}

#[tokio::test]
async fn failures_of_dns_are_not_absence() {
    let script =
        script().fault("b.example", Rtype::A, Fault::Bogus).fault("www.a.example", Rtype::A, Fault::ServFail);
    let world = world(&script).await;
    assert!(matches!(world.get("https://b.example/").await, Err(FetchError::Dns { .. })));
    assert!(matches!(world.get("https://www.a.example/").await, Err(FetchError::Dns { .. })));
    assert!(matches!(world.get("https://none.a.example/").await, Err(FetchError::Absent { .. })));
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused() {
    let mut world = world(&script().addr("c.example", "9.9.9.9")).await;
    assert!(matches!(world.get("https://c.example/").await, Err(FetchError::Tls { .. })));
    let stranger = Web::start(NAMES).await;
    let reach = Reach { connect_to: Some(stranger.address), ..Reach::default() };
    let roots: Arc<RootCertStore> = Arc::clone(&world.web.roots);
    world.client = Https::new(script().start().await, Some(roots), reach).unwrap();
    assert!(matches!(world.get("https://a.example/").await, Err(FetchError::Tls { .. })));
}

#[tokio::test]
async fn bodies_without_end_and_peers_without_haste_are_cut_off() {
    let world = world(&script()).await;
    world.web.reply("a.example/flood", Reply::Flood).reply("a.example/drip", Reply::Drip);
    world.web.reply("a.example/silence", Reply::Silence);
    let gzip = Reply::Whole(200, "Content-Encoding: gzip\r\n".to_owned(), vec![0x1f, 0x8b]);
    world.web.reply("a.example/gzip", gzip);
    assert!(matches!(world.get("https://a.example/flood").await, Err(FetchError::Http { .. })));
    assert!(matches!(world.get("https://a.example/gzip").await, Err(FetchError::Http { .. })));
    for path in ["drip", "silence"] {
        let url = format!("https://a.example/{path}");
        let error = world.get_within(&url, Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, FetchError::Deadline(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_of_the_administrator_may_be_anywhere_but_not_send_us_elsewhere() {
    let web = Web::start_plain().await;
    let client = Https::new(script().start().await, None, Reach::default()).unwrap();
    let url = Url::parse(&format!("http://{}/pks", web.address)).unwrap();
    let deadline = Duration::from_secs(20);
    let redirects = Redirects::Never;
    let wish = Wish { accept: "*/*", limit: 1000, deadline, redirects, configured: true };
    web.reply(&format!("{}/pks", web.address), Reply::ok(b"key"));
    assert_eq!(client.get(&url, &wish).await.unwrap().response.body, b"key");
    web.reply(&format!("{}/pks", web.address), Reply::moved("http://127.0.0.1:1/"));
    assert_eq!(client.get(&url, &wish).await.unwrap().response.status, 302);
    let wish = Wish { configured: false, ..wish };
    assert!(matches!(client.get(&url, &wish).await, Err(FetchError::Url(_))));
}
