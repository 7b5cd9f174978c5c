//! Where things are asked for and kept, and how patiently.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnn_core::ArgumentError;

use crate::Error;
use crate::net::{Proxies, Url};

/// The hub where none is named.
pub(crate) const ENDPOINT: &str = "https://huggingface.co";

/// A token that is sent to the hub and to nobody else. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    fn new(text: &str) -> Result<Self, Error> {
        let is_token = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token || text.is_empty() {
            let found = "one with spaces or characters beyond ASCII";
            let expected = "a token as https://huggingface.co/settings/tokens shows it";
            return Err(ArgumentError::new("HF_TOKEN", found, expected).into());
        }
        Ok(Self(text.to_string()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// How often and how patiently a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After this many failures in a row without any byte, it is given up; by default 5.
    pub failures: u32,
    /// The delay after the first failure, doubled after each further one; by default 1 second.
    pub first_delay: Duration,
    /// The longest delay, also where a server asks for more; by default 60 seconds.
    pub longest_delay: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            failures: 5,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
        }
    }
}

/// Where a [`Hub`](crate::Hub) asks and keeps files.
///
/// [`HubConfig::from_env`] follows the variables that `huggingface_hub` follows, so both share one
/// cache; [`HubConfig::in_directory`] follows none.
#[derive(Clone, Debug)]
pub struct HubConfig {
    pub(crate) endpoint: Url,
    pub(crate) mirror: Option<Url>,
    pub(crate) token: Option<Token>,
    pub(crate) hub_cache: PathBuf,
    pub(crate) url_cache: PathBuf,
    pub(crate) torch_checkpoints: Option<PathBuf>,
    pub(crate) offline: bool,
    pub(crate) links: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) max_bytes: u64,
    pub(crate) certificates: Option<PathBuf>,
    pub(crate) proxies: Proxies,
}

