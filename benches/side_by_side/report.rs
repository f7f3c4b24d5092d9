//! The tables: first the figures that have targets, then everything that was measured.

use std::fmt::Write as _;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::measure::{Bound, Headline, Measure};
use crate::peers::Contestant;
use crate::rounds::CaseResult;

/// The whole report, as text or as Markdown.
pub(crate) fn render(
    arguments: &Arguments,
    machine: &[(String, String)],
    results: &[CaseResult],
    elapsed: Duration,
) -> String {
    let mut text = String::new();
    let bullet = if arguments.markdown { "- " } else { "" };
    for (name, value) in machine {
        let _ = writeln!(text, "{bullet}{name}: {value}");
    }
    let scale = &arguments.scale;
    let _ = writeln!(
        text,
        "{bullet}mode: {}, {} rounds, {:.0} s in all\n",
        scale.name,
        scale.rounds,
        elapsed.as_secs_f64()
    );
    for (heading, table) in [
        ("Main figures (medians)", main_table(arguments, results)),
        (
            "Everything measured (medians)",
            whole_table(arguments, results),
        ),
    ] {
        let _ = writeln!(
            text,
            "{}{heading}\n",
            if arguments.markdown { "### " } else { "" }
        );
        text.push_str(&layout(&table, arguments.markdown));
        text.push('\n');
    }
    for result in results {
        for (contestant, failure) in &result.failures {
            let _ = writeln!(
                text,
                "{bullet}FAILED: {}, {}: {failure}",
                contestant.name(),
                result.title
            );
        }
    }
    text
}

/// A row for each figure that matters most, with its targets.
fn main_table(arguments: &Arguments, results: &[CaseResult]) -> Vec<Vec<String>> {
    let mut header = vec!["workload".to_owned(), "figure".to_owned()];
    header.extend(
        arguments
            .contestants
            .iter()
            .map(|contestant| contestant.name().to_owned()),
    );
    header.extend(["octoserve is", "must", "aims at"].map(str::to_owned));
    let mut table = vec![header];
    for result in results {
        for headline in &result.headlines {
            let mut row = figures(arguments, result, headline.measure);
            row.push(standing(result, headline));
            row.push(verdict(result, headline.measure, headline.must));
            row.push(verdict(result, headline.measure, headline.aim));
            table.push(row);
        }
    }
    table
}

/// A row for each figure of each case.
fn whole_table(arguments: &Arguments, results: &[CaseResult]) -> Vec<Vec<String>> {
    let mut header = vec!["workload".to_owned(), "figure".to_owned()];
    header.extend(
        arguments
            .contestants
            .iter()
            .map(|contestant| contestant.name().to_owned()),
    );
    let mut table = vec![header];
    for result in results {
        let mut measures: Vec<Measure> =
            result.values.keys().map(|(measure, _)| *measure).collect();
        measures.dedup();
        table.extend(
            measures
                .into_iter()
                .map(|measure| figures(arguments, result, measure)),
        );
    }
    table
}

/// Workload, figure, and each contestant's median; blank where it takes no part.
fn figures(arguments: &Arguments, result: &CaseResult, measure: Measure) -> Vec<String> {
    let mut row = vec![result.title.clone(), measure.label().to_owned()];
    row.extend(arguments.contestants.iter().map(|contestant| {
        if result.failures.contains_key(contestant) {
            return "failed".to_owned();
        }
        result
            .median(measure, *contestant)
            .map(number)
            .unwrap_or_default()
    }));
    row
}

/// Octoserve against the contestant that the target names.
fn standing(result: &CaseResult, headline: &Headline) -> String {
    let reference = headline.must.or(headline.aim).and_then(Bound::reference);
    let Some(reference) = reference else {
        return String::new();
    };
    let ratio = result.ratio(headline.measure, Contestant::Octoserve, reference);
    ratio
        .map(|ratio| format!("{} × {}", number(ratio), reference.name()))
        .unwrap_or_default()
}

/// The bound, and whether Octoserve keeps it; by how much it is missed.
fn verdict(result: &CaseResult, measure: Measure, bound: Option<Bound>) -> String {
    let Some(bound) = bound else {
        return String::new();
    };
    let limit = match bound {
        Bound::AtMost(limit) => format!("≤ {}", number(limit)),
        Bound::TimesAtMost(reference, factor) => {
            format!("≤ {} × {}", number(factor), reference.name())
        }
        Bound::TimesAtLeast(reference, factor) => {
            format!("≥ {} × {}", number(factor), reference.name())
        }
    };
    let value = match bound.reference() {
        None => result.median(measure, Contestant::Octoserve),
        Some(reference) => result.ratio(measure, Contestant::Octoserve, reference),
    };
    match value {
        None if result.failures.contains_key(&Contestant::Octoserve) => format!("{limit}: failed"),
        None => format!("{limit}: not measured"),
        Some(value) if bound.is_met_by(value) => format!("{limit}: met"),
        Some(value) => format!(
            "{limit}: missed by {:.0} %",
            100.0 * (value / bound.limit() - 1.0).abs()
        ),
    }
}

/// Three significant digits, whole thousands grouped.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.9995 => 2,
        _ => 3,
    };
    let plain = format!("{value:.digits$}");
    if digits > 0 || plain.len() <= 4 {
        return plain;
    }
    let mut grouped = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Lines the columns up; the first row is the header.
fn layout(table: &[Vec<String>], markdown: bool) -> String {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| {
        table
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let separator = if markdown { " | " } else { "  " };
    let (before, after) = if markdown { ("| ", " |") } else { ("", "") };
    let mut text = String::new();
    for (index, row) in table.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = widths[column];
                // Words to the left, figures to the right.
                if is_figure(table, column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        let _ = writeln!(
            text,
            "{}",
            format!("{before}{}{after}", cells.join(separator)).trim_end()
        );
        if index == 0 {
            let rules: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(column, width)| {
                    let end = if is_figure(table, column) && markdown {
                        ":"
                    } else {
                        "-"
                    };
                    format!("{}{end}", "-".repeat(width.saturating_sub(1).max(2)))
                })
                .collect();
            let _ = writeln!(text, "{before}{}{after}", rules.join(separator));
        }
    }
    text
}

/// The contestants' columns lie between the two names and the targets.
fn is_figure(table: &[Vec<String>], column: usize) -> bool {
    let header = table.first().and_then(|header| header.get(column));
    header.is_some_and(|name| {
        Contestant::ALL
            .iter()
            .any(|contestant| contestant.name() == name)
    })
}
