//! One HTTP/1.1 request over a connection that is already there. Nothing is followed, nothing is cached.

use std::io;

use tokio::io::AsyncBufRead;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;

/// Most octets of status line, header fields and trailers together.
const HEAD_MAX: u64 = 16 * 1024;
/// Most interim answers (1xx) before the final one.
const INTERIM_MAX: usize = 8;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// Three digits.
    pub status: u16,
    /// The value of Content-Type, as sent.
    pub media_type: Option<String>,
    /// The value of Location, as sent.
    pub location: Option<String>,
    /// Empty unless the status is 200, or the answer is to [`submit`].
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// What came is no answer.
    #[error("the answer is no HTTP/1.1")]
    Malformed,
    /// More than was wanted.
    #[error("the answer is larger than {0} octets")]
    TooLarge(usize),
    /// An encoding that was not asked for.
    #[error("the answer is encoded as {0}")]
    Encoded(String),
}

/// Asks for `path` at `host` (host or host:port); the body may have `limit` octets.
///
/// # Errors
/// There is no answer, or it is not to be used. Another status than 200 is an answer.
pub async fn get<S>(
    stream: S,
    host: &str,
    path: &str,
    accept: &str,
    limit: usize,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("GET {path} HTTP/1.1\r\n{}", fields(host, accept));
    exchange(stream, format!("{request}\r\n").as_bytes(), limit, Bodies::OfSuccess).await
}

/// Sends a body of a media type to `path` at `host` (host or host:port), and wants `accept` back, at most
/// `limit` octets.
///
/// # Errors
/// As [`get`].
pub async fn post<S>(
    stream: S,
    host: &str,
    path: &str,
    (media_type, content): (&str, &[u8]),
    accept: &str,
    limit: usize,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = post_request(host, path, (media_type, content), accept);
    exchange(stream, &request, limit, Bodies::OfSuccess).await
}

/// The same, for protocols in which the body counts whatever the status says.
///
/// # Errors
/// As [`get`].
pub async fn submit<S>(
    stream: S,
    host: &str,
    path: &str,
    content: (&str, &[u8]),
    accept: &str,
    limit: usize,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    exchange(stream, &post_request(host, path, content, accept), limit, Bodies::OfAll).await
}

/// Which bodies are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bodies {
    OfAll,
    OfSuccess,
}

fn post_request(host: &str, path: &str, (media_type, content): (&str, &[u8]), accept: &str) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\n{}Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        fields(host, accept),
        content.len()
    )
    .into_bytes();
    request.extend_from_slice(content);
    request
}

fn fields(host: &str, accept: &str) -> String {
    format!(
        "Host: {host}\r\nUser-Agent: gatepost\r\nAccept: {accept}\r\nAccept-Encoding: identity\r\n\
         Connection: close\r\n"
    )
}

async fn exchange<S>(stream: S, request: &[u8], limit: usize, bodies: Bodies) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(request).await?;
    stream.get_mut().flush().await?;
    let mut budget = HEAD_MAX;
    let mut head = Head::read(&mut stream, &mut budget).await?;
    for _ in 0..INTERIM_MAX {
        if !(100..200).contains(&head.status) {
            break;
        }
        head = Head::read(&mut stream, &mut budget).await?;
    }
    let (status, media_type, location) = (head.status, head.media_type.clone(), head.location.clone());
    // RFC 9110 section 6.4.1: some never have one.
    let wanted = status == 200 || bodies == Bodies::OfAll && !matches!(status, 204 | 304);
    let body = if wanted { body(&mut stream, &head, limit, &mut budget).await? } else { Vec::new() };
    Ok(Response { status, media_type, location, body })
}

#[derive(Default)]
struct Head {
    status: u16,
    media_type: Option<String>,
    location: Option<String>,
    length: Option<u64>,
    chunked: bool,
    encoding: Option<String>,
}

impl Head {
    async fn read(stream: &mut (impl AsyncBufRead + Unpin), budget: &mut u64) -> Result<Self, HttpError> {
        let status_line = line(stream, budget).await?;
        let mut words = status_line.splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        let code = words.next().unwrap_or_default();
        if !version.starts_with("HTTP/1.") || code.len() != 3 {
            return Err(HttpError::Malformed);
        }
        let mut head = Self { status: code.parse().map_err(|_| HttpError::Malformed)?, ..Self::default() };
        loop {
            let field = line(stream, budget).await?;
            if field.is_empty() {
                return Ok(head);
            }
            let (name, value) = field.split_once(':').ok_or(HttpError::Malformed)?;
            head.note(&name.to_ascii_lowercase(), value.trim_matches([' ', '\t']))?;
        }
    }

    fn note(&mut self, name: &str, value: &str) -> Result<(), HttpError> {
        match name {
            "content-type" => {
                self.media_type.get_or_insert_with(|| value.to_owned());
            }
            "location" => {
                self.location.get_or_insert_with(|| value.to_owned());
            }
            "content-length" => {
                let length = value.parse().map_err(|_| HttpError::Malformed)?;
                if self.length.replace(length).is_some_and(|before| before != length) {
                    return Err(HttpError::Malformed);
                }
            }
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => self.chunked = true,
            "transfer-encoding" => return Err(HttpError::Encoded(value.to_owned())),
            "content-encoding" if !value.eq_ignore_ascii_case("identity") => {
                self.encoding = Some(value.to_owned())
            }
            _ => {}
        }
        Ok(())
    }
}

