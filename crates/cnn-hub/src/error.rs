//! The crate's error type: what went wrong with a transfer, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnn_core::ArgumentError;

/// Everything that can go wrong in this crate. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name, an address or a setting that the caller gave cannot be used.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The repository is open only to accounts that accepted its conditions.
    #[error(
        "`{repo}` is gated: accept its conditions at {page}, then {}",
        if *with_token {
            "ask again (the token that was sent belongs to an account that has not been let in yet)"
        } else {
            "set HF_TOKEN to a token of that account (https://huggingface.co/settings/tokens)"
        }
    )]
    Gated {
        /// The repository.
        repo: String,
        /// The page where its conditions are.
        page: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The server did not accept the token, or wants one.
    #[error(
        "{host} answered 401: {}",
        if *with_token {
            "it does not accept the token of HF_TOKEN or of the token file; make a new one at \
             https://huggingface.co/settings/tokens"
        } else {
            "it wants a token; set HF_TOKEN to one from https://huggingface.co/settings/tokens"
        }
    )]
    Unauthorized {
        /// Who was asked.
        host: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The server forbids access, for a reason other than a gate.
    #[error(
        "{host} forbids `{what}` (403{}): ask its owner, or use a token that may read it",
        reason(message)
    )]
    Forbidden {
        /// Who was asked.
        host: String,
        /// What was asked for.
        what: String,
        /// What the server said, possibly nothing.
        message: String,
    },
    /// There is no such repository, or it is private.
    #[error(
        "there is no repository `{repo}` at {host}, or it is private: look at the spelling{}",
        if *with_token { "" } else { ", or set HF_TOKEN to a token that may read it" }
    )]
    MissingRepository {
        /// The repository.
        repo: String,
        /// Who was asked.
        host: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error(
        "`{repo}` has no revision `{revision}`: name one of its branches, tags or commits, such \
         as `main`"
    )]
    MissingRevision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// The repository has no such file in this revision.
    #[error(
        "`{repo}` has no file `{path}` in revision `{revision}`: its page lists its files, as \
         `Hub::files` does"
    )]
    MissingFile {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file's path in the repository.
        path: String,
    },
    /// Nothing is at this address (404 or 410).
    #[error(
        "there is nothing at {url} ({status}): look at its spelling, or whether the file has moved"
    )]
    NotFound {
        /// The address.
        url: String,
        /// 404 or 410.
        status: u16,
    },
    /// The network is switched off, and the file is not in the cache.
    #[error(
        "`{what}` is not in {}, and HF_HUB_OFFLINE forbids the network: unset HF_HUB_OFFLINE \
         and run this once with a connection, or copy the cache of a machine that has it",
        cache.display()
    )]
    Offline {
        /// What was asked for.
        what: String,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// The server could not be reached at all.
    #[error(
        "cannot reach {host} for `{what}` ({reason}): look at the connection and at \
         HTTPS_PROXY, or name another server with HF_ENDPOINT; what has been downloaded once works \
         without a network"
    )]
    NoNetwork {
        /// Who was to be asked.
        host: String,
        /// What was to be asked for.
        what: String,
        /// What failed: the name, the connection.
        reason: String,
    },
    /// The proxy could not be used.
    #[error(
        "the proxy for {host} does not work ({reason}): look at HTTPS_PROXY, HTTP_PROXY and \
         ALL_PROXY, or except the host by NO_PROXY"
    )]
    Proxy {
        /// Who was to be asked.
        host: String,
        /// What failed.
        reason: String,
    },
    /// The server's certificate is not accepted.
    #[error(
        "no secure connection to {host} ({reason}): if your network has a certificate of its \
         own, name its file in SSL_CERT_FILE"
    )]
    Tls {
        /// Who was asked.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A plain `http` address whose content nothing verifies.
    #[error(
        "{url} is not encrypted, so that anybody on the way could change the file: use https, \
         or give the file's SHA-256 or MD5"
    )]
    Insecure {
        /// The address.
        url: String,
    },
    /// The server redirects to where the program does not follow.
    #[error(
        "{from} redirects to {to}, which is not followed because {reason}: ask its owner, or \
         use another address"
    )]
    Redirect {
        /// Who redirects.
        from: String,
        /// Where to.
        to: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The disk is full.
    #[error(
        "no space left for {}: make room and run this again, it goes on where it stopped",
        path.display()
    )]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The file arrived whole and is not the one that was announced. It has been removed.
    #[error(
        "`{what}` has the wrong {kind}: found {found}, expected {expected}; it has been \
         removed, so run this again, and if that repeats, its source is damaged or has been replaced"
    )]
    WrongHash {
        /// The file.
        what: String,
        /// Which hash: "SHA-256", "MD5", or a beginning of one.
        kind: &'static str,
        /// What was announced.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// The server has another number of bytes than was announced.
    #[error(
        "`{what}` has {found} bytes, expected {expected}: its source is damaged or has been \
         replaced; try again later, or another revision"
    )]
    SizeMismatch {
        /// The file.
        what: String,
        /// What was announced.
        expected: u64,
        /// What the server has.
        found: u64,
    },
    /// The file is larger than the caller allows.
    #[error("`{what}` {}, at most {limit} are accepted here: if it is meant to be so large, \
        raise the limit", match found {
        Some(found) => format!("has {found} bytes"),
        None => format!("goes on beyond {limit} bytes"),
    })]
    TooLarge {
        /// The file, or the answer.
        what: String,
        /// How many bytes are accepted.
        limit: u64,
        /// How many it says it has, where it says so.
        found: Option<u64>,
    },
    /// The file changes on the server while it is downloaded.
    #[error(
        "`{what}` changed on the server between two requests, more than once: try again when \
         its owner has finished, or name a commit as the revision"
    )]
    FileChanged {
        /// The file.
        what: String,
    },
    /// The server sends nothing for too long.
    #[error("{host} sent nothing for {} seconds while `{what}` was asked for: try again, it \
        goes on where it stopped", seconds.as_secs_f64())]
    Stalled {
        /// Who was asked.
        host: String,
        /// What was asked for.
        what: String,
        /// How long it was silent.
        seconds: Duration,
    },
    /// The connection ended in the middle of the answer.
    #[error(
        "the connection to {host} was cut while `{what}` was asked for ({reason}): try again, \
         it goes on where it stopped"
    )]
    Cut {
        /// Who was asked.
        host: String,
        /// What was asked for.
        what: String,
        /// What the connection's end looked like.
        reason: String,
    },
    /// The server asks to wait for longer than the program does.
    #[error(
        "{host} answers {status} and asks to wait {} seconds: try again after that{}",
        seconds.as_secs(),
        if *with_token { "" } else { ", or set HF_TOKEN, since accounts may ask more often" }
    )]
    Busy {
        /// Who was asked.
        host: String,
        /// 429 or 503.
        status: u16,
        /// How long it asks to wait.
        seconds: Duration,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The server answered with a status that says that it failed, or that nothing here expects.
    #[error(
        "{host} answered {status}{} when asked for `{what}`: {}",
        reason(message),
        if *status >= 500 {
            "it has a fault of its own, try again later"
        } else {
            "look at the address, and at HF_ENDPOINT if it is set"
        }
    )]
    Status {
        /// Who was asked.
        host: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
        /// What the server said, possibly nothing.
        message: String,
    },
    /// The server's answer makes no sense.
    #[error(
        "{host} gave an answer for `{what}` that cannot be used ({reason}): look at HF_ENDPOINT \
         and the proxy if they are set, or try again later"
    )]
    BadAnswer {
        /// Who was asked.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The mirror that was asked in place of an address failed. The source says how.
    #[error(
        "{source} (`{what}` was asked of the mirror {mirror}: look whether it has the file, or \
        unset CNN_MIRROR to ask the address itself)"
    )]
    Mirror {
        /// The address.
        what: String,
        /// The address that was asked in its place.
        mirror: String,
        /// What failed there.
        source: Box<Error>,
    },
    /// Every try failed. The source is the last one's error.
    #[error("gave up on `{what}` after {tries} tries: {source}")]
    TooManyTries {
        /// What was asked for.
        what: String,
        /// How often it was tried.
        tries: u32,
        /// Why the last try failed.
        source: Box<Error>,
    },
    /// A server or an archive named a file that could lie elsewhere than where it belongs.
    #[error("{origin} names a file {name:?}, which is refused: {reason}")]
    UnsafeName {
        /// Who named it.
        origin: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The caller cancelled it ([`Progress::is_cancelled`](crate::Progress::is_cancelled)).
    #[error("`{what}` was cancelled: run it again, it goes on where it stopped")]
    Cancelled {
        /// What was being downloaded or uploaded.
        what: String,
    },
    /// A push without a token.
    #[error(
        "{host} takes files only with a token that may write: make one at \
         https://huggingface.co/settings/tokens, and set HF_TOKEN to it or write it to \
         ~/.cache/huggingface/token"
    )]
    NoToken {
        /// Who was to be asked.
        host: String,
    },
    /// A push while the network is switched off.
    #[error("cannot push to `{repo}`, since HF_HUB_OFFLINE forbids the network: unset it")]
    OfflinePush {
        /// The repository.
        repo: String,
    },
    /// The token's account may not create repositories of this owner.
    #[error(
        "{host} does not let this token create `{repo}` (403{}): put your own name or that of \
         an organisation which you may write to in place of `{owner}`, and use a token that may write \
         (https://huggingface.co/settings/tokens)",
        reason(message)
    )]
    NotOwned {
        /// The repository.
        repo: String,
        /// Its owner.
        owner: String,
        /// Who was asked.
        host: String,
        /// What the server said, possibly nothing.
        message: String,
    },
    /// The token may not write to this repository.
    #[error(
        "{host} does not let this token write to `{repo}` (403{}): use one that may write, of an \
         account that may (https://huggingface.co/settings/tokens)",
        reason(message)
    )]
    ReadOnly {
        /// The repository.
        repo: String,
        /// Who was asked.
        host: String,
        /// What the server said, possibly nothing.
        message: String,
    },
    /// Somebody else committed at the same time.
    #[error(
        "`{repo}` got another commit on `{revision}` meanwhile, so nothing was committed: look at \
         what changed there, then push again"
    )]
    Conflict {
        /// The repository.
        repo: String,
        /// The branch.
        revision: String,
    },
    /// The hub or its storage refuses a push for a reason of its own.
    #[error(
        "{host} refuses `{what}` ({status}{}), so nothing was committed: mend what it names, or \
         push again later",
        reason(message)
    )]
    RefusedPush {
        /// The repository, or the file.
        what: String,
        /// Who refuses.
        host: String,
        /// The status.
        status: u16,
        /// What the server said, possibly nothing.
        message: String,
    },
    /// A file changed while it was uploaded.
    #[error(
        "{} changed while it was uploaded, so nothing was committed: push again when nothing \
         writes to it",
        path.display()
    )]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// An archive cannot be unpacked.
    #[cfg(feature = "archives")]
    #[error("cannot unpack {}: {reason}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it, and what would be accepted.
        reason: String,
    },
    /// A dataset whose files cannot be fetched by name.
    #[cfg(feature = "datasets")]
    #[error("`{name}` cannot be downloaded: {reason}")]
    Dataset {
        /// The dataset's name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
}

