//! The cheapest setting that keeps a promise, and what the next ones would cost.

use std::time::Duration;

use serde::Serialize;

use crate::setting::{Outage, Scaling};
use crate::sweep::parallel;
use crate::{Candidate, LabError, Load, Metric, Price, Run, Score, Setting, simulate, sweep};

/// Over so long a stretch is the busiest time measured, for the limits that are tried.
const BUSY: Duration = Duration::from_secs(300);
/// The most minimums that are tried.
const MINIMUMS: u32 = 12;
/// Targets that are tried, as a share of what TUNING's formula says. The first is for a promise without any waiting.
const SHARES_OF_THE_FORMULA: [f64; 5] = [0.05, 0.15, 0.35, 0.65, 1.0];
/// Targets in percent that are tried for metrics that are a utilisation.
const PERCENTS: [f64; 4] = [70.0, 80.0, 90.0, 100.0];

/// A kind of machine that workers could run on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Machine {
    /// Its instance type, if it has a name.
    pub(crate) instance_type: Option<String>,
    /// What a worker does on it.
    pub(crate) worker: crate::Worker,
    /// What it costs, if that is known.
    pub(crate) price: Option<Price>,
}

/// What is recommended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Recommendation {
    /// The promise: seconds, and the share of photos that may be late.
    pub(crate) promise: f64,
    /// The same.
    pub(crate) late_limit: f64,
    /// Whether `chosen` keeps it. If none of those that were tried does, it is the safest of them.
    pub(crate) keeps_the_promise: bool,
    /// The cheapest that keeps it.
    pub(crate) chosen: Score,
    /// The whole setting.
    pub(crate) setting: Setting,
    /// Its parameters in `infra/polybot.yaml`, names and values.
    pub(crate) parameters: Vec<(String, String)>,
    /// The next on the front that costs less, and keeps the promise less well.
    pub(crate) cheaper: Option<Score>,
    /// The next on the front that is safer, and costs more.
    pub(crate) safer: Option<Score>,
    /// What would change the chosen one.
    pub(crate) variations: Vec<Variation>,
    /// Everything that was tried.
    pub(crate) tried: Vec<Score>,
}

/// The chosen setting with one thing changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Variation {
    /// What is changed.
    pub(crate) what: String,
    /// What it then is.
    pub(crate) score: Score,
}

/// Find the cheapest setting that keeps the promise (`base.promise`, and not more than `late_limit` of the photos late)
/// under each of the loads. Minimum, maximum, target and machine are chosen; the rest is `base`'s. `done` is told how
/// many of how many simulations are done.
///
/// # Errors
/// If something can't be simulated.
pub(crate) fn recommend(
    base: &Setting,
    machines: &[Machine],
    loads: &[Load],
    late_limit: f64,
    run: Run,
    done: impl Fn(usize, usize) + Sync,
) -> Result<Recommendation, LabError> {
    if !(0.0..1.0).contains(&late_limit) {
        return Err(LabError::setting(format!("{} % late is not a limit: expected 0 to 99", late_limit * 100.0)));
    }
    let mut candidates = Vec::new();
    for machine in machines {
        candidates.extend(candidates_on(base, machine, loads)?);
    }
    let total = candidates.len() * loads.len() + VARIATIONS * loads.len();
    let tried = sweep(&candidates, loads, run, |count| done(count, total))?;
    let keeps = |score: &Score| score.late_share <= late_limit;
    let cheapest = (0..tried.len()).filter(|index| keeps(&tried[*index])).min_by(|one, other| {
        let (one, other) = (&tried[*one], &tried[*other]);
        one.cost().total_cmp(&other.cost()).then(one.late_share.total_cmp(&other.late_share))
    });
    let safest = (0..tried.len()).min_by(|one, other| {
        let (one, other) = (&tried[*one], &tried[*other]);
        one.late_share.total_cmp(&other.late_share).then(one.cost().total_cmp(&other.cost()))
    });
    let Some(index) = cheapest.or(safest) else { return Err(LabError::setting("there is nothing to try")) };
    let (chosen, candidate) = (tried[index].clone(), &candidates[index]);
    let front = || tried.iter().filter(|score| score.on_the_front);
    let cheaper =
        front().filter(|score| score.cost() < chosen.cost()).max_by(|one, other| one.cost().total_cmp(&other.cost()));
    let safer = front()
        .filter(|score| score.late_share < chosen.late_share && score.cost() > chosen.cost())
        .min_by(|one, other| one.cost().total_cmp(&other.cost()));
    let before = candidates.len() * loads.len();
    let variations = variations(candidate, loads, run, |count| done(before + count, total))?;
    Ok(Recommendation {
        promise: base.promise.as_secs_f64(),
        late_limit,
        keeps_the_promise: keeps(&chosen),
        setting: candidate.setting.clone(),
        parameters: parameters(candidate),
        cheaper: cheaper.cloned(),
        safer: safer.cloned(),
        chosen,
        variations,
        tried,
    })
}

