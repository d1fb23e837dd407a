//! Any bytes as a model's file: loaded or refused in words.
#![no_main]

use std::path::Path;
use std::sync::Once;

use detector::{Model, Options};
use libfuzzer_sys::fuzz_target;

static HOOK: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    // The loader turns a panic within tract into an error; the fuzzer's hook would end the process before that. A panic that
    // gets out of the loader still does.
    HOOK.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    if let Err(error) = Model::of_bytes(Path::new("fuzzed.onnx"), bytes, &Options::default()) {
        assert!(error.to_string().contains("fuzzed.onnx"), "{error}");
    }
});
