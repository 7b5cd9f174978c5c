//! Requests: redirects that keep the token at home, and failures by their kind.

use std::error::Error as _;
use std::io::{self, Read};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use cnn_core::ArgumentError;
use ureq::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_RANGE, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{HeaderMap, Method};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, RequestBuilder, SendBody, Timeout};

use super::{Content, Url, header};
use crate::{Error, HubConfig, Progress};

const MOST_REDIRECTS: usize = 8;

/// All headers of an answer together.
const MOST_HEADER_BYTES: usize = 64 << 10;

/// An answer with headers must be there after this many silences' time, however it trickles.
const HEADER_SILENCES: u32 = 4;

/// What a server said in a header is shown up to here.
const LONGEST_MESSAGE: usize = 200;

/// What a server said in the body of an error is looked for in this many bytes.
const LARGEST_MESSAGE: u64 = 8 << 10;

/// Which redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// All that are safe.
    All,
    /// Up to the one that tells of the file that it leads to, as the hub's do.
    UntilDescribed,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// What is asked for, for messages.
    pub(crate) what: &'a str,
    pub(crate) url: &'a Url,
    pub(crate) method: Method,
    pub(crate) follow: Follow,
    /// The first byte that is wanted; 0 asks for all without naming a range.
    pub(crate) from: u64,
    /// The range is wanted only of the file that has this validator.
    pub(crate) if_range: Option<&'a str>,
    /// Whether the content is verified, so that nobody on the way can change it.
    pub(crate) is_verified: bool,
    /// Headers for the host of `url` alone.
    pub(crate) headers: &'a HeaderMap,
    /// Whether the token is sent, where the host is the hub.
    pub(crate) with_token: bool,
}

impl<'a> Request<'a> {
    /// A request for all of something, with the token where that belongs.
    pub(crate) fn new(what: &'a str, method: Method, url: &'a Url) -> Self {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        Self {
            what,
            url,
            method,
            follow: Follow::All,
            from: 0,
            if_range: None,
            is_verified: false,
            headers: &NONE,
            with_token: true,
        }
    }
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Who gave it, after all redirects.
    pub(crate) url: Url,
    /// The headers of the redirects on the way.
    redirects: Vec<HeaderMap>,
    body: Body,
    /// What its body says about an error, once that was read.
    said: Option<String>,
    /// Whether the token was sent to who gave it.
    pub(crate) with_token: bool,
    stall_timeout: Duration,
}

/// What is sent, and who is told.
struct Upload<'a, 'b> {
    content: &'a mut Content<'b>,
    progress: &'a mut dyn Progress,
}

/// Asks.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    config: Arc<HubConfig>,
}