impl HubConfig {
    /// Asks <https://huggingface.co> without a token or proxy, and keeps everything below `directory`:
    /// the hub's files in `hub/`, those of plain addresses in `urls/`.
    ///
    /// Connections may take 10 seconds and be silent for 30; files may have 64 GiB.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            endpoint: Url::parse(ENDPOINT).expect("a constant address"),
            mirror: None,
            token: None,
            hub_cache: directory.join("hub"),
            url_cache: directory.join("urls"),
            torch_checkpoints: None,
            offline: false,
            links: true,
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            retry: Retry::default(),
            max_bytes: 64 << 30,
            certificates: None,
            proxies: Proxies::default(),
        }
    }

    /// What the environment says.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `$XDG_CACHE_HOME/huggingface/hub`, else `~/.cache/huggingface/hub` | the hub's files |
    /// | `CNN_CACHE`, else `$XDG_CACHE_HOME/cnn`, else `~/.cache/cnn` | files of plain addresses, in `urls/` |
    /// | `TORCH_HOME`, else `$XDG_CACHE_HOME/torch`, else `~/.cache/torch` | where PyTorch keeps checkpoints, which are used where they fit |
    /// | `HF_ENDPOINT` | the hub, by default `https://huggingface.co` |
    /// | `CNN_MIRROR` | who is asked for plain addresses: for `https://host/path`, `$CNN_MIRROR/host/path` |
    /// | `HF_TOKEN`, else the file `HF_TOKEN_PATH`, else `$HF_HOME/token` | the token |
    /// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | 1 sends no token |
    /// | `HF_HUB_OFFLINE` | 1 asks nobody |
    /// | `HF_HUB_DISABLE_SYMLINKS` | 1 makes copies where the cache has links |
    /// | `HF_HUB_DOWNLOAD_TIMEOUT` | the seconds for which a connection may be silent |
    /// | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies, also in lower case |
    /// | `SSL_CERT_FILE` | certificates that are believed in place of the usual ones |
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] naming the variable that cannot be used, [`Error::Io`] if the file with
    /// the token cannot be read.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(
            |name| env::var_os(name).filter(|value| !value.is_empty()),
            env::home_dir(),
        )
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let directory = |name: &str| variable(name).map(|value| expanded(value, home.as_deref()));
        let is_set = |name: &str| {
            text(name).is_some_and(|value| {
                let value = value.to_ascii_uppercase();
                ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
            })
        };
        let caches = directory("XDG_CACHE_HOME")
            .or_else(|| home.as_ref().map(|home| home.join(".cache")))
            .ok_or_else(|| {
                let expected = "a home directory, or the variables HF_HOME and XDG_CACHE_HOME";
                Error::from(ArgumentError::new("HOME", "none", expected))
            })?;
        let hf_home = directory("HF_HOME").unwrap_or_else(|| caches.join("huggingface"));
        let mut config = Self::in_directory(&caches);
        config.hub_cache = directory("HF_HUB_CACHE")
            .or_else(|| directory("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hf_home.join("hub"));
        config.url_cache = directory("CNN_CACHE")
            .unwrap_or_else(|| caches.join("cnn"))
            .join("urls");
        let torch = directory("TORCH_HOME").unwrap_or_else(|| caches.join("torch"));
        config.torch_checkpoints = Some(torch.join("hub/checkpoints"));
        config.offline = is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE");
        config.links = !is_set("HF_HUB_DISABLE_SYMLINKS");
        config.certificates = directory("SSL_CERT_FILE");
        if let Some(endpoint) = text("HF_ENDPOINT") {
            config = config.with_endpoint(&endpoint)?;
        }
        if let Some(mirror) = text("CNN_MIRROR") {
            config = config.with_mirror(&mirror)?;
        }
        if let Some(seconds) = text("HF_HUB_DOWNLOAD_TIMEOUT") {
            let seconds = seconds
                .parse()
                .ok()
                .filter(|seconds| (1..=86_400).contains(seconds));
            let seconds = seconds.ok_or_else(|| {
                let found = text("HF_HUB_DOWNLOAD_TIMEOUT").unwrap_or_default();
                Error::from(ArgumentError::new(
                    "HF_HUB_DOWNLOAD_TIMEOUT",
                    found,
                    "seconds, 1 to 86400",
                ))
            })?;
            config.stall_timeout = Duration::from_secs(seconds);
        }
        let either = |name: &str| text(name).or_else(|| text(&name.to_ascii_lowercase()));
        let all = either("ALL_PROXY");
        let except = either("NO_PROXY").unwrap_or_default();
        config = config.with_proxies(
            either("HTTPS_PROXY").or(all.clone()).as_deref(),
            either("HTTP_PROXY").or(all).as_deref(),
            &except,
        )?;
        if !is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            let token = match text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")) {
                Some(token) => Some(token),
                None => token_file(
                    &directory("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token")),
                )?,
            };
            let token = token.map(|token| token.trim().to_string());
            if let Some(token) = token.filter(|token| !token.is_empty()) {
                config = config.with_token(&token)?;
            }
        }
        Ok(config)
    }

    /// The hub's address. Plain `http` is taken, too: for a hub of one's own.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is no address.
    pub fn with_endpoint(mut self, endpoint: &str) -> Result<Self, Error> {
        let endpoint = endpoint.trim().trim_end_matches('/');
        self.endpoint = Url::parse(endpoint).map_err(|reason| {
            let found = format!("{endpoint:?} ({reason})");
            ArgumentError::new(
                "HF_ENDPOINT",
                found,
                format!("an address such as {ENDPOINT}"),
            )
        })?;
        Ok(self)
    }

    /// Who is asked for the files of plain addresses: for `https://host/path`, `MIRROR/host/path`,
    /// with the port where the address names one. Checksums and places in the cache are those of the
    /// address, and the hub is asked as before. Plain `http` is taken, too: for a mirror of one's
    /// own.
    ///
    /// ```
    /// # fn main() -> Result<(), cnn_hub::Error> {
    /// use cnn_hub::HubConfig;
    ///
    /// // https://download.pytorch.org/models/resnet18-f37072fd.pth is asked of
    /// // http://mirror.example.org/files/download.pytorch.org/models/resnet18-f37072fd.pth
    /// let config = HubConfig::in_directory("cache".as_ref())
    ///     .with_mirror("http://mirror.example.org/files")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is no address, or has a query.
    pub fn with_mirror(mut self, mirror: &str) -> Result<Self, Error> {
        let mirror = mirror.trim().trim_end_matches('/');
        let parsed = match Url::parse(mirror) {
            Ok(url) if url.as_uri().query().is_some() => Err("it has a query"),
            parsed => parsed,
        };
        let parsed = parsed.map_err(|reason| {
            let found = format!("{mirror:?} ({reason})");
            let expected = "an address such as https://mirror.example.org/files";
            ArgumentError::new("CNN_MIRROR", found, expected)
        })?;
        self.mirror = Some(parsed);
        Ok(self)
    }

    /// The token. It goes to the hub's own host only.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it has characters that no token has.
    pub fn with_token(mut self, token: &str) -> Result<Self, Error> {
        self.token = Some(Token::new(token)?);
        Ok(self)
    }

    /// Whether nobody is asked: what is not in the cache is [`Error::Offline`].
    pub fn with_offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// The directory of the hub's files, in the layout that `huggingface_hub` has.
    pub fn with_hub_cache(mut self, directory: &Path) -> Self {
        self.hub_cache = directory.to_owned();
        self
    }

    /// The directory of the files of plain addresses.
    pub fn with_url_cache(mut self, directory: &Path) -> Self {
        self.url_cache = directory.to_owned();
        self
    }

    /// Where PyTorch keeps its checkpoints. One of the right name whose hash fits is used.
    pub fn with_torch_checkpoints(mut self, directory: &Path) -> Self {
        self.torch_checkpoints = Some(directory.to_owned());
        self
    }

    /// Whether the cache has symbolic links from its snapshots to its blobs, as is the default;
    /// hard links or copies otherwise, and wherever the system refuses them.
    pub fn with_links(mut self, links: bool) -> Self {
        self.links = links;
        self
    }

    /// How long a connection may take to come about, and then be silent.
    pub fn with_timeouts(mut self, connect: Duration, silence: Duration) -> Self {
        self.connect_timeout = connect;
        self.stall_timeout = silence;
        self
    }

    /// How often and how patiently a request is tried again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The most bytes that a file may have where the request says nothing else.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// A file of certificates (PEM) that are believed in place of the usual ones.
    pub fn with_certificates(mut self, file: &Path) -> Self {
        self.certificates = Some(file.to_owned());
        self
    }

    /// Proxies for `https` and for `http` addresses, and the hosts that are asked without, as
    /// `NO_PROXY` has them: `example.org,.local,10.0.0.1:8080` or `*`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a proxy is no address.
    pub fn with_proxies(
        mut self,
        https: Option<&str>,
        http: Option<&str>,
        except: &str,
    ) -> Result<Self, Error> {
        self.proxies = Proxies::new(https, http, except)?;
        Ok(self)
    }

    /// Where the mirror has the file of an address, where there is a mirror.
    pub(crate) fn mirrored(&self, url: &Url) -> Option<Result<Url, Error>> {
        let mirror = self.mirror.as_ref()?.to_string();
        let mirror = mirror.trim_end_matches('/');
        let host = url.host_and_port();
        let path = url
            .as_uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let text = format!("{mirror}/{host}{path}");
        Some(Url::parse(&text).map_err(|reason| {
            let found = format!("{text:?} ({reason})");
            ArgumentError::new("CNN_MIRROR", found, "the address of a mirror").into()
        }))
    }
}