/// What is tried on one kind of machine.
fn candidates_on(base: &Setting, machine: &Machine, loads: &[Load]) -> Result<Vec<Candidate>, LabError> {
    let base = Setting { worker: machine.worker.clone(), ..base.clone() };
    base.check()?;
    let per_photo = base.seconds_per_photo();
    let mut busiest = 0.0_f64;
    for load in loads {
        busiest = busiest.max(load.rate()?.peak(BUSY));
    }
    let needed = workers(busiest * per_photo * 1.25);
    let highest = needed.max(base.group.min + 1);
    let mut minimums: Vec<u32> = (0..MINIMUMS)
        .map(|step| base.group.min.max(1) + (highest - base.group.min.max(1)) * step / (MINIMUMS - 1))
        .chain([base.group.min])
        .collect();
    minimums.sort_unstable();
    minimums.dedup();
    let mut candidates = Vec::new();
    for min in minimums {
        // The template wants room for a replacement.
        let mut maximums = vec![highest.max(min + 1), workers(busiest * per_photo * 2.0).max(min + 1)];
        maximums.dedup();
        for max in maximums {
            for (name, scaling) in scalings(&base) {
                let mut setting = Setting { scaling, ..base.clone() };
                (setting.group.min, setting.group.max, setting.group.initial) = (min, max, min);
                let mut choices = vec![("min".to_owned(), min.to_string()), ("max".to_owned(), max.to_string()), name];
                if let Some(instance_type) = &machine.instance_type {
                    choices.insert(0, ("type".to_owned(), instance_type.clone()));
                }
                candidates.push(Candidate { choices, setting, price: machine.price });
            }
        }
    }
    Ok(candidates)
}

fn workers(exact: f64) -> u32 {
    // `as` saturates.
    exact.ceil().max(1.0) as u32
}

/// The targets that are tried, each with what it is called.
fn scalings(base: &Setting) -> Vec<((String, String), Scaling)> {
    let Scaling::TargetTracking(policies) = &base.scaling else {
        return vec![(("scaling".to_owned(), "as given".to_owned()), base.scaling.clone())];
    };
    let Some(first) = policies.first() else { return Vec::new() };
    let targets: Vec<f64> = if first.metric == Metric::BACKLOG_PER_INSTANCE {
        let worker = &base.worker;
        let no_waiting = worker.fetch + worker.store + worker.service.mean();
        let formula = base.promise.saturating_sub(no_waiting).as_secs_f64() / base.seconds_per_photo();
        SHARES_OF_THE_FORMULA.iter().map(|share| (share * formula).round().max(1.0)).collect()
    } else {
        PERCENTS.to_vec()
    };
    let with = |target: f64| {
        let mut policies = policies.clone();
        policies[0].target = target;
        ((format!("target of {}", first.metric.name), target.to_string()), Scaling::TargetTracking(policies))
    };
    let mut scalings: Vec<_> = targets.into_iter().map(with).collect();
    scalings.dedup_by(|one, other| one.0 == other.0);
    scalings
}

/// How many variations there are.
const VARIATIONS: usize = 3;

fn variations(
    candidate: &Candidate,
    loads: &[Load],
    run: Run,
    done: impl Fn(usize) + Sync,
) -> Result<Vec<Variation>, LabError> {
    let ten_seconds = Duration::from_secs(10);
    let mut faster = candidate.clone();
    faster.setting.boot = faster.setting.boot.less(ten_seconds);
    faster.setting.warmup = faster.setting.warmup.saturating_sub(ten_seconds);
    let mut more = candidate.clone();
    more.setting.group.min += 1;
    more.setting.group.initial = more.setting.group.min;
    more.setting.group.max = more.setting.group.max.max(more.setting.group.min + 1);
    let without_spot = |load: &Load| -> Result<Setting, LabError> {
        let mut setting = candidate.setting.clone();
        let at = busiest_moment(load)?;
        setting.losses.outages.push(Outage { at, length: Duration::from_secs(600) });
        Ok(setting)
    };
    let whats = [
        "ten seconds less boot".to_owned(),
        "one more worker at least".to_owned(),
        "no spot for ten minutes at the busiest time".to_owned(),
    ];
    let outcomes = parallel(whats.len() * loads.len(), done, |task| {
        let load = &loads[task % loads.len()];
        match task / loads.len() {
            0 => simulate(&faster.setting, load, run),
            1 => simulate(&more.setting, load, run),
            _ => simulate(&without_spot(load)?, load, run),
        }
    })?;
    let of = |(what, outcomes): (String, &[crate::Outcome])| Variation { what, score: Score::of(candidate, outcomes) };
    Ok(whats.into_iter().zip(outcomes.chunks(loads.len().max(1))).map(of).collect())
}