impl Client {
    pub(crate) fn new(config: Arc<HubConfig>) -> Result<Self, Error> {
        let certificates = match &config.certificates {
            Some(file) => read_certificates(file)?,
            None => RootCerts::WebPki,
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_response_header_size(MOST_HEADER_BYTES)
            .accept_encoding("identity")
            .user_agent(concat!("cnn-hub/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .tls_config(TlsConfig::builder().root_certs(certificates).build())
            .timeout_resolve(Some(config.connect_timeout))
            .timeout_connect(Some(config.connect_timeout))
            .timeout_recv_response(Some(config.stall_timeout.saturating_mul(HEADER_SILENCES)))
            .timeout_per_read(Some(config.stall_timeout))
            .timeout_per_write(Some(config.stall_timeout))
            .build();
        Ok(Self {
            agent: agent.into(),
            config,
        })
    }

    pub(crate) fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The answer to a request without content, after the redirects that are followed.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.exchange(request, None)
    }

    /// The answer to a request with content. Only redirects within the same origin that ask for
    /// the same request again are followed, so that the content reaches nobody else.
    pub(crate) fn upload(
        &self,
        request: &Request<'_>,
        content: &mut Content<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Answer, Error> {
        self.exchange(request, Some(&mut Upload { content, progress }))
    }

    fn exchange(
        &self,
        request: &Request<'_>,
        mut upload: Option<&mut Upload<'_, '_>>,
    ) -> Result<Answer, Error> {
        let mut url = request.url.clone();
        let mut redirects = Vec::new();
        loop {
            self.check_encryption(request, &url)?;
            let is_upload = upload.is_some();
            let answer = self.ask(request, &url, redirects, upload.as_deref_mut())?;
            let Some(location) = answer.location() else {
                return Ok(answer);
            };
            let refused = |to: &str, reason| Error::Redirect {
                from: url.to_string(),
                to: to.to_string(),
                reason,
            };
            let next = match url.join(location) {
                Ok(next) => next,
                Err(reason) => return Err(refused(&shortened(location), reason)),
            };
            if url.is_https() && !next.is_https() {
                return Err(refused(&next.to_string(), "it is not encrypted"));
            }
            let is_repeated = matches!(answer.status, 307 | 308) && url.same_origin(&next);
            if is_upload && !is_repeated {
                return Err(refused(&next.to_string(), "an upload goes to nobody else"));
            }
            if request.follow == Follow::UntilDescribed && answer.describes(&url, &next) {
                return Ok(answer);
            }
            redirects = answer.redirects;
            redirects.push(answer.headers);
            if redirects.len() > MOST_REDIRECTS {
                return Err(refused(
                    &next.to_string(),
                    "there were 8 redirects before it",
                ));
            }
            url = next;
        }
    }

    /// One request, without redirects.
    fn ask(
        &self,
        request: &Request<'_>,
        url: &Url,
        redirects: Vec<HeaderMap>,
        upload: Option<&mut Upload<'_, '_>>,
    ) -> Result<Answer, Error> {
        let is_home = url.same_origin(&self.config.endpoint) && request.with_token;
        let token = self.config.token.as_ref().filter(|_| is_home);
        let token = token.map(|token| format!("Bearer {}", token.as_str()));
        let token = token.as_deref();
        let response = match upload {
            None => {
                let builder = match request.method {
                    Method::HEAD => self.agent.head(url.as_uri()),
                    _ => self.agent.get(url.as_uri()),
                };
                self.prepared(builder, request, url, token)?.call()
            }
            Some(Upload { content, progress }) => {
                let builder = match request.method {
                    Method::PUT => self.agent.put(url.as_uri()),
                    _ => self.agent.post(url.as_uri()),
                };
                let builder = self
                    .prepared(builder, request, url, token)?
                    .header(CONTENT_LENGTH, content.length());
                let builder = match content.kind() {
                    Some(kind) => builder.header(CONTENT_TYPE, kind),
                    None => builder,
                };
                let mut reader = content.reader(*progress)?;
                let response = builder.send(SendBody::from_reader(&mut reader));
                match reader.into_error() {
                    Some(error) => return Err(error),
                    None => response,
                }
            }
        };
        let response = response.map_err(|error| self.failure(error, url, request.what))?;
        let (parts, body) = response.into_parts();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            url: url.clone(),
            redirects,
            body,
            said: None,
            with_token: token.is_some(),
            stall_timeout: self.config.stall_timeout,
        })
    }

    /// The request with its headers and the proxy by which it goes.
    fn prepared<B>(
        &self,
        mut builder: RequestBuilder<B>,
        request: &Request<'_>,
        url: &Url,
        token: Option<&str>,
    ) -> Result<RequestBuilder<B>, Error> {
        if let Some(proxy) = self.config.proxies.of(url) {
            let proxy =
                Proxy::new(proxy).map_err(|error| self.failure(error, url, request.what))?;
            builder = builder.config().proxy(Some(proxy)).build();
        }
        if request.from > 0 {
            builder = builder.header(RANGE, format!("bytes={}-", request.from));
            if let Some(validator) = request.if_range {
                builder = builder.header(IF_RANGE, validator);
            }
        }
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, token);
        }
        if url.same_origin(request.url) {
            for (name, value) in request.headers {
                builder = builder.header(name, value);
            }
        }
        Ok(builder)
    }

    /// Plain `http` is for this machine, for the hub and the mirror that somebody named so, and for
    /// what is verified anyway.
    fn check_encryption(&self, request: &Request<'_>, url: &Url) -> Result<(), Error> {
        let is_accepted = url.is_https()
            || url.is_loopback()
            || request.is_verified
            || url.same_origin(&self.config.endpoint)
            || self
                .config
                .mirror
                .as_ref()
                .is_some_and(|mirror| url.same_origin(mirror));
        if !is_accepted {
            return Err(Error::Insecure {
                url: url.to_string(),
            });
        }
        Ok(())
    }

    fn failure(&self, error: ureq::Error, url: &Url, what: &str) -> Error {
        failure(error, url, what, self.config.stall_timeout)
    }
}

impl Answer {
    /// A header's value, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header's value from the first of the redirects that has it, or else from the answer.
    pub(crate) fn first_header(&self, name: &str) -> Option<&str> {
        let all = self.redirects.iter().chain([&self.headers]);
        let mut values = all.filter_map(|headers| headers.get(name)?.to_str().ok());
        values.next()
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn was_redirected(&self) -> bool {
        !self.redirects.is_empty()
    }

    /// Where a redirect leads.
    pub(crate) fn location(&self) -> Option<&str> {
        let is_redirect = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        self.headers
            .get(LOCATION)
            .filter(|_| is_redirect)?
            .to_str()
            .ok()
    }

    /// Whether a redirect of the hub says what the file is that it leads to.
    fn describes(&self, from: &Url, to: &Url) -> bool {
        self.header("x-linked-etag").is_some()
            || (self.header("x-repo-commit").is_some() && !from.same_origin(to))
    }

    /// How long the server asks to wait.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        let retry_after = self
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let wait = retry_after.and_then(|value| header::retry_after(value, SystemTime::now()));
        wait.or_else(|| header::rate_limit_reset(self.header("ratelimit")?))
    }

    /// What the server says about an error, cut where it is long.
    pub(crate) fn message(&self) -> String {
        let said = self.header("x-error-message").or(self.said.as_deref());
        shortened(said.unwrap_or_default())
    }

