//! Any message body: a Job whose key is its own, or an error in words.
#![no_main]

use fleet::Job;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    match Job::from_json(body) {
        Ok(job) => {
            assert!(job.image_key.starts_with("images/original/") && !job.image_key.contains(".."));
            assert_eq!(Job::from_json(&job.to_json()).expect("what we write we read"), job);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