/// When the busiest five minutes of a load begin.
fn busiest_moment(load: &Load) -> Result<Duration, LabError> {
    Ok(load.rate()?.busiest(BUSY).0)
}

/// The parameters of `infra/polybot.yaml`.
fn parameters(candidate: &Candidate) -> Vec<(String, String)> {
    let Setting { group, losses, warmup, drain, scaling, promise, .. } = &candidate.setting;
    let mut parameters = Vec::new();
    let mut set = |name: &str, value: String| parameters.push((name.to_owned(), value));
    if let Some((_, instance_type)) = candidate.choices.iter().find(|(name, _)| name == "type") {
        set("WorkerInstanceTypes", format!("{instance_type},…,… (three types alike in speed, this one first)"));
    }
    set("WorkerMin", group.min.to_string());
    set("WorkerMax", group.max.to_string());
    if let Scaling::TargetTracking(policies) = scaling {
        let target =
            |metric: Metric| policies.iter().find(|policy| policy.metric == metric).map(|policy| policy.target);
        let targets = (target(Metric::WORKER_DEMAND), target(Metric::BACKLOG_PER_INSTANCE));
        match targets {
            (Some(_), Some(_)) => set("ScalingPolicy", "both".into()),
            (Some(_), None) => set("ScalingPolicy", "demand".into()),
            (None, Some(_)) => set("ScalingPolicy", "backlog".into()),
            (None, None) => {}
        }
        for (name, target) in [("DemandTarget", targets.0), ("BacklogTarget", targets.1)] {
            if let Some(target) = target {
                set(name, target.to_string());
            }
        }
        if targets.0.is_some() {
            set("PromiseSeconds", format!("{:.0}", promise.as_secs_f64().max(1.0)));
        }
    }
    set("WorkerWarmup", format!("{:.0}", warmup.as_secs_f64()));
    set("WorkerOnDemandBase", losses.on_demand_base.to_string());
    set("WorkerOnDemandPercent", losses.on_demand_percent.to_string());
    set("WorkerDrainSeconds", format!("{:.0}", drain.as_secs_f64().clamp(10.0, 110.0)));
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine { instance_type: None, worker: Setting::default().worker, price: None }
    }

    #[test]
    fn the_cheapest_that_keeps_the_promise_is_chosen() {
        let loads = [Load::parse("spike:4:40:2h").expect("a load")];
        let base = Setting { promise: Duration::from_secs(10), ..Setting::default() };
        let found = recommend(&base, &[machine()], &loads, 0.01, Run::default(), |_, _| {}).expect("one");
        assert!(found.keeps_the_promise && found.chosen.late_share <= 0.01);
        for other in found.tried.iter().filter(|other| other.late_share <= 0.01) {
            assert!(other.cost() >= found.chosen.cost(), "{other:?} is cheaper than {:?}", found.chosen);
        }
        let cheaper = found.cheaper.expect("one that is cheaper");
        assert!(cheaper.cost() < found.chosen.cost() && cheaper.late_share > 0.01);
        assert!(
            found
                .parameters
                .iter()
                .any(|(name, value)| name == "WorkerMin" && *value == found.setting.group.min.to_string())
        );
        assert!(found.parameters.contains(&("PromiseSeconds".to_owned(), "10".to_owned())));
        assert_eq!(found.variations.len(), VARIATIONS);
        let dearer = found.variations.iter().find(|variation| variation.what.contains("one more")).expect("varied");
        assert!(dearer.score.worker_hours >= found.chosen.worker_hours * 0.99);
    }

    #[test]
    fn a_promise_that_nothing_keeps_is_said_so() {
        let loads = [Load::parse("steady:20:30m").expect("a load")];
        let base = Setting { promise: Duration::from_millis(100), ..Setting::default() };
        let found = recommend(&base, &[machine()], &loads, 0.0, Run::default(), |_, _| {}).expect("the safest");
        assert!(!found.keeps_the_promise && found.chosen.late_share > 0.99);
        assert!(recommend(&base, &[machine()], &loads, 1.5, Run::default(), |_, _| {}).is_err());
    }
}
