//! Requests and replies on a port of this machine.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The path with its query.
    pub path: String,
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn without(&self, name: &str) -> Self {
        let mut request = self.clone();
        let is_other = |(own, _): &(String, String)| !own.eq_ignore_ascii_case(name);
        request.headers.retain(is_other);
        request
    }

    /// The first byte that is asked for.
    fn from(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Closes the connection after this many bytes of the body.
    pub cut: Option<usize>,
    /// Sends nothing for a while after this many bytes of the body.
    pub stall: Option<usize>,
    /// Sends these bytes in place of all that.
    pub raw: Option<Vec<u8>>,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn redirect(location: impl ToString) -> Self {
        Self::new(302).with("location", location)
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

/// How long a stalled connection is silent. The client's patience is shorter.
const SILENCE: Duration = Duration::from_secs(4);

/// A server on a port of its own, until the test ends.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    cuts: Arc<Mutex<VecDeque<Option<usize>>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            address,
            log: Arc::clone(&log),
            cuts: Arc::default(),
        };
        let cuts = Arc::clone(&server.cuts);
        let handler = Arc::new(handler);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // Head and body are written one after the other, and neither waits.
                stream.set_nodelay(true).unwrap();
                let handler = Arc::clone(&handler);
                let log = Arc::clone(&log);
                let cuts = Arc::clone(&cuts);
                thread::spawn(move || {
                    let mut cut = || cuts.lock().unwrap().pop_front().flatten();
                    let reader = stream.try_clone().unwrap();
                    let _ = serve_with_cuts(reader, stream, &*handler, &log, &mut cut);
                });
            }
        });
        server
    }

    /// The address by number.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address by name, which is another host.
    pub fn url_by_name(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Ends the connections of the next requests with content after so many bytes of it.
    pub fn cut_content(&self, cuts: impl IntoIterator<Item = Option<usize>>) {
        self.cuts.lock().unwrap().extend(cuts);
    }

    /// What arrived since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

/// Answers requests on a connection until it is closed.
pub fn serve(
    reader: impl Read,
    writer: impl Write + Close,
    handler: &dyn Fn(&Request) -> Reply,
    log: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    serve_with_cuts(reader, writer, handler, log, &mut || None)
}

fn serve_with_cuts(
    reader: impl Read,
    mut writer: impl Write + Close,
    handler: &dyn Fn(&Request) -> Reply,
    log: &Mutex<Vec<Request>>,
    cut: &mut dyn FnMut() -> Option<usize>,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    while let Some(mut request) = read_request(&mut reader)? {
        let length = request.header("content-length").map(str::parse);
        if let Some(length) = length.filter(|_| request.method != "HEAD") {
            let length: u64 = length.unwrap();
            let cut = cut();
            let most = cut.map_or(length, |cut| length.min(cut as u64));
            (&mut reader).take(most).read_to_end(&mut request.body)?;
            // Content that ends too soon is as if it had never come.
            if cut.is_some() || (request.body.len() as u64) < length {
                log.lock().unwrap().push(request);
                writer.close();
                return Ok(());
            }
        }
        log.lock().unwrap().push(request.clone());
        let reply = handler(&request);
        if !write_reply(&mut writer, &request, &reply)? {
            writer.close();
            return Ok(());
        }
    }
    Ok(())
}

/// A connection that can be ended.
pub trait Close {
    fn close(&mut self);
}

impl Close for TcpStream {
    fn close(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_string();
    let method = word();
    let path = word();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_string(), value.to_string()));
    }
    Ok(Some(Request {
        method,
        path,
        body: Vec::new(),
        headers,
    }))
}

/// Whether the connection goes on.
fn write_reply(writer: &mut impl Write, request: &Request, reply: &Reply) -> io::Result<bool> {
    if let Some(raw) = &reply.raw {
        writer.write_all(raw)?;
        writer.flush()?;
        return Ok(false);
    }
    let mut head = format!("HTTP/1.1 {} Reason\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply.has("content-length") && !reply.has("transfer-encoding") && !reply.has("connection") {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    writer.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        writer.flush()?;
        return Ok(true);
    }
    if let Some(sent) = reply.cut.or(reply.stall) {
        writer.write_all(&reply.body[..sent.min(reply.body.len())])?;
        writer.flush()?;
        if reply.stall.is_some() {
            thread::sleep(SILENCE);
        }
        return Ok(false);
    }
    writer.write_all(&reply.body)?;
    writer.flush()?;
    Ok(!reply.has("connection"))
}

/// Bytes with a tag, by the rules of ranges.
pub fn content(request: &Request, body: &[u8], etag: &str) -> Reply {
    let reply = |status| {
        Reply::new(status)
            .with("etag", format!("\"{etag}\""))
            .with("accept-ranges", "bytes")
    };
    let is_same = request
        .header("if-range")
        .is_none_or(|tag| tag == format!("\"{etag}\""));
    match request.from().filter(|_| is_same) {
        None => reply(200).with_body(body),
        Some(from) if from >= body.len() => {
            reply(416).with("content-range", format!("bytes */{}", body.len()))
        }
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
            reply(206)
                .with("content-range", range)
                .with_body(&body[from..])
        }
    }
}
