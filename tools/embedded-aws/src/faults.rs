//! AWS misbehaving on purpose: rules that delay, spoil or repeat chosen calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::failure::Failure;
use crate::service::{Protocol, Service};

/// What happens to a call that a [`Fault`] strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Wait, then go on (to further rules, and to the service).
    Delay(Duration),
    /// Close the connection and do nothing.
    Drop,
    /// Do what was asked, then close the connection without an answer: the client can't know.
    DropAfter,
    /// Return an error and do nothing.
    Fail {
        /// The HTTP status.
        status: u16,
        /// The error code, such as `ThrottlingException`.
        code: String,
    },
    /// SQS `ReceiveMessage` only: each message that the call delivers is put on the queue once more, to be delivered
    /// again right away, as a standard queue may. Probability counts per message; a repeat is not repeated again.
    Duplicate,
}

/// A rule: which calls are struck, how often, and what then happens.
#[derive(Debug, Clone)]
pub struct Fault {
    action: Action,
    service: Option<Service>,
    operation: Option<String>,
    probability: f64,
    times: Option<u64>,
}

impl Fault {
    /// A rule that strikes every call of every service, until it is narrowed.
    pub fn new(action: Action) -> Self {
        Self { action, service: None, operation: None, probability: 1.0, times: None }
    }

    /// The service returns 500 with the code that it uses for its own failures.
    pub fn internal_error(service: Service) -> Self {
        let code = match service.protocol() {
            Protocol::RestXml => "InternalError",
            Protocol::Json10 if service == Service::DynamoDb => "InternalServerError",
            Protocol::Json11 => "InternalServiceError",
            Protocol::RpcV2Cbor => "InternalServiceFault",
            _ => "InternalFailure",
        };
        Self::new(Action::Fail { status: 500, code: code.to_owned() }).on(service)
    }

    /// The service returns its throttling error.
    pub fn throttled(service: Service) -> Self {
        let (status, code) = match service {
            Service::S3 => (503, "SlowDown"),
            Service::DynamoDb => (400, "ProvisionedThroughputExceededException"),
            Service::Sqs => (403, "RequestThrottled"),
            Service::CloudWatch | Service::AutoScaling => (400, "Throttling"),
            Service::SecretsManager => (400, "ThrottlingException"),
        };
        Self::new(Action::Fail { status, code: code.to_owned() }).on(service)
    }

    /// Strikes only calls of `service`.
    pub fn on(mut self, service: Service) -> Self {
        self.service = Some(service);
        self
    }

    /// Strikes only calls of this operation, such as `PutItem`.
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// Strikes this share of the calls, 0 to 1.
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Strikes at most this many times, then never again.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn concerns(&self, service: Service, operation: &str) -> bool {
        self.service.is_none_or(|s| s == service) && self.operation.as_deref().is_none_or(|o| o == operation)
    }
}

/// The rules in force. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    rules: Arc<Mutex<Rules>>,
}

#[derive(Debug)]
struct Rules {
    seed: u64,
    /// How many rules there ever were: the name of the next, and with the seed the source of its chances.
    made: u64,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    /// Each rule has chances of its own, so what strikes its nth call does not depend on other rules.
    chance: Chance,
    fired: Arc<watch::Sender<u64>>,
}

/// What the rules together say about a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    pub(crate) end: Option<End>,
}