fn reason(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(", {message:?}"),
    }
}

impl Error {
    /// An error of the operating system on `path`; a full disk or quota has its own.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, source }
            }
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }

    /// Whether the same request may well succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoNetwork { .. } | Self::Stalled { .. } | Self::Cut { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// The error of what was asked of a mirror, unless it is one of this machine.
    pub(crate) fn at_mirror(self, what: &str, mirror: &str) -> Self {
        match self {
            error @ (Self::Argument(_)
            | Self::Cancelled { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. }) => error,
            error => Self::Mirror {
                what: what.to_string(),
                mirror: mirror.to_string(),
                source: Box::new(error),
            },
        }
    }

    /// Whether it says that nobody who could know was reached, or that he did not want to tell: then
    /// what is in the cache is better than nothing.
    pub(crate) fn leaves_the_cache(&self) -> bool {
        match self {
            Self::TooManyTries { source, .. } => source.leaves_the_cache(),
            Self::Gated { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::MissingRepository { .. }
            | Self::Busy { .. }
            | Self::Proxy { .. }
            | Self::Tls { .. }
            | Self::BadAnswer { .. } => true,
            other => other.is_passing(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        let full = Error::io("write", Path::new("x"), io::ErrorKind::StorageFull.into());
        assert!(matches!(full, Error::DiskFull { .. }), "{full}");
        let other = Error::io(
            "write",
            Path::new("x"),
            io::ErrorKind::PermissionDenied.into(),
        );
        assert!(matches!(other, Error::Io { .. }), "{other}");
    }
}
