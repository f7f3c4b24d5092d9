//! Runs the workloads: contestants take turns within each round, in another order each time,
//! so that whatever else the machine does falls on all of them alike.

use std::collections::BTreeMap;

use crate::Result;
use crate::arguments::Arguments;
use crate::measure::{Headline, Measure, Sample, median};
use crate::peers::{Contestant, Setup};
use crate::server::Server;
use crate::workloads::{self, Workload};

/// Everything that was measured on one case of a workload.
pub(crate) struct CaseResult {
    /// What was done, for people.
    pub(crate) title: String,
    /// The main figures and their targets.
    pub(crate) headlines: Vec<Headline>,
    /// For each contestant and measure, one value for each round.
    pub(crate) values: BTreeMap<(Measure, Contestant), Vec<f64>>,
    /// Who failed, and why.
    pub(crate) failures: BTreeMap<Contestant, String>,
}

impl CaseResult {
    /// The median over the rounds.
    pub(crate) fn median(&self, measure: Measure, contestant: Contestant) -> Option<f64> {
        self.values
            .get(&(measure, contestant))
            .and_then(|values| median(values))
    }

    /// The median of the ratios within each round.
    pub(crate) fn ratio(
        &self,
        measure: Measure,
        contestant: Contestant,
        reference: Contestant,
    ) -> Option<f64> {
        let above = self.values.get(&(measure, contestant))?;
        let below = self.values.get(&(measure, reference))?;
        let ratios: Vec<f64> = above
            .iter()
            .zip(below)
            .map(|(above, below)| above / below)
            .collect();
        median(&ratios)
    }
}

/// Runs every workload that was asked for.
pub(crate) fn run(arguments: &Arguments, setup: &Setup) -> Result<Vec<CaseResult>> {
    let mut results = Vec::new();
    for mut workload in workloads::all(&arguments.scale) {
        if arguments.only.is_empty() || arguments.only.iter().any(|name| name == workload.name()) {
            let started = std::time::Instant::now();
            results.extend(run_workload(arguments, setup, workload.as_mut())?);
            eprintln!(
                "{}: {:.1} s",
                workload.name(),
                started.elapsed().as_secs_f64()
            );
        }
    }
    Ok(results)
}

fn run_workload(
    arguments: &Arguments,
    setup: &Setup,
    workload: &mut dyn Workload,
) -> Result<Vec<CaseResult>> {
    let mut failures = BTreeMap::new();
    let mut servers = Vec::new();
    for contestant in &arguments.contestants {
        let takes_part = match contestant {
            Contestant::Floor => workload.floor().is_some(),
            Contestant::Nginx => workload.is_for_static_files(),
            _ => workload.is_for_registries(),
        };
        if !takes_part {
            continue;
        }
        let directory = setup
            .directory
            .join(format!("{}-{}", workload.name(), contestant.name()));
        let started = Server::start(setup, *contestant, workload.floor(), directory)
            .and_then(|mut server| workload.prepare(&mut server).map(|()| server));
        match started {
            Ok(server) => servers.push(server),
            Err(failure) => note(
                &mut failures,
                *contestant,
                workload.name(),
                &failure.to_string(),
            ),
        }
    }
    let mut results = Vec::new();
    for (case, description) in workload.cases().into_iter().enumerate() {
        let mut values: BTreeMap<(Measure, Contestant), Vec<f64>> = BTreeMap::new();
        for round in 0..workload.rounds(arguments.scale.rounds) {
            for turn in 0..servers.len() {
                let index = (turn + round) % servers.len();
                let server = &mut servers[index];
                if failures.contains_key(&server.contestant) {
                    continue;
                }
                match workload.run(case, server) {
                    Ok(sample) => {
                        if arguments.samples {
                            tell(&description.title, round, server.contestant, &sample);
                        }
                        for (measure, value) in sample {
                            values
                                .entry((measure, server.contestant))
                                .or_default()
                                .push(value);
                        }
                    }
                    Err(failure) => {
                        let message = format!("{failure}; {}", server.last_words());
                        note(
                            &mut failures,
                            server.contestant,
                            &description.title,
                            &message,
                        );
                    }
                }
            }
        }
        // A contestant that failed in a later round must not win with its earlier ones.
        values.retain(|(_, contestant), _| !failures.contains_key(contestant));
        results.push(CaseResult {
            title: description.title,
            headlines: description.headlines,
            values,
            failures: failures.clone(),
        });
    }
    Ok(results)
}

fn tell(title: &str, round: usize, contestant: Contestant, sample: &Sample) {
    let figures: Vec<String> = sample
        .iter()
        .map(|(measure, value)| format!("{value:.3} {}", measure.label()))
        .collect();
    eprintln!(
        "{title}: round {}, {}: {}",
        round + 1,
        contestant.name(),
        figures.join(", ")
    );
}

fn note(
    failures: &mut BTreeMap<Contestant, String>,
    contestant: Contestant,
    what: &str,
    message: &str,
) {
    eprintln!("{what}: {} failed: {message}", contestant.name());
    failures.insert(contestant, message.to_owned());
}