    /// Looks in the body for what the server says about an error.
    pub(crate) fn read_message(&mut self) {
        #[derive(serde::Deserialize)]
        struct Message {
            error: String,
        }
        let mut body = Vec::new();
        let mut reader = self.body.as_reader().take(LARGEST_MESSAGE);
        // An error whose reason does not arrive is still that error.
        let _ = reader.read_to_end(&mut body);
        let message: Option<Message> = serde_json::from_slice(&body).ok();
        self.said = message.map(|message| message.error);
    }

    /// The error of a status that says nothing about repositories.
    pub(crate) fn refusal(&self, what: &str) -> Error {
        let host = self.url.host_and_port();
        match self.status {
            401 => Error::Unauthorized {
                host,
                with_token: self.with_token,
            },
            403 => Error::Forbidden {
                host,
                what: what.to_string(),
                message: self.message(),
            },
            404 | 410 => Error::NotFound {
                url: self.url.to_string(),
                status: self.status,
            },
            status => Error::Status {
                host,
                what: what.to_string(),
                status,
                message: self.message(),
            },
        }
    }

    /// The error of an answer that makes no sense.
    pub(crate) fn nonsense(&self, what: &str, reason: impl Into<String>) -> Error {
        Error::BadAnswer {
            host: self.url.host_and_port(),
            what: what.to_string(),
            reason: reason.into(),
        }
    }

    /// The body's next bytes; none at its end.
    pub(crate) fn into_reader(self, what: &str) -> Reader<'_> {
        Reader {
            url: self.url,
            what,
            stall_timeout: self.stall_timeout,
            body: Box::new(self.body.into_reader()),
        }
    }

    /// The whole body, which must be small.
    pub(crate) fn read(self, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut reader = self.into_reader(what);
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                return Ok(bytes);
            }
            if bytes.len() as u64 + read as u64 > limit {
                return Err(Error::TooLarge {
                    what: what.to_string(),
                    limit,
                    found: None,
                });
            }
            bytes.extend_from_slice(&buffer[..read]);
        }
    }
}

/// The body of an answer.
pub(crate) struct Reader<'a> {
    url: Url,
    what: &'a str,
    stall_timeout: Duration,
    body: Box<dyn Read>,
}

impl Reader<'_> {
    /// The next bytes; none at the end of the body, and an error where the connection ends before.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.body.read(buffer) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    let error = ureq::Error::from(error);
                    return Err(failure(error, &self.url, self.what, self.stall_timeout));
                }
            }
        }
    }
}

/// Which of our errors a failure of the connection is.
fn failure(error: ureq::Error, url: &Url, what: &str, stall_timeout: Duration) -> Error {
    let host = url.host_and_port();
    let what = what.to_string();
    match error {
        ureq::Error::HostNotFound => Error::NoNetwork {
            host,
            what,
            reason: "there is no host of this name".to_string(),
        },
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => Error::NoNetwork {
            host,
            what,
            reason: "no connection came about in time".to_string(),
        },
        ureq::Error::Timeout(Timeout::RecvResponse) => Error::Stalled {
            host,
            what,
            seconds: stall_timeout.saturating_mul(HEADER_SILENCES),
        },
        ureq::Error::Timeout(_) => Error::Stalled {
            host,
            what,
            seconds: stall_timeout,
        },
        ureq::Error::Io(error) => io_failure(&error, host, what),
        ureq::Error::ConnectionFailed => Error::NoNetwork {
            host,
            what,
            reason: "the connection failed".to_string(),
        },
        ureq::Error::ConnectProxyFailed(reason) => Error::Proxy { host, reason },
        ureq::Error::InvalidProxyUrl => Error::Proxy {
            host,
            reason: "its address is none".to_string(),
        },
        ureq::Error::Tls(reason) => Error::Tls {
            host,
            reason: reason.to_string(),
        },
        error @ (ureq::Error::Rustls(_) | ureq::Error::Pem(_) | ureq::Error::TlsRequired) => {
            Error::Tls {
                host,
                reason: error.to_string(),
            }
        }
        error => Error::BadAnswer {
            host,
            what,
            reason: shortened(&error.to_string()),
        },
    }
}

fn io_failure(error: &io::Error, host: String, what: String) -> Error {
    use io::ErrorKind as Kind;
    let reason = error.to_string();
    match error.kind() {
        Kind::UnexpectedEof
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::NotConnected => Error::Cut { host, what, reason },
        // A certificate that is not accepted arrives as invalid data.
        Kind::InvalidData => Error::Tls { host, reason },
        _ => match error.source() {
            Some(source) => Error::NoNetwork {
                host,
                what,
                reason: format!("{reason}: {source}"),
            },
            None => Error::NoNetwork { host, what, reason },
        },
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).collect()
}

fn read_certificates(file: &std::path::Path) -> Result<RootCerts, Error> {
    let text = std::fs::read(file).map_err(|error| Error::io("read SSL_CERT_FILE", file, error))?;
    let items = ureq::tls::parse_pem(&text);
    let certificates: Vec<_> = items
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        let found = format!("{} without certificates", file.display());
        return Err(
            ArgumentError::new("SSL_CERT_FILE", found, "a file of certificates in PEM").into(),
        );
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