async fn body(
    stream: &mut (impl AsyncBufRead + Unpin),
    head: &Head,
    limit: usize,
    budget: &mut u64,
) -> Result<Vec<u8>, HttpError> {
    if let Some(encoding) = &head.encoding {
        return Err(HttpError::Encoded(encoding.clone()));
    }
    if head.chunked {
        return chunks(stream, limit, budget).await;
    }
    let mut body = Vec::new();
    match head.length {
        Some(length) => exactly(stream, length, limit, &mut body).await?,
        None => {
            stream.take(limit as u64 + 1).read_to_end(&mut body).await?;
            if body.len() > limit {
                return Err(HttpError::TooLarge(limit));
            }
        }
    }
    Ok(body)
}

async fn chunks(
    stream: &mut (impl AsyncBufRead + Unpin),
    limit: usize,
    budget: &mut u64,
) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    loop {
        let size = line(stream, budget).await?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(HttpError::Malformed);
        }
        let size = u64::from_str_radix(digits, 16).map_err(|_| HttpError::Malformed)?;
        if size == 0 {
            while !line(stream, budget).await?.is_empty() {}
            return Ok(body);
        }
        exactly(stream, size, limit, &mut body).await?;
        if !line(stream, budget).await?.is_empty() {
            return Err(HttpError::Malformed);
        }
    }
}

async fn exactly(
    stream: &mut (impl AsyncBufRead + Unpin),
    length: u64,
    limit: usize,
    body: &mut Vec<u8>,
) -> Result<(), HttpError> {
    let before = body.len() as u64;
    if before.saturating_add(length) > limit as u64 {
        return Err(HttpError::TooLarge(limit));
    }
    stream.take(length).read_to_end(body).await?;
    if body.len() as u64 == before + length {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

/// One line without its end. Header octets beyond ASCII are replaced, never an error.
async fn line(stream: &mut (impl AsyncBufRead + Unpin), budget: &mut u64) -> Result<String, HttpError> {
    let mut bytes = Vec::new();
    let length = stream.take(*budget).read_until(b'\n', &mut bytes).await?;
    *budget = budget.saturating_sub(length as u64);
    if bytes.pop() != Some(b'\n') {
        let end = io::Error::from(io::ErrorKind::UnexpectedEof).into();
        return Err(if *budget == 0 { HttpError::TooLarge(HEAD_MAX as usize) } else { end });
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn respond(answer: &[u8]) -> Result<Response, HttpError> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let answer = answer.to_vec();
        let server = tokio::spawn(async move {
            let mut request = vec![0; 1024];
            let length = far.read(&mut request).await.unwrap();
            assert!(
                request[..length]
                    .starts_with(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.a.example\r\n")
            );
            far.write_all(&answer).await.unwrap();
        });
        let response = get(near, "mta-sts.a.example", "/.well-known/mta-sts.txt", "text/plain", 20).await;
        server.await.unwrap();
        response
    }

    #[tokio::test]
    async fn bodies_by_length_chunks_and_end() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello, ignored",
            "HTTP/1.1 200 OK\r\ncontent-type:text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\na: b\r\n\r\n",
            "HTTP/1.0 200\ncontent-type: text/plain\n\nhello",
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello",
        ] {
            let response = respond(answer.as_bytes()).await.unwrap();
            assert_eq!((response.status, response.body.as_slice()), (200, &b"hello"[..]), "{answer}");
            assert_eq!(response.media_type.as_deref(), Some("text/plain"));
        }
    }

    #[tokio::test]
    async fn what_is_posted_arrives_with_its_type_and_length() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let server = tokio::spawn(async move {
            let mut request = vec![0; 1024];
            let length = far.read(&mut request).await.unwrap();
            far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let content = ("application/ocsp-request", &b"question"[..]);
        let response = post(near, "a.example:81", "/ocsp", content, "text/plain", 3).await.unwrap();
        assert_eq!(response.body, b"yes");
        let request = server.await.unwrap();
        assert!(request.starts_with("POST /ocsp HTTP/1.1\r\nHost: a.example:81\r\n"), "{request}");
        assert!(request.contains("\r\nContent-Type: application/ocsp-request\r\nContent-Length: 8\r\n"));
        assert!(request.ends_with("\r\n\r\nquestion"), "{request}");
    }

    #[tokio::test]
    async fn the_body_of_an_answer_to_a_submission_counts_whatever_its_status() {
        for (answer, expected) in [
            (
                "HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 3\r\n\r\n42\n",
                "42\n",
            ),
            ("HTTP/1.1 204 No Content\r\n\r\nx", ""),
        ] {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let served = async {
                let mut request = vec![0; 1024];
                let length = far.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"POST / HTTP/1.1\r\nHost: a.example\r\n"));
                far.write_all(answer.as_bytes()).await.unwrap();
                drop(far);
            };
            let asked = submit(near, "a.example", "/", ("text/plain", b"x"), "*/*", 20);
            let (said, ()) = tokio::join!(asked, served);
            assert_eq!(said.unwrap().body, expected.as_bytes(), "{answer}");
        }
    }

    #[tokio::test]
    async fn other_statuses_are_told_and_nothing_is_followed() {
        let moved =
            respond(b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.example/\r\n\r\n").await.unwrap();
        assert_eq!((moved.status, moved.body.len()), (301, 0));
    }

    #[tokio::test]
    async fn bodies_above_the_limit_are_refused() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(21)),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
        ] {
            assert!(matches!(respond(answer.as_bytes()).await, Err(HttpError::TooLarge(_))));
        }
    }

    #[tokio::test]
    async fn what_is_no_http_is_refused() {
        for answer in [
            "220 mx.example ESMTP\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhe",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\n",
            "",
        ] {
            assert!(respond(answer.as_bytes()).await.is_err(), "{answer}");
        }
    }
}
