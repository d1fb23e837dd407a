//! The calls to AWS that each service makes, and those that `docs/contract.json` lists: what its role in `infra/` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use embedded_aws::{EmbeddedAws, Service};
use serde_json::{Value, json};

const SERVICES: [&str; 3] = ["polybot", "yolo-worker", "metric-streamer"];

/// By service, actions such as `sqs:SendMessage`.
pub(crate) type Actions = BTreeMap<&'static str, BTreeSet<String>>;

/// What each service has called.
pub(crate) fn made(aws: &EmbeddedAws) -> Actions {
    let action = |(service, operation): (Service, String)| {
        let prefix = if service == Service::CloudWatch { "cloudwatch" } else { service.signing_name() };
        format!("{prefix}:{operation}")
    };
    SERVICES.map(|name| (name, aws.calls().of_client(name).into_iter().map(action).collect())).into()
}

fn path() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/contract.json")
}

fn read() -> Value {
    let text = std::fs::read_to_string(path()).expect("docs/contract.json is there");
    serde_json::from_str(&text).expect("docs/contract.json is JSON")
}

/// What the contract lists.
pub(crate) fn listed() -> Actions {
    let contract = read();
    let of = |name: &'static str| {
        let actions = contract["services"][name]["aws_calls"].as_array().into_iter().flatten();
        (name, actions.filter_map(|action| action.as_str().map(str::to_owned)).collect())
    };
    SERVICES.map(of).into()
}

/// The contract lists everything that was called; with `UPDATE=1` it is made to.
pub(crate) fn are_listed(aws: &EmbeddedAws) {
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut listed = listed();
    for (name, made) in made(aws) {
        let known = listed.entry(name).or_default();
        let new: Vec<_> = made.difference(known).cloned().collect();
        if new.is_empty() {
            continue;
        }
        assert!(
            std::env::var_os("UPDATE").is_some(),
            "{name} calls {new:?}, which docs/contract.json does not list: UPDATE=1 adds it; its role in infra/ has to allow it"
        );
        known.extend(new);
        write(name, known);
    }
}

/// Makes these the calls of a service.
pub(crate) fn write(name: &str, actions: &BTreeSet<String>) {
    let mut contract = read();
    contract["services"][name]["aws_calls"] = json!(actions);
    std::fs::write(path(), format!("{contract:#}\n")).expect("docs/contract.json can be written");
}
