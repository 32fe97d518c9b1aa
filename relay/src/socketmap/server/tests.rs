use proptest::prelude::*;
use tokio::io::DuplexStream;
use tokio::io::duplex;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::*;

/// Knows `fast…` at once and `slow…` after a moment; `never` it does not know at all.
struct Echo;

impl Table for Echo {
    fn at_once(&self, request: Request<'_>) -> Option<Answer> {
        request.key.starts_with("fast").then(|| Answer::Ok(format!("{}/{}", request.map, request.key)))
    }

    async fn look_up(&self, request: Request<'_>) -> Answer {
        if request.key == "never" {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(20)).await;
        Answer::Ok(format!("{}/{}", request.map, request.key))
    }
}

fn limits() -> ServerLimits {
    ServerLimits {
        idle: Duration::from_millis(300),
        answer: Duration::from_millis(200),
        write: Duration::from_millis(300),
        request: 1000,
        ..ServerLimits::default()
    }
}

/// One conversation over a pipe; the sender of `stop` must live as long as it.
fn start() -> (DuplexStream, JoinHandle<Result<(), Fault>>, watch::Sender<bool>) {
    let (client, server) = duplex(512);
    let (stopper, stop) = watch::channel(false);
    let task = tokio::spawn(async move { converse(server, &Echo, &limits(), stop).await });
    (client, task, stopper)
}

async fn read(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = vec![0; 1000];
    let count = client.read(&mut text).await.unwrap();
    String::from_utf8(text[..count].to_vec()).unwrap()
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_order() {
    let (mut client, task, _stop) = start();
    client.write_all(b"7:M fast1,6:M slow,7:M fast2,").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "10:OK M/fast1,9:OK M/slow,10:OK M/fast2,");
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_in_pieces_is_answered() {
    let (mut client, _task, _stop) = start();
    for piece in [&b"6"[..], b":M fa", b"st", b","] {
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&mut client).await, "9:OK M/fast,");
}

#[tokio::test]
async fn a_look_up_that_takes_too_long_is_answered_with_temp() {
    let (mut client, _task, _stop) = start();
    client.write_all(b"7:M never,6:M fast,").await.unwrap();
    assert!(read(&mut client).await.contains(":TEMP the look-up takes too long"));
}

#[tokio::test]
async fn garbage_ends_the_connection_after_the_answers_before_it() {
    for (garbage, fault) in
        [("x", "malformed"), ("1001:", "longer"), ("4:fast,", "NAME KEY"), ("1:ab", "comma")]
    {
        let (mut client, task, _stop) = start();
        client.write_all(format!("6:M fast,{garbage}").as_bytes()).await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "9:OK M/fast,", "{garbage}");
        let ended = task.await.unwrap().unwrap_err().to_string();
        assert!(ended.contains(fault), "{garbage}: {ended}");
    }
}

#[tokio::test]
async fn silence_ends_the_connection_and_in_the_middle_of_a_request_is_a_fault() {
    let (_client, task, _stop) = start();
    assert!(task.await.unwrap().is_ok());
    let (mut client, task, _stop) = start();
    client.write_all(b"6:M f").await.unwrap();
    assert!(matches!(task.await.unwrap(), Err(Fault::Silent)));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let (mut client, task, _stop) = start();
    let many = "6:M fast,".repeat(200);
    let _ = client.write_all(many.as_bytes()).await;
    assert!(matches!(task.await.unwrap(), Err(Fault::Stuck)));
}

#[tokio::test]
async fn tcp_and_unix_are_served_until_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (stopper, stop) = watch::channel(false);
    let listeners = [Listener::Tcp(tcp), Listener::Unix(UnixListener::bind(&path).unwrap())];
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(serve(listener, Arc::new(Echo), limits(), stop.clone())))
        .collect();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(b"6:M fast,").await.unwrap();
    assert_eq!(read(&mut tcp).await, "9:OK M/fast,");
    let mut unix = UnixStream::connect(&path).await.unwrap();
    unix.write_all(b"6:M slow,").await.unwrap();
    sleep(Duration::from_millis(5)).await;
    stopper.send(true).unwrap();
    assert_eq!(read(&mut unix).await, "9:OK M/slow,", "a request that has arrived is finished");
    for server in servers {
        server.await.unwrap();
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_place() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (_stopper, stop) = watch::channel(false);
    let limits = ServerLimits { connections: 1, idle: Duration::from_secs(60), ..limits() };
    tokio::spawn(serve(Listener::Tcp(tcp), Arc::new(Echo), limits, stop));
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"6:M fast,").await.unwrap();
    assert_eq!(read(&mut first).await, "9:OK M/fast,");
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(b"6:M fast,").await.unwrap();
    assert!(timeout(Duration::from_millis(50), read(&mut second)).await.is_err());
    drop(first);
    assert_eq!(read(&mut second).await, "9:OK M/fast,");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_input_panics_or_hangs(input in prop::collection::vec(prop::sample::select(b"0123456789:,M fast\xff\0".to_vec()), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, task, _stop) = start();
            client.write_all(&input).await.unwrap();
            client.shutdown().await.unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            let _ = task.await.unwrap();
        });
    }
}
