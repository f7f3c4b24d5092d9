//! Walks a paginated listing from its first page to its last, following `Link`.

use std::time::Instant;

use crate::Result;
use crate::client::{self, Response};
use crate::measure::{Measure, Sample, milliseconds};
use crate::server::Server;

/// Names that each page may hold.
pub(super) const PAGE: usize = 100;

/// Reads every page, then checks that exactly the expected names came, in this order.
pub(super) fn measure(
    server: &Server<'_>,
    path: &str,
    member: &str,
    expected: &[String],
) -> Result<Sample> {
    let mut connection = server.connect()?;
    let mark = server.mark()?;
    let started = Instant::now();
    let mut bodies = Vec::new();
    let mut next = Some(format!("{path}?n={PAGE}"));
    while let Some(page) = next {
        let response = connection
            .request("GET", &page, "", &[])?
            .expect(200, "GET of a page")?;
        next = link(&response)?;
        bodies.push(response.body);
        if bodies.len() > expected.len() {
            return Err("the listing does not end".into());
        }
    }
    let elapsed = started.elapsed();
    let usage = server.since(&mark)?;
    let mut names: Vec<String> = Vec::new();
    for body in &bodies {
        let page: serde_json::Value = serde_json::from_slice(body)?;
        let listed = page
            .get(member)
            .and_then(serde_json::Value::as_array)
            .ok_or("a page without names")?;
        names.extend(
            listed
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned)),
        );
    }
    if bodies.len() == 1 {
        // A server that ignores `n` may ignore the order too; the report shows its one page.
        names.sort_unstable();
    }
    if names != expected {
        let (came, wanted) = (names.len(), expected.len());
        return Err(format!("{came} of {wanted} names came, or in another order").into());
    }
    Ok(vec![
        (Measure::TotalTime, milliseconds(elapsed)),
        (Measure::CpuTotal, milliseconds(usage.cpu)),
        (Measure::Pages, bodies.len() as f64),
        (Measure::PeakMemory, usage.peak_memory),
    ])
}

/// Where the next page is.
fn link(response: &Response) -> Result<Option<String>> {
    let Some(link) = response.header("link") else {
        return Ok(None);
    };
    let address = link
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    match address {
        Some((address, parameters)) if parameters.contains("next") => {
            client::relative(address).map(Some)
        }
        _ => Err(format!("not a link to a next page: {link:?}").into()),
    }
}