/// A directory with `~`, `$NAME` and `${NAME}` replaced, as Python's `expanduser` and `expandvars` do.
fn expanded(value: OsString, home: Option<&Path>) -> PathBuf {
    let Some(text) = value.to_str() else {
        return PathBuf::from(value);
    };
    let mut parts = text.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let (name, rest) = match part.strip_prefix('{').and_then(|part| part.split_once('}')) {
            Some(split) => split,
            None => part.split_at(part.find(|letter| !is_name(letter)).unwrap_or(part.len())),
        };
        match env::var(name) {
            Ok(value) if !name.is_empty() => expanded.push_str(&format!("{value}{rest}")),
            _ => expanded.push_str(&format!("${part}")),
        }
    }
    match (expanded.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(expanded),
    }
}

/// What a file has, which may be absent. A token is short.
fn token_file(path: &Path) -> Result<Option<String>, Error> {
    match crate::files::read_small(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read the token in", path, error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<HubConfig, Error> {
        let variable = |name: &str| {
            let mut pairs = variables.iter();
            pairs
                .find(|(own, _)| *own == name)
                .map(|(_, value)| OsString::from(*value))
        };
        HubConfig::from_variables(variable, Some(PathBuf::from("/home/me")))
    }

    #[test]
    fn places_follow_the_variables_that_python_follows() {
        let places = |variables: &[(&str, &str)]| {
            let config = config(variables).unwrap();
            [
                config.hub_cache,
                config.url_cache,
                config.torch_checkpoints.unwrap(),
            ]
            .map(|path| path.to_str().unwrap().to_string())
        };
        assert_eq!(
            places(&[]),
            [
                "/home/me/.cache/huggingface/hub",
                "/home/me/.cache/cnn/urls",
                "/home/me/.cache/torch/hub/checkpoints",
            ]
        );
        assert_eq!(
            places(&[("XDG_CACHE_HOME", "/x"), ("TORCH_HOME", "~/t")]),
            [
                "/x/huggingface/hub",
                "/x/cnn/urls",
                "/home/me/t/hub/checkpoints",
            ]
        );
        assert_eq!(
            places(&[
                ("XDG_CACHE_HOME", "/x"),
                ("HF_HOME", "/h"),
                ("CNN_CACHE", "/c")
            ])[..2],
            ["/h/hub", "/c/urls"]
        );
        assert_eq!(
            places(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "~/y")])[0],
            "/home/me/y"
        );
        assert_eq!(
            places(&[("HF_HOME", "/$NOT_SET_ANYWHERE/${NOR_THIS}")])[0],
            "/$NOT_SET_ANYWHERE/${NOR_THIS}/hub"
        );
        let path = env::var("PATH").unwrap();
        assert_eq!(
            places(&[("HF_HUB_CACHE", "/a${PATH}b")])[0],
            format!("/a{path}b")
        );
    }

    #[test]
    fn switches_and_tokens() {
        assert!(config(&[("HF_HUB_OFFLINE", "yes")]).unwrap().offline);
        assert!(!config(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline);
        assert!(!config(&[("HF_HUB_DISABLE_SYMLINKS", "1")]).unwrap().links);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "hf_file\n").unwrap();
        let home = directory.path().to_str().unwrap();
        let token = |variables: &[(&str, &str)]| {
            config(variables)
                .unwrap()
                .token
                .map(|token| token.as_str().to_string())
        };
        assert_eq!(
            token(&[("HF_TOKEN", " hf_a\n"), ("HF_HOME", home)]).as_deref(),
            Some("hf_a")
        );
        assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("hf_file"));
        assert_eq!(
            token(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]),
            None
        );
        assert_eq!(token(&[]), None);
        let debug = format!("{:?}", config(&[("HF_TOKEN", "hf_secret")]).unwrap());
        assert!(!debug.contains("hf_secret"), "{debug}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value) in [
            ("HF_ENDPOINT", "huggingface.co"),
            ("CNN_MIRROR", "mirror.example.org"),
            ("CNN_MIRROR", "https://mirror.example.org/?file="),
            ("HF_TOKEN", "hf a"),
            ("HTTPS_PROXY", "http://:::"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ] {
            let error = config(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_mirror_has_the_files_of_all_hosts() {
        let mirrored = |mirror: &str, url: &str| {
            let config = config(&[("CNN_MIRROR", mirror)]).unwrap();
            let url = config.mirrored(&Url::parse(url).unwrap()).unwrap();
            url.unwrap().as_uri().to_string()
        };
        for (mirror, url, expected) in [
            (
                "https://m.test",
                "https://a.test/b/c.pth",
                "https://m.test/a.test/b/c.pth",
            ),
            (
                "http://m.test:1/x/",
                "http://a.test:8/b?c=d",
                "http://m.test:1/x/a.test:8/b?c=d",
            ),
            (
                "https://m.test/x",
                "https://a.test",
                "https://m.test/x/a.test/",
            ),
        ] {
            assert_eq!(mirrored(mirror, url), expected);
        }
        assert!(config(&[]).unwrap().mirror.is_none());
    }

    #[test]
    fn proxies_are_named_in_either_case_and_for_all_schemes() {
        let config = config(&[
            ("https_proxy", "http://secure:1"),
            ("ALL_PROXY", "http://all:2"),
            ("no_proxy", "localhost"),
        ])
        .unwrap();
        let proxy = |url: &str| {
            config
                .proxies
                .of(&Url::parse(url).unwrap())
                .map(str::to_string)
        };
        assert_eq!(proxy("https://a.test/").as_deref(), Some("http://secure:1"));
        assert_eq!(proxy("http://a.test/").as_deref(), Some("http://all:2"));
        assert_eq!(proxy("http://localhost/"), None);
    }
}
