//! Downloads that go on where they were cut off.

use super::FetchEvent;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

const BUFFER: usize = 1 << 16;

/// Brings the content of `url` into `part`, beginning after the bytes that
/// `part` already holds. `false` when the server has no such file.
///
/// # Errors
/// No connection, another status, a stream that ends early. `part` then keeps
/// what came.
pub fn to_part(url: &str, part: &Path, report: &mut dyn FnMut(FetchEvent)) -> Result<bool> {
    let have = std::fs::metadata(part).map_or(0, |m| m.len());
    let response = request(url, have)?;
    match response.status().as_u16() {
        404 => return Ok(false),
        200 => receive(url, part, 0, response, report)?,
        206 => {
            ensure!(
                range_start(&response) == Some(have),
                "{url} answered with another range than asked: remove {} and try again",
                part.display()
            );
            receive(url, part, have, response, report)?;
        }
        // Nothing lies behind what is at hand: it is whole, or it is not the
        // beginning of this file.
        416 if have > 0 => {
            if range_total(&response) != Some(have) {
                let whole = request(url, 0)?;
                ensure!(
                    whole.status().as_u16() == 200,
                    "{url} answered {}",
                    whole.status()
                );
                receive(url, part, 0, whole, report)?;
            }
        }
        status => bail!("{url} answered {status}"),
    }
    Ok(true)
}

fn request(url: &str, have: u64) -> Result<Response<Body>> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(60)));
    if is_loopback(url) {
        config = config.proxy(None);
    }
    let mut request = Agent::new_with_config(config.build()).get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    request.call().with_context(|| {
        format!("cannot reach {url} (a copy that you have can be given with `--from PATH`)")
    })
}

fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or(url);
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|h| host.starts_with(h))
}

/// Appends the body to `part` after its first `have` bytes.
fn receive(
    url: &str,
    part: &Path,
    have: u64,
    response: Response<Body>,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<()> {
    let mut file = open_at(part, have)?;
    let total = response.body().content_length().map(|n| n + have);
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; BUFFER];
    let mut done = have;
    loop {
        let n = body
            .read(&mut buffer)
            .with_context(|| broken_off(url, done, total))?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n])
            .with_context(|| format!("cannot write {}", part.display()))?;
        done += n as u64;
        report(FetchEvent::Downloaded {
            url: url.to_owned(),
            done,
            total,
        });
    }
    ensure!(
        total.is_none_or(|t| t == done),
        broken_off(url, done, total)
    );
    file.sync_all()
        .with_context(|| format!("cannot write {}", part.display()))
}

fn open_at(part: &Path, have: u64) -> Result<File> {
    let open = || -> std::io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(part)?;
        file.set_len(have)?;
        Ok(file)
    };
    open().with_context(|| format!("cannot write {}", part.display()))
}

fn broken_off(url: &str, done: u64, total: Option<u64>) -> String {
    let of = total.map_or_else(String::new, |t| format!(" of {t}"));
    format!("{url} broke off after {done}{of} bytes: the same command goes on from there")
}

/// `Content-Range: bytes 100-199/200` gives 100.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let (range, _) = content_range(response)?.split_once('/')?;
    range.split_once('-')?.0.trim().parse().ok()
}

/// `Content-Range: bytes */200` gives 200.
fn range_total(response: &Response<Body>) -> Option<u64> {
    content_range(response)?.split_once('/')?.1.parse().ok()
}

fn content_range(response: &Response<Body>) -> Option<&str> {
    let value = response.headers().get("content-range")?.to_str().ok()?;
    value.trim().strip_prefix("bytes").map(str::trim)
}