/// How a struck call ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Drop,
    DropAfter,
    Fail(Failure),
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self { rules: Arc::new(Mutex::new(Rules { seed: 0, made: 0, rules: Vec::new() })) }
    }

    /// Sets where the chances of the rules added from now on come from. The same seed and the same order of rules give
    /// the same fate to the nth call of each rule.
    pub fn seed(&self, seed: u64) {
        let mut rules = self.lock();
        rules.seed = seed;
        rules.made = 0;
    }

    /// Puts a rule in force until it is removed.
    pub fn add(&self, fault: Fault) -> FaultHandle {
        let mut rules = self.lock();
        let id = rules.made;
        rules.made += 1;
        let fired = Arc::new(watch::Sender::new(0));
        let chance = Chance(rules.seed ^ id.wrapping_mul(0xA076_1D64_78BD_642F));
        rules.rules.push(Rule { fault, chance, fired: Arc::clone(&fired) });
        FaultHandle { faults: self.clone(), fired }
    }

    /// Takes every rule away.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// Rules in the order they were added: delays add up, the first other rule that strikes decides.
    pub(crate) fn judge(&self, service: Service, operation: &str) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in &mut self.lock().rules {
            if rule.fault.action == Action::Duplicate || !rule.strikes(service, operation) {
                continue;
            }
            match &rule.fault.action {
                Action::Delay(delay) => {
                    verdict.delay += *delay;
                    continue;
                }
                Action::Drop => verdict.end = Some(End::Drop),
                Action::DropAfter => verdict.end = Some(End::DropAfter),
                Action::Fail { status, code } => {
                    let message = format!("a fault rule failed {operation}");
                    verdict.end = Some(End::Fail(Failure::new(*status, code.clone(), message)));
                }
                Action::Duplicate => {}
            }
            break;
        }
        verdict
    }

    /// Whether a message that `operation` delivers is to be delivered again.
    pub(crate) fn duplicates(&self, service: Service, operation: &str) -> bool {
        self.lock()
            .rules
            .iter_mut()
            .filter(|rule| rule.fault.action == Action::Duplicate)
            .any(|rule| rule.strikes(service, operation))
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn strikes(&mut self, service: Service, operation: &str) -> bool {
        let spent = self.fault.times.is_some_and(|times| *self.fired.borrow() >= times);
        let strikes = !spent
            && self.fault.concerns(service, operation)
            && (self.fault.probability >= 1.0 || self.chance.next() < self.fault.probability);
        if strikes {
            self.fired.send_modify(|fired| *fired += 1);
        }
        strikes
    }
}

/// A rule in force. Dropping the handle leaves the rule where it is.
#[derive(Debug, Clone)]
pub struct FaultHandle {
    faults: Faults,
    fired: Arc<watch::Sender<u64>>,
}

impl FaultHandle {
    /// How often the rule has struck.
    pub fn fired(&self) -> u64 {
        *self.fired.borrow()
    }

    /// Waits until the rule has struck at least `times` times.
    pub async fn fired_at_least(&self, times: u64) {
        let mut fired = self.fired.subscribe();
        // The sender is `self`, so it can't go away while this waits.
        let _ = fired.wait_for(|fired| *fired >= times).await;
    }

    /// Takes the rule away.
    pub fn remove(&self) {
        self.faults.lock().rules.retain(|rule| !Arc::ptr_eq(&rule.fired, &self.fired));
    }
}

/// SplitMix64: small, and good enough to decide which calls fail.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// Evenly in 0..1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64) -> Vec<bool> {
        let faults = Faults::new();
        faults.seed(seed);
        faults.add(Fault::new(Action::Drop).on(Service::S3).operation("PutObject").probability(0.3));
        (0..1000).map(|_| faults.judge(Service::S3, "PutObject").end.is_some()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_fates_at_about_the_rate_asked_for() {
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        let struck = fates(7).iter().filter(|&&struck| struck).count();
        assert!((250..350).contains(&struck), "{struck} of 1000");
    }

    #[test]
    fn a_rule_strikes_only_what_it_names_and_only_so_often() {
        let faults = Faults::new();
        let slow = faults.add(Fault::new(Action::Delay(Duration::from_secs(1))).on(Service::Sqs));
        let fail = faults.add(Fault::throttled(Service::Sqs).operation("SendMessage").times(2));
        assert_eq!(faults.judge(Service::S3, "SendMessage"), Verdict::default());
        for _ in 0..2 {
            let verdict = faults.judge(Service::Sqs, "SendMessage");
            assert_eq!(verdict.delay, Duration::from_secs(1));
            assert!(matches!(verdict.end, Some(End::Fail(f)) if f.code == "RequestThrottled"));
        }
        assert_eq!(faults.judge(Service::Sqs, "SendMessage").end, None);
        assert_eq!((slow.fired(), fail.fired()), (3, 2));
        slow.remove();
        assert_eq!(faults.judge(Service::Sqs, "SendMessage"), Verdict::default());
    }
}
