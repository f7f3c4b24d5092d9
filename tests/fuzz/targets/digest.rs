//! A digest reads back as it was written, and follows the grammar.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use octoserve::domain::digest::{Algorithm, Digest, ParseDigestError};
use octoserve_fuzz::grammar;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    match text.parse::<Digest>() {
        Ok(digest) => {
            assert!(grammar::is_digest(text), "accepted: {text:?}");
            assert_eq!(digest.to_string(), text);
            assert_eq!(
                format!("{}:{}", digest.algorithm().as_str(), digest.to_hex()),
                text
            );
            assert_eq!(digest.hash().len(), digest.algorithm().hash_length());
            let json = serde_json::to_string(&digest).expect("JSON");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Digest>(&json).expect("ours"), digest);
        }
        Err(error) => {
            assert!(!grammar::is_digest(text), "refused: {text:?}: {error}");
            if error == ParseDigestError::UnsupportedAlgorithm {
                let (algorithm, _) = text.split_once(':').expect("an algorithm");
                assert!(algorithm.parse::<Algorithm>().is_err());
            }
            if grammar::has_digest_form(text) {
                assert_ne!(error, ParseDigestError::Malformed, "{text:?}");
            }
        }
    }
    Corpus::Keep
});
