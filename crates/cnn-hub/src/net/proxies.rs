//! Proxies, and the hosts that are asked without one.

use cnn_core::ArgumentError;

use super::Url;
use crate::Error;

/// Proxies by the scheme of what is asked for, and hosts that are asked without.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    https: Option<String>,
    http: Option<String>,
    except: Vec<String>,
}

impl Proxies {
    /// `except` as `NO_PROXY` has it.
    pub(crate) fn new(
        https: Option<&str>,
        http: Option<&str>,
        except: &str,
    ) -> Result<Self, Error> {
        for (name, proxy) in [("HTTPS_PROXY", https), ("HTTP_PROXY", http)] {
            let Some(proxy) = proxy else { continue };
            if ureq::Proxy::new(proxy).is_err() {
                // A proxy's address may carry a password.
                let expected = "an address such as http://proxy.example.org:3128";
                return Err(
                    ArgumentError::new(name, "something that is no address", expected).into(),
                );
            }
        }
        let hosts = except.split([',', ' ']).map(str::trim);
        Ok(Self {
            https: https.map(str::to_string),
            http: http.map(str::to_string),
            except: hosts
                .filter(|host| !host.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        })
    }

    /// The proxy by which an address is asked.
    pub(crate) fn of(&self, url: &Url) -> Option<&str> {
        let host = url.host().to_ascii_lowercase();
        let with_port = url.host_and_port().to_ascii_lowercase();
        let is_excepted = |except: &String| {
            let suffix = except.trim_start_matches("*.").trim_start_matches('.');
            except == "*"
                || *except == with_port
                || host == suffix
                || host
                    .strip_suffix(suffix)
                    .is_some_and(|before| before.ends_with('.'))
        };
        if self.except.iter().any(is_excepted) {
            return None;
        }
        let proxy = if url.is_https() {
            &self.https
        } else {
            &self.http
        };
        proxy.as_deref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn proxies_go_by_scheme_and_leave_out_what_is_excepted() {
        let except = "localhost, .internal,*.corp,10.0.0.1:8080";
        let proxies = Proxies::new(Some("http://secure:1"), Some("http://all:2"), except).unwrap();
        let proxy = |url: &str| proxies.of(&Url::parse(url).unwrap()).map(str::to_string);
        assert_eq!(
            proxy("https://huggingface.co/a").as_deref(),
            Some("http://secure:1")
        );
        assert_eq!(
            proxy("http://example.org/a").as_deref(),
            Some("http://all:2")
        );
        for url in [
            "http://localhost:9/a",
            "https://a.internal/",
            "https://internal/",
            "https://b.corp/",
            "http://10.0.0.1:8080/",
        ] {
            assert_eq!(proxy(url), None, "{url}");
        }
        for url in [
            "https://notinternal/",
            "http://10.0.0.1:8081/",
            "https://localhost.org/",
        ] {
            assert!(proxy(url).is_some(), "{url}");
        }
    }
}
