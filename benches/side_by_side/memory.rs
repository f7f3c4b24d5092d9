//! Resident memory of a server, summed over its processes.

use std::fs;

use crate::Result;
use crate::measure::MIB;

/// A process and all its descendants.
pub(crate) fn processes_under(root: u32) -> Result<Vec<u32>> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{process}/task"))
            .map_err(|error| format!("process {process} is gone: {error}"))?;
        for task in tasks {
            let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace() {
                found.push(child.parse()?);
            }
        }
    }
    Ok(found)
}

/// Forgets the highest resident memory so far; the next peak starts from what is resident now.
pub(crate) fn reset_peak(root: u32) -> Result<()> {
    for process in processes_under(root)? {
        // proc(5): 5 resets the peak resident set size.
        fs::write(format!("/proc/{process}/clear_refs"), "5")?;
    }
    Ok(())
}

/// The highest resident memory since the last reset, in MiB.
pub(crate) fn peak(root: u32) -> Result<f64> {
    sum(root, "VmHWM:")
}

/// The resident memory now, in MiB.
pub(crate) fn resident(root: u32) -> Result<f64> {
    sum(root, "VmRSS:")
}

fn sum(root: u32, field: &str) -> Result<f64> {
    let mut total = 0.0;
    for process in processes_under(root)? {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or_else(|| format!("/proc/{process}/status has no {field}"))?;
        total += kib.parse::<f64>()? * 1024.0 / MIB;
    }
    Ok(total)
}
