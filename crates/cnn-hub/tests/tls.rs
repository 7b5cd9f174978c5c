//! Encrypted connections and proxies.
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cnn_hub::{Error, Hub, HubConfig, Push, Repo, Silent, Upload, UrlFile};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use server::http::{Close, serve};
use server::{Reply, Request, Server};

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn config(cache: &Path) -> HubConfig {
    HubConfig::in_directory(cache).with_timeouts(Duration::from_secs(5), Duration::from_secs(5))
}

/// Both directions of an encrypted connection, one request at a time.
#[derive(Clone)]
struct Shared(Arc<Mutex<StreamOwned<ServerConnection, TcpStream>>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(buffer)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

impl Close for Shared {
    fn close(&mut self) {
        self.0.lock().unwrap().sock.close();
    }
}

/// The port of a server that speaks TLS with the certificate of the tests.
fn encrypted(handler: fn(&Request) -> Reply) -> u16 {
    let certificate = CertificateDer::from_pem_file(data("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(data("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let stream = Shared(Arc::new(Mutex::new(StreamOwned::new(
                    connection,
                    stream.unwrap(),
                ))));
                let _ = serve(stream.clone(), stream, &handler, &Mutex::default());
            });
        }
    });
    port
}

#[test]
fn only_known_certificates_are_believed() {
    let cache = tempfile::tempdir().unwrap();
    let port = encrypted(|_| Reply::new(200).with_body("secret weights"));
    let file = UrlFile::new(&format!("https://localhost:{port}/a.bin")).unwrap();
    let error = Hub::new(config(cache.path()))
        .unwrap()
        .url(&file, &mut Silent)
        .unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    let trusting = config(cache.path()).with_certificates(&data("certificate.pem"));
    let path = Hub::new(trusting).unwrap().url(&file, &mut Silent).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"secret weights");
    let no_certificates = config(cache.path()).with_certificates(&data("README.md"));
    let error = Hub::new(no_certificates).unwrap_err();
    assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
}

#[test]
fn a_redirect_does_not_lead_out_of_encryption() {
    let cache = tempfile::tempdir().unwrap();
    let port = encrypted(|request| match request.path.as_str() {
        "/b" => Reply::new(200).with_body("reached"),
        "/a" => Reply::redirect("/b"),
        // Not even to this machine.
        _ => Reply::redirect("http://127.0.0.1:1/b"),
    });
    let trusting = config(cache.path()).with_certificates(&data("certificate.pem"));
    let hub = Hub::new(trusting).unwrap();
    let fetch = |path: &str| {
        hub.url(
            &UrlFile::new(&format!("https://127.0.0.1:{port}/{path}")).unwrap(),
            &mut Silent,
        )
    };
    assert_eq!(fs::read(fetch("a").unwrap()).unwrap(), b"reached");
    let error = fetch("c").unwrap_err();
    assert!(
        matches!(&error, Error::Redirect { reason, .. } if reason.contains("not encrypted")),
        "{error}"
    );
}

/// A proxy that connects to whatever it is asked for, and notes what that was.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:pass%20word@{}", listener.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&log);
    thread::spawn(move || {
        for client in listener.incoming() {
            let own = Arc::clone(&own);
            thread::spawn(move || {
                let mut client = client.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    client.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                own.lock().unwrap().push(head.clone());
                let target = head.split(' ').nth(1).unwrap();
                let port = target.rsplit(':').next().unwrap();
                let Ok(mut server) = TcpStream::connect(format!("127.0.0.1:{port}")) else {
                    return client
                        .write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                        .unwrap();
                };
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
                let mut from = client.try_clone().unwrap();
                let mut to = server.try_clone().unwrap();
                thread::spawn(move || std::io::copy(&mut from, &mut to));
                let _ = std::io::copy(&mut server, &mut client);
            });
        }
    });
    (url, log)
}

#[test]
fn proxies_are_used_except_where_they_are_not() {
    let cache = tempfile::tempdir().unwrap();
    let (proxy, log) = proxy();
    let server = Server::start(|_| Reply::new(200).with_body("x"));
    let encrypted = encrypted(|_| Reply::new(200).with_body("x"));
    let fetch = |url: &str, except: &str| {
        let config = config(cache.path()).with_certificates(&data("certificate.pem"));
        let hub = Hub::new(
            config
                .with_proxies(Some(&proxy), Some(&proxy), except)
                .unwrap(),
        )
        .unwrap();
        let result = hub.url(&UrlFile::new(url).unwrap(), &mut Silent);
        (result, std::mem::take(&mut *log.lock().unwrap()))
    };
    for url in [
        format!("{}/a", server.url_by_name()),
        format!("https://localhost:{encrypted}/b"),
    ] {
        let (result, asked) = fetch(&url, "");
        result.unwrap();
        assert_eq!(asked.len(), 1, "{url}");
        // `printf 'me:pass word' | base64`
        assert!(
            asked[0].starts_with("CONNECT localhost:")
                && asked[0].contains("Basic bWU6cGFzcyB3b3Jk"),
            "{asked:?}"
        );
    }
    let (result, asked) = fetch(
        &format!("{}/c", server.url_by_name()),
        "example.org,localhost",
    );
    result.unwrap();
    assert!(asked.is_empty());
    // The proxy knows no such server.
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (result, _) = fetch(&format!("http://{unused}/d"), "");
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Proxy { .. }), "{error}");
    assert!(!error.to_string().contains("pass"), "{error}");
}

/// A hub that takes pushes, and names an address without encryption for large files.
fn careless(request: &Request) -> Reply {
    let reply = |body: &str| Reply::new(200).with_body(body);
    if request.path.contains("/preupload/") {
        return reply(r#"{"files": [{"path": "a", "uploadMode": "lfs"}]}"#);
    }
    if request.path.ends_with("/objects/batch") {
        let oid = request.json()["objects"][0]["oid"].clone();
        let upload = r#"{"href": "http://localhost:1/a"}"#;
        return reply(&format!(
            r#"{{"objects": [{{"oid": {oid}, "actions": {{"upload": {upload}}}}}]}}"#
        ));
    }
    reply("{}")
}

#[test]
fn a_push_does_not_leave_encryption() {
    let folder = tempfile::tempdir().unwrap();
    let port = encrypted(careless);
    fs::write(folder.path().join("a"), "secret weights").unwrap();
    let config = config(folder.path())
        .with_endpoint(&format!("https://localhost:{port}"))
        .unwrap()
        .with_token("hf_secret")
        .unwrap()
        .with_certificates(&data("certificate.pem"));
    let files = Upload::folder(folder.path()).unwrap();
    let push = Push::new(Repo::model("owner/name").unwrap(), files, "m").unwrap();
    let error = Hub::new(config)
        .unwrap()
        .push(&push, &mut Silent)
        .unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    assert!(error.to_string().contains("not encrypted"), "{error}");
}
