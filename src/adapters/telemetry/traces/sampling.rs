//! Which requests are traced.

use opentelemetry::trace::{SpanContext, SpanKind, TraceId};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler as SdkSampler, SamplingDecision, ShouldSample,
};

use crate::adapters::settings::Sampler;

/// Decides for one request after another.
pub(super) struct Sampling {
    /// Whether a caller's decision counts.
    parent_based: bool,
    root: SdkSampler,
    identifiers: RandomIdGenerator,
}

impl Sampling {
    pub(super) fn new(sampler: Sampler, ratio: f64) -> Self {
        let (parent_based, root) = match sampler {
            Sampler::AlwaysOn => (false, SdkSampler::AlwaysOn),
            Sampler::AlwaysOff => (false, SdkSampler::AlwaysOff),
            Sampler::Ratio => (false, SdkSampler::TraceIdRatioBased(ratio)),
            Sampler::ParentBasedAlwaysOn => (true, SdkSampler::AlwaysOn),
            Sampler::ParentBasedAlwaysOff => (true, SdkSampler::AlwaysOff),
            Sampler::ParentBasedRatio => (true, SdkSampler::TraceIdRatioBased(ratio)),
        };
        Self {
            parent_based,
            root,
            identifiers: RandomIdGenerator::default(),
        }
    }

    /// Whether a request is traced whose caller's span, if it has one, is this.
    pub(super) fn takes(&self, parent: Option<&SpanContext>) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.is_sampled(),
            Some(parent) => self.takes_trace(parent.trace_id()),
            // The trace gets an identifier of its own later; one random number
            // is as good as another for a decision by lot.
            None => match self.root {
                SdkSampler::AlwaysOn => true,
                SdkSampler::AlwaysOff => false,
                _ => self.takes_trace(self.identifiers.new_trace_id()),
            },
        }
    }

    fn takes_trace(&self, trace: TraceId) -> bool {
        let sampled = self
            .root
            .should_sample(None, trace, "", &SpanKind::Server, &[], &[]);
        sampled.decision == SamplingDecision::RecordAndSample
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceState};

    use super::*;

    fn caller(is_sampled: bool, trace: u128) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(is_sampled);
        SpanContext::new(
            TraceId::from(trace),
            SpanId::from(1),
            flags,
            true,
            TraceState::NONE,
        )
    }

    #[test]
    fn a_parent_based_sampler_does_as_the_caller_does() {
        for sampler in [
            Sampler::ParentBasedAlwaysOn,
            Sampler::ParentBasedAlwaysOff,
            Sampler::ParentBasedRatio,
        ] {
            let sampling = Sampling::new(sampler, 0.5);
            assert!(sampling.takes(Some(&caller(true, u128::MAX))));
            assert!(!sampling.takes(Some(&caller(false, 1))));
        }
        assert!(Sampling::new(Sampler::ParentBasedAlwaysOn, 0.0).takes(None));
        assert!(!Sampling::new(Sampler::ParentBasedAlwaysOff, 1.0).takes(None));
    }

    #[test]
    fn other_samplers_do_not_ask_the_caller() {
        let on = Sampling::new(Sampler::AlwaysOn, 0.0);
        assert!(on.takes(None) && on.takes(Some(&caller(false, 1))));
        let off = Sampling::new(Sampler::AlwaysOff, 1.0);
        assert!(!off.takes(None) && !off.takes(Some(&caller(true, 1))));
        // By the trace, so that everyone with the same share decides alike.
        let half = Sampling::new(Sampler::Ratio, 0.5);
        assert!(half.takes(Some(&caller(false, 1))));
        assert!(!half.takes(Some(&caller(true, u128::MAX))));
    }

    #[test]
    fn a_share_of_the_requests_without_a_caller_is_traced() {
        let sampling = Sampling::new(Sampler::ParentBasedRatio, 0.25);
        let taken = (0..10_000).filter(|_| sampling.takes(None)).count();
        assert!((2_000..3_000).contains(&taken), "{taken}");
        assert!(!Sampling::new(Sampler::Ratio, 0.0).takes(None));
        assert!(Sampling::new(Sampler::Ratio, 1.0).takes(None));
    }
}
