//! What speaks to servers: URLs, headers, requests with their redirects, the transfer of a body
//! into a file, and the content of an upload.

mod client;
mod content;
pub(crate) mod header;
mod proxies;
mod transfer;
mod tries;
mod url;

pub(crate) use client::{Answer, Client, Follow, Request};
pub(crate) use content::{Content, Watch};
pub(crate) use proxies::Proxies;
pub(crate) use transfer::{Transfer, transfer};
pub(crate) use tries::{Tries, pause};
pub(crate) use url::{Url, encode_component, encode_path};
